"""The command `export`: a run's models as the next version for a server, or for other engines."""

import re

import click

from keras_vqvae2 import files
from keras_vqvae2.cli.evaluate import evaluate
from keras_vqvae2.cli.flags import config_command
from keras_vqvae2.cli.progress import console
from keras_vqvae2.cli.run import begin
from keras_vqvae2.cli.run_models import load_generator

FORMATS = ("tf_saved_model", "onnx", "openvino", "litert")


@config_command("export", "--run-dir runs/photos --name photos")
@click.option("--name", help="Of the model on the server; by default the dataset's.")
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    default="tf_saved_model",
    show_default=True,
    help="Other than a SavedModel, for engines without a server: files in a folder of that name.",
)
def command(config, name, format):
    """Write saved_model/: the next version of the run's models for TensorFlow Serving."""
    export(config, name, format)


def export(config, name=None, format="tf_saved_model"):
    """Export a run's models as the next version in its `saved_model/`, with all that serving needs.

    Args:
        config: `Config`.
        name: of the model on the server; the dataset's by default.
        format: "tf_saved_model"; or "onnx", "openvino" or "litert", which is the name of the folder
            then, and it gets the files of `ImageGenerator.export` alone.

    Returns:
        The folder of the version, or of the format.

    Raises:
        ValueError: if a stage is missing, the name is none that a server can have, or there is a
            folder of the format already.
        ModuleNotFoundError: without the package that writes the format.

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
    from keras_vqvae2.export import formats, model_card, serving

    model = load_generator(config)
    if format != "tf_saved_model":
        folder = config.run_dir / format
        formats.export_generator(model, folder, format)
        console().print(f"wrote {folder}", markup=False)
        return folder
    try:
        report = files.read_signed_json(config.report_file)
    except (FileNotFoundError, files.DamagedFileError):
        report = evaluate(config)
    config.save()
    folder = config.saved_model_dir
    version = folder / str(max(serving.versions(folder), default=0) + 1)
    formats.export_generator(model, version)
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
