"""The command `app`: a page to play with a trained model."""

import os
import tempfile
import threading
from pathlib import Path

import click

from keras_vqvae2.cli.flags import FILE, Command, resolve
from keras_vqvae2.cli.pictures import frequent_classes
from keras_vqvae2.cli.progress import console
from keras_vqvae2.cli.run import require
from keras_vqvae2.cli.run_models import load_generator

PRESET = "emoji32"


@click.command(
    "app",
    cls=Command,
    example="--preset fashion_mnist",
    short_help="Serve a page to play with a trained model.",
)
@click.option(
    "--preset",
    help="An embedded model by name, a file or folder, or a hub's handle; see `generate`.  "
    f"[default: {PRESET}]",
)
@click.option("--run-dir", type=FILE, help="Folder of a run, in place of a preset.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on: 0.0.0.0 lets all of the network in.",
)
@click.option("--port", type=click.IntRange(1, 65535), help="By default a free one from 7860 on.")
def command(preset, run_dir, host, port):
    """Serve a page to play with a trained model: samples, walks, reconstructions, completions."""
    if preset is not None and run_dir is not None:
        raise ValueError(
            "`preset` and `run_dir` must not be given together. "
            f"Received: preset={preset!r}, run_dir={str(run_dir)!r}"
        )
    if run_dir is None:
        name = PRESET if preset is None else preset
        play(lambda: load_preset(name), Path(name).name, host, port)
        return
    config = resolve({"run_dir": run_dir})
    require(config, "prior", "vqvae")
    play(lambda: load_run(config), run_dir.name, host, port)


def load_preset(name):
    """Return the `ImageGenerator` of a preset and its most frequent class, or None if unknown."""
    from keras_vqvae2.models import ImageGenerator

    generator = ImageGenerator.from_preset(name)
    return generator, ImageGenerator.presets.get(name, {}).get("frequent_classes", [None])[0]


def load_run(config):
    """Return the `ImageGenerator` of a run and its most frequent class, or None without classes."""
    generator = load_generator(config)
    return generator, next(iter(frequent_classes(config, generator)), None)


def play(load, title, host="127.0.0.1", port=None):
    """Serve the page of a model until the process is interrupted.

    Args:
        load: function without arguments that returns the `ImageGenerator`, and the number of the
            class that the page begins with or None.
        title: what stands above the page.
        host: address to listen on.
        port: integer; None for a free one from 7860 on.

    Raises:
        ValueError: without Gradio.
        OSError: if the port is not free.

    Example:

    ```python
    play(lambda: load_preset("emoji32"), "emoji32")
    ```
    """
    from keras_vqvae2.page.layout import build_page

    with tempfile.TemporaryDirectory(prefix="keras-vqvae2-") as folder:
        # Gradio reads them once: where uploads go, and that nobody is told of its use.
        os.environ.update(GRADIO_TEMP_DIR=folder, GRADIO_ANALYTICS_ENABLED="False")
        console().rule(f"A page to play with {title}")
        generator, label = load()
        page = build_page(generator, title, label)
        try:
            address = open_page(page, folder, host, port)
            console().print(f"Open {address} in a browser; Ctrl-C ends it.", markup=False)
            threading.Event().wait()
        except KeyboardInterrupt:
            console().print("The page is closed.")
        finally:
            page.close(verbose=False)


def open_page(page, folder, host="127.0.0.1", port=None):
    """Serve a page in the background, within bounds.

    Args:
        page: of `build_page`.
        folder: where uploads go, as `GRADIO_TEMP_DIR` says.
        host: address to listen on.
        port: integer; None for a free one from 7860 on.

    Returns:
        str, its address.

    Raises:
        OSError: if the port is not free.
    """
    from starlette.middleware import Middleware

    from keras_vqvae2.page.uploads import MOST_BYTES, BoundedUploads

    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        share=False,
        inbrowser=False,
        prevent_thread_lock=True,
        quiet=True,
        show_error=True,
        ssr_mode=False,
        run_history=False,
        footer_links=[],
        max_file_size=MOST_BYTES,
        app_kwargs={"middleware": [Middleware(BoundedUploads, folder=folder)]},
    )
    return address
