"""The command `export`: a run's models as the next version for TensorFlow Serving."""

import re

import click

from keras_vqvae2 import files
from keras_vqvae2.cli.evaluate import evaluate
from keras_vqvae2.cli.flags import config_command
from keras_vqvae2.cli.progress import console
from keras_vqvae2.cli.run import begin, load_generator


@config_command("export", "--run-dir runs/photos --name photos")
@click.option("--name", help="Of the model on the server; by default the dataset's.")
def command(config, name):
    """Write saved_model/: the next version of the run's models for TensorFlow Serving."""
    export(config, name)


def export(config, name=None):
    """Export a run's models as the next version in its `saved_model/`, with all that serving needs.

    Args:
        config: `Config`.
        name: of the model on the server; the dataset's by default.

    Returns:
        The folder of the version.

    Raises:
        ValueError: if a stage is missing, or the name is none that a server can have.

    Example:

    ```python
    export(Config.load("runs/emoji32/config.json"))
    ```
    """
    name = name or config.data.name.rstrip("/").rsplit("/", 1)[-1]
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise ValueError(
            f"`name` must consist of letters, digits, `_`, `.` and `-`. Received: name={name!r}"
        )
    begin(config, "Export", needs=("vqvae", "prior"))
    from keras_vqvae2.export import model_card, saved_model, serving

    model = load_generator(config)
    try:
        report = files.read_signed_json(config.report_file)
    except (FileNotFoundError, files.DamagedFileError):
        report = evaluate(config)
    config.save()
    folder = config.saved_model_dir
    version = folder / str(max(serving.versions(folder), default=0) + 1)
    saved_model.export_generator(model, version)
    card = model_card.model_card(name, model, version, report)
    (version / "MODEL_CARD.md").write_text(card)
    models = serving.MODELS_CONFIG.format(name=name, folder=serving.CONTAINER_FOLDER)
    (folder / "models.config").write_text(models)
    (folder / "batching.config").write_text(serving.BATCHING_CONFIG)
    try:
        serving.write_warmup(version, name)
    except ModuleNotFoundError as error:
        console().print(
            f"No warm-up requests: {error}. They need `pip install 'keras-vqvae2[serving]'`.",
            markup=False,
        )
    console().print(f"wrote {version}", markup=False)
    console().print(f"next: keras-vqvae2 serve-command {folder}", markup=False)
    return version
