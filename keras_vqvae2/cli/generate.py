"""The command `generate`, stage 3: images from the prior, and from random codes."""

import math

import click

from keras_vqvae2.cli.flags import FILE, config_command
from keras_vqvae2.cli.pictures import frequent_classes, one_label, save_picture
from keras_vqvae2.cli.progress import console, progress
from keras_vqvae2.cli.run import begin
from keras_vqvae2.cli.run_models import load_generator

SAMPLING = ("temperature", "top_k", "top_p", "guidance")


@config_command("generate", "--preset emoji32 --num-samples 64 --out emoji.png")
@click.option("--label", help="Class of all images, by name or number.")
@click.option(
    "--preset",
    help="Draw from a trained model, without a run: an embedded one by name, such as emoji32, a "
    "file or folder, or a hub's handle.",
)
@click.option("--out", type=FILE, help="File of the picture; with --preset samples.png.")
def command(config, label, preset, out):
    """Stage 3: draw samples.png from the prior and samples_random.png from random codes."""
    if out is not None and out.suffix.lower() != ".png":
        raise ValueError(f"`out` must end with .png. Received: out={str(out)!r}")
    if preset is None:
        generate(config, label, out)
        return
    given = click.get_current_context().params
    options = {name: given[name] for name in SAMPLING if given.get(name) is not None}
    generate_preset(preset, out or "samples.png", config.num_samples, label, config.seed, **options)


def generate(config, label=None, out=None):
    """Draw `samples.png` from the prior, and `samples_random.png` from random codes.

    By class the picture has a row of each, with its name: of the most frequent ones, where all
    would be too many.

    Args:
        config: `Config`.
        label: name or number of the class of all images, for a prior by class.
        out: file for the samples in place of `samples.png`.

    Returns:
        The images, uint8 `[num_samples, H, W, C]`.

    Raises:
        ValueError: if a stage is missing, or the label is not known.
    """
    begin(config, "Stage 3: images from the prior", needs=("prior", "vqvae"))
    from keras_vqvae2 import drawing

    generator = load_generator(config)
    count, seed = config.num_samples, config.seed
    classes = frequent_classes(config, generator) if label is None else ()
    samples, picture = _draw(generator, count, label, seed, classes)
    random = generator.generate_random(count, seed=seed)
    config.save()
    save_picture(config.run_dir / "samples.png" if out is None else out, picture)
    save_picture(config.run_dir / "samples_random.png", drawing.grid(random))
    return samples


def generate_preset(name, out, num_samples, label=None, seed=0, **options):
    """Draw images of a preset into a file.

    Args:
        name: of the preset, see `ImageGenerator.from_preset`.
        out: path of the picture.
        num_samples: how many images.
        label: name or number of the class of all images.
        seed: integer.
        **options: of sampling; where they are left out, the preset's own.

    Returns:
        The images, uint8 `[num_samples, H, W, C]`.

    Raises:
        ValueError: if there is no such preset, or an option does not fit it.

    Example:

    ```python
    generate_preset("emoji32", "faces.png", 64, label="face")
    ```
    """
    from keras_vqvae2.models import ImageGenerator

    console().rule(f"Images of {name}")
    generator = ImageGenerator.from_preset(name)
    told = ImageGenerator.presets.get(name, {})
    classes = told.get("frequent_classes", range(generator.num_classes or 0))
    samples, picture = _draw(generator, num_samples, label, seed, classes, **options)
    save_picture(out, picture)
    return samples


def _draw(generator, count, label, seed, classes, **options):
    """Samples and their picture: of one class, or a row of each of the first of `classes`."""
    import numpy as np

    from keras_vqvae2 import drawing

    labels = rows = None
    if label is not None:
        labels = one_label(generator.prior, count, label)
    elif generator.num_classes is not None:
        shown = math.isqrt(count)
        if generator.num_classes <= math.sqrt(2) * shown:
            shown = min(generator.num_classes, count)
        rows = np.array(classes[:shown])
        labels = np.repeat(rows, -(-count // len(rows)))[:count]
    with progress("samples") as update:
        samples = generator.generate(count, labels=labels, seed=seed, callback=update, **options)
    if rows is None:
        return samples, drawing.grid(samples)
    known = generator.label_names or [str(number) for number in range(generator.num_classes)]
    return samples, drawing.named_rows(samples, [known[row] for row in rows])
