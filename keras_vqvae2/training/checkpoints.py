"""Checkpoints of a training: each holds all of its state, the last two are kept."""

import json
import random
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_vqvae2 import files
from keras_vqvae2.files.arrays import open_arrays

KEPT = 2
_NAME = re.compile(r"epoch_(\d{4,})(?:_step_(\d{6,}))?\.npz")
_NO_STATE = {"params", "_model"}  # what Keras gives to any callback


class Position(NamedTuple):
    """How far a training has come: whole epochs, then steps of the next one."""

    epochs: int
    steps: int = 0


class CheckpointFolder:
    """The checkpoints of a training in a folder, and `history.json`, the logs of its epochs.

    A checkpoint is a `.npz` archive, written whole or not at all, with a checksum. It holds the
    history too, so that each one is enough to go on from.

    Args:
        directory: path of the folder.
    """

    def __init__(self, directory):
        self.directory = Path(directory)
        self.history_file = self.directory / "history.json"

    def newest(self):
        """Find the newest intact checkpoint; warn of each damaged one.

        Returns:
            `(position, content)`, the content a dict; None if there is no checkpoint.

        Raises:
            ValueError: if none of several is intact, or all are missing.
        """
        damaged = []
        for position, file in reversed(self.files()):
            try:
                content = self._content(file, position)
            except files.DamagedFileError as error:
                damaged.append(error)
                continue
            if content is not None:
                for reason in damaged:
                    warnings.warn(
                        f"{reason} The training goes on from {file.name}, the one before it.",
                        stacklevel=2,
                    )
                return position, content
        if damaged or self.saved_history():
            raise ValueError(
                f"{self.directory} must hold an intact checkpoint of the training that it tells "
                "of: remove that folder to train anew. Received: "
                f"{' '.join(map(str, damaged)) or 'a history without checkpoints'}"
            )
        return None

    def save(self, position, model, content):
        """Write a checkpoint, and remove those before the last two.

        Args:
            position: `Position`.
            model: the model in training.
            content: dict of JSON values and arrays, nested.

        Raises:
            OSError: if it cannot be written; those before it are intact.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        save_state(model, self.directory / _name(position), content, position.steps > 0)
        found = self.files()
        here = [each for each, _ in found].index(position)
        # Those after it are damaged: the training went on from before them.
        for _, file in found[: max(0, here + 1 - KEPT)] + found[here + 1 :]:
            file.unlink()

    def save_history(self, history):
        """Write the logs of all epochs for readers, if they are not there already.

        Args:
            history: list of dicts.
        """
        text = json.dumps(history, indent=1)
        try:
            up_to_date = self.history_file.read_text() == text
        except (OSError, ValueError):
            up_to_date = False
        if not up_to_date:
            files.write_text(self.history_file, text)

    def load(self, position, model):
        """Load the state of a checkpoint into a model that was built the same way.

        Args:
            position: `Position` of a checkpoint that `newest` found.
            model: a compiled, built Keras model.

        Raises:
            ValueError: if it is of another model.
        """
        load_state(model, self.directory / _name(position), metrics=position.steps > 0)

    def files(self):
        """Positions and files of all checkpoints, from the oldest on."""
        found = []
        if self.directory.is_dir():
            for file in self.directory.iterdir():
                if match := _NAME.fullmatch(file.name):
                    found.append((Position(int(match[1]), int(match[2] or 0)), file))
        return sorted(found)

    def _content(self, file, position):
        """What a checkpoint holds beside variables; None if the training never came there."""
        with open_arrays(file) as arrays:
            if "content" in arrays:
                return _decoded(json.loads(arrays["content"].tobytes()), arrays)
        # Of before checkpoints held the history: an epoch counted once it was in that file.
        history = self.saved_history()
        if len(history) < position.epochs:
            return None
        return {"history": history[: position.epochs]}

    def saved_history(self):
        """What `history.json` holds; nothing if that is damaged or missing."""
        if not self.history_file.exists():
            return []
        try:
            return files.read_json(self.history_file)
        except files.DamagedFileError:
            return []


def read_history(directory):
    """Return the logs of all epochs of a training.

    Args:
        directory: folder of its checkpoints.

    Returns:
        A list of dicts: of the newest intact checkpoint, else of `history.json`; empty where
        nothing was trained.

    Raises:
        ValueError: if there are checkpoints and none is intact.
    """
    folder = CheckpointFolder(directory)
    history = folder.saved_history()
    if history and not folder.files():
        return history  # where only that was kept
    found = folder.newest()
    return found[1]["history"] if found else []


def _name(position):
    steps = f"_step_{position.steps:06d}" if position.steps else ""
    return f"epoch_{position.epochs:04d}{steps}.npz"


def save_state(model, file, content=None, metrics=False):
    """Save all variables of a model and its optimizer, those of random generators among them.

    `model.save_weights` leaves out the random generators: a training that goes on from its file
    draws other dropout masks and other restarts of codes than one that was never stopped.

    Args:
        model: a compiled, built Keras model.
        file: path to write, ending in `.npz`.
        content: dict of JSON values and arrays, nested, to be kept with them; or None.
        metrics: whether to save what the metrics have seen, too. Between processes of
            `tf.distribute` it lies in parts, which one process cannot read alone.

    Raises:
        OSError: if it cannot be written.
    """
    arrays: dict[str, Any] = {}
    encoded = json.dumps(_encoded(content or {}, arrays)).encode()
    arrays["content"] = np.frombuffer(encoded, np.uint8)
    kinds = [("variable", _variables(model))]
    if metrics:
        kinds.append(("metric", model.metrics_variables))
    for kind, variables in kinds:
        for index, variable in enumerate(variables):
            arrays[f"{kind}_{index}"] = keras.ops.convert_to_numpy(variable)
    files.write_archive(file, lambda partial: np.savez(partial, **arrays))


def load_state(model, file, metrics=False):
    """Load what `save_state` saved into a model that was built and compiled the same way.

    Args:
        model: a compiled, built Keras model.
        file: path to read.
        metrics: whether to load what the metrics had seen, too.

    Raises:
        ValueError: if the file is damaged, or of another model.
    """
    with open_arrays(file) as arrays:
        # Of before there was a content, NumPy named the variables.
        kinds = [("variable" if "content" in arrays else "arr", _variables(model))]
        if metrics:
            kinds.append(("metric", model.metrics_variables))
        pairs = []
        for kind, variables in kinds:
            count = sum(name.startswith(f"{kind}_") for name in arrays.files)
            values = [arrays[f"{kind}_{index}"] for index in range(count)]
            if [value.shape for value in values] != [tuple(v.shape) for v in variables]:
                raise ValueError(
                    f"{file} must be of this model, built and compiled as it is: give the options "
                    "of before, or remove that folder to train anew. Received: other variables"
                )
            pairs += zip(variables, values, strict=True)
    for variable, value in pairs:
        variable.assign(value)


def callback_state(callback):
    """Return the attributes of a Keras callback that are plain values or arrays.

    Args:
        callback: `keras.callbacks.Callback`, such as `EarlyStopping`.

    Returns:
        A dict.

    Example:

    >>> callback_state(keras.callbacks.EarlyStopping(patience=3))["patience"]
    3
    """
    return {
        name: value
        for name, value in vars(callback).items()
        if name not in _NO_STATE and _is_plain(value)
    }


def generator_state():
    """Return the state of the global random generators, PyTorch's among them, as plain values."""
    version, words, gauss = random.getstate()
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    state = {"python": [version, np.array(words), gauss], "numpy": [kind, keys, *rest]}
    if keras.backend.backend() == "torch":
        from keras_vqvae2.training.torch import generator_states

        state["torch"] = generator_states()
    return state


def set_generator_state(state):
    """Set the random generators as `generator_state` gave them.

    Args:
        state: of `generator_state`.
    """
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    np.random.set_state(tuple(state["numpy"]))  # noqa: NPY002
    if "torch" in state and keras.backend.backend() == "torch":
        from keras_vqvae2.training.torch import set_generator_states

        set_generator_states(state["torch"])


def _variables(model):
    return model.trainable_variables + model.non_trainable_variables + model.optimizer.variables


def _is_plain(value):
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(each) for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype.kind in "biuf"
    return value is None or isinstance(value, (bool, int, float, str))


def _encoded(value, arrays):
    """A nest as JSON has it, with the names of its arrays, which are added to `arrays`."""
    if isinstance(value, dict):
        return {key: _encoded(each, arrays) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encoded(each, arrays) for each in value]
    if isinstance(value, (np.ndarray, np.generic)):
        name = f"content_{len(arrays)}"
        arrays[name] = np.asarray(value)
        return {"__array__": name}
    return value


def _decoded(value, arrays):
    if isinstance(value, dict):
        if set(value) == {"__array__"}:
            return arrays[value["__array__"]][()]  # a scalar again, where it was one
        return {key: _decoded(each, arrays) for key, each in value.items()}
    return [_decoded(each, arrays) for each in value] if isinstance(value, list) else value
