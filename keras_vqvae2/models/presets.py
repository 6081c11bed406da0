"""Trained generators by name, from a folder or a hub."""

from pathlib import Path

from keras_vqvae2.files.model_files import fetch_model, load_model
from keras_vqvae2.sampling import without_optimizing

# The files of `examples/train_presets.py`.
FOLDER = Path(__file__).with_name("presets")
HUB_PREFIX = "hf://"


def preset_names():
    """Return the names of the embedded presets, sorted."""
    return sorted(file.stem for file in FOLDER.glob("*.keras"))


def load_preset(name):
    """Load a model by the name of a preset, from disk or from a hub.

    Args:
        name: of an embedded preset; a `.keras` file, or the folder that `model.save(folder,
            zipped=False)` writes; or a handle `"hf://user/model"`, which `huggingface_hub` fetches.

    Returns:
        The `keras.Model`.

    Raises:
        ValueError: if there is no such preset, file or folder, or it is refused, see
            docs/reliability.md.
        ModuleNotFoundError: of a handle, without `huggingface_hub`.

    Example:

    ```python
    load_preset("emoji32")
    ```
    """
    handle = str(name)
    if handle.startswith(HUB_PREFIX):
        return _load(fetch_model(handle.removeprefix(HUB_PREFIX)))
    embedded = FOLDER / f"{handle}.keras"
    path = embedded if embedded.is_file() else Path(name)
    if not path.exists():
        known = ", ".join(map(repr, preset_names()))
        raise ValueError(
            f"`name` must be one of {known}, a `.keras` file, a folder of `model.save(folder, "
            f"zipped=False)`, or a handle {HUB_PREFIX}USER/MODEL. Received: name={handle!r}"
        )
    return _load(path)


def _load(path):
    with without_optimizing():  # of initial weights, which are replaced at once
        return load_model(path)
