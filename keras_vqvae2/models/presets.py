"""Trained models by name, from a folder or a hub, and the folders that they are kept in."""

import json
from pathlib import Path

from keras_vqvae2.files.model_files import fetch_model, load_model, save_model
from keras_vqvae2.models.preset_card import preset_card
from keras_vqvae2.sampling import without_optimizing

# The files of `examples/train_presets.py`.
FOLDER = Path(__file__).with_name("presets")
HUBS = ("hf://", "kaggle://")


def preset_names():
    """Return the names of the embedded presets, sorted."""
    return sorted(file.stem for file in FOLDER.glob("*.keras"))


class _Descriptions(dict):
    """What each embedded preset is, by its name."""


class _Described:
    """An attribute of a class that is read from the files when it is asked for."""

    def __get__(self, instance, owner):
        return _Descriptions({name: _description(name) for name in preset_names()})


class Presets:
    """A model that is loaded by the name of a preset, and saved as one.

    Attributes:
        presets: dictionary from the names of the embedded presets to what each is: `description`,
            `dataset`, `license`, `image_shape`, `num_classes`, `parameters`, `bytes` and `scores`.
            Of the class, too.
    """

    presets = _Described()

    @classmethod
    def from_preset(cls, name):
        """Load a trained model; of a generator's preset its part of this class, alone.

        Args:
            name: of an embedded preset, see `presets`; a folder of `save_to_preset` or of
                `model.save(folder, zipped=False)`, or a `.keras` file; or the handle of a model on
                a hub, `"hf://user/model"`, which `huggingface_hub` fetches, or
                `"kaggle://user/model/keras/variation"`, which `kagglehub` does.

        Returns:
            The model.

        Raises:
            ValueError: if there is no such preset, file or folder, it is refused, see
                docs/reliability.md, or holds another model.
            ModuleNotFoundError: of a handle, without the hub's library.

        Example:

        ```python
        vqvae = VQVAE2.from_preset("emoji32")
        ```
        """
        with without_optimizing():  # of what runs once, as the model is built
            model = load_model(_path(name), part=cls.__name__)
        if not isinstance(model, cls):
            article = "an" if cls.__name__[0] in "AEIOU" else "a"
            raise ValueError(
                f"`name` must be that of {article} {cls.__name__}. "
                f"Received: name={str(name)!r}, a {type(model).__name__}"
            )
        return model

    def save_to_preset(self, folder, **card):
        """Save the model, without its optimizer, as a hub takes it.

        The folder gets `config.json`, `metadata.json` and `model.weights.h5`, as those of Keras Hub
        have them, and a `README.md`, which hubs show and read as a model card.

        Args:
            folder: path of a folder, which must not exist or be empty.
            **card: `name`, `description`, `dataset` and `license`, texts for the model card, and
                `scores`, a dictionary of numbers.

        Raises:
            ValueError: if the folder holds something, or the card has another part.

        Example:

        ```python
        model.save_to_preset("my_emoji", dataset="emoji32", license="apache-2.0")
        ```
        """
        folder = Path(folder)
        text = preset_card(self, {"name": folder.name, **card})
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ValueError(f"`folder` must be empty, or not exist. Received: folder={folder}")
        save_model(self, folder)
        (folder / "README.md").write_text(text, encoding="utf-8")


def _path(name):
    """The file or folder of a preset's name, a path or a handle."""
    handle = str(name)
    if handle.startswith(HUBS):
        return fetch_model(handle)
    embedded = FOLDER / f"{handle}.keras"
    path = embedded if embedded.is_file() else Path(name)
    if not path.exists():
        known = ", ".join(map(repr, preset_names()))
        raise ValueError(
            f"`name` must be one of {known}, a `.keras` file, a folder of `save_to_preset`, or a "
            f"handle, hf://USER/MODEL or kaggle://USER/MODEL/keras/VARIATION. "
            f"Received: name={handle!r}"
        )
    return path


def _description(name):
    told = json.loads((FOLDER / "presets.json").read_text(encoding="utf-8"))
    return {**told[name], "bytes": (FOLDER / f"{name}.keras").stat().st_size}
