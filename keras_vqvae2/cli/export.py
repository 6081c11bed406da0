"""The command `export`: a run's models as the next version for TensorFlow Serving."""

import json
import re

from keras_vqvae2.cli.progress import console
from keras_vqvae2.cli.results import write_report
from keras_vqvae2.cli.run import begin, load_prior, load_split, load_vqvae
from keras_vqvae2.export.model_card import model_card
from keras_vqvae2.export.saved_model import export_generator
from keras_vqvae2.export.serving import (
    BATCHING_CONFIG,
    CONTAINER_FOLDER,
    MODELS_CONFIG,
    versions,
    write_warmup,
)
from keras_vqvae2.models import ImageGenerator


def export_run(config, name=None):
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
    export_run(Config.load("runs/emoji32/config.json"))
    ```
    """
    name = name or config.dataset.rstrip("/").rsplit("/", 1)[-1]
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise ValueError(
            f"`name` must consist of letters, digits, `_`, `.` and `-`. Received: name={name!r}"
        )
    begin(config, "Export")
    model = ImageGenerator(load_vqvae(config), load_prior(config))
    if not config.report_file.exists():
        write_report(config)
    report = json.loads(config.report_file.read_text())
    folder = config.saved_model_dir
    version = folder / str(max(versions(folder), default=0) + 1)
    export_generator(model, version)
    names = load_split(config, "validation").label_names
    (version / "MODEL_CARD.md").write_text(model_card(name, model, version, report, names))
    (folder / "models.config").write_text(MODELS_CONFIG.format(name=name, folder=CONTAINER_FOLDER))
    (folder / "batching.config").write_text(BATCHING_CONFIG)
    try:
        write_warmup(version, name)
    except ModuleNotFoundError as error:
        console.print(
            f"No warm-up requests: {error}. They need `pip install 'keras-vqvae2[serving]'`.",
            markup=False,
        )
    console.print(f"wrote {version}", markup=False)
    return version
