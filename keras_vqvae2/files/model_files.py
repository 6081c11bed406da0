"""Models of `.keras` files and folders that anybody may have made: looked at, then loaded.

What Keras refuses depends on its version: this is held to in each.
"""

import contextlib
import json
import math
import threading
import zipfile
from pathlib import Path

import h5py
import keras

from keras_vqvae2.files.outside import (
    MOST_JSON_BYTES,
    DamagedFileError,
    check_zip,
    read_json,
    size_of,
)

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
# Where Keras's parts of a model are; beside them it has functions that fetch and run.
_MODULES = {
    *("activations", "constraints", "dtype_policies", "initializers", "layers", "losses"),
    *("metrics", "models", "ops", "optimizers", "quantizers", "random", "regularizers"),
}
# Of the layers those that run code, unpickle, or read files that a config names.
_REFUSED = {
    *("Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer", "TextVectorization"),
    *("StringLookup", "IntegerLookup", "IndexLookup"),
}
# Of what has no module: values, whose classes are Keras's own.
_VALUES = {"__keras_tensor__", "__numpy__", "__tensor__", "__ellipsis__", "__complex__", "slice"}
_SIZES = {"num_embeddings", "num_classes"}
MOST_PARTS = 1_024
_SLACK = 1 << 16  # bytes, of counters that are not saved


def load_model(path):
    """Load a model, once its file is found to hold no code and no more than it seems to.

    Classes are Keras's own, this package's, and those that you have registered with Keras. Weights
    lie in the file as they are; the model has no more of them than that.

    Args:
        path: of a `.keras` file, or of the folder that `model.save(folder, zipped=False)` writes.

    Returns:
        The `keras.Model`.

    Raises:
        ValueError: if the file is damaged, not such a model, or would run, read or take more than
            it may; one sentence with its name.
        OSError: if it cannot be read.

    Example:

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "model.keras"
    >>> keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(file)
    >>> load_model(file).count_params()
    3
    """
    path = Path(path)
    config, weights = _read_folder(path) if path.is_dir() else _read_file(path)
    _check_config(config, path)
    with _at_most(4 * weights + _SLACK, path):  # a half takes more in memory than in a file
        try:
            return keras.saving.load_model(path)
        except DamagedFileError:
            raise
        except Exception as error:  # of a config that fits no constructor, Keras raises all kinds
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ValueError(f"{path} must hold a model of this version. {reason}") from error


def fetch_model(name):
    """Fetch the files of a model from the hub; `load_model` looks at them.

    Args:
        name: `"user/model"`.

    Returns:
        The path of a folder.

    Raises:
        ModuleNotFoundError: without `huggingface_hub`.

    Example:

    ```python
    load_model(fetch_model("user/model"))
    ```
    """
    from huggingface_hub import snapshot_download

    return snapshot_download(name, allow_patterns=[CONFIG, METADATA, WEIGHTS])


def _read_file(path):
    """The config of a `.keras` file, and the bytes of its weights."""
    check_zip(path)
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist()) - {"assets/"}
        if names != {CONFIG, METADATA, WEIGHTS}:
            raise DamagedFileError(
                f"{path} must hold {CONFIG}, {METADATA} and {WEIGHTS}. Received: "
                f"{sorted(names)[:5]}"
            )
        if archive.getinfo(CONFIG).file_size > MOST_JSON_BYTES:
            raise DamagedFileError(f"{path} must have a {CONFIG} of at most {MOST_JSON_BYTES:,} B")
        with archive.open(WEIGHTS) as file:
            weights = _check_weights(file, archive.getinfo(WEIGHTS).file_size, path)
        try:
            return json.loads(archive.read(CONFIG)), weights
        except (ValueError, RecursionError, zipfile.BadZipFile) as error:
            raise DamagedFileError(f"{path} is damaged: {error}") from None


def _read_folder(path):
    """The config of a folder, and the bytes of its weights."""
    # A hub's folder is one of links, into the one of its downloads.
    downloads = path.resolve().parents[1] if path.resolve().parent.name == "snapshots" else path
    for file in (path / CONFIG, path / METADATA, path / WEIGHTS):
        if not file.exists():
            raise ValueError(f"{path} must hold a model. Received: a folder without {file.name}")
        if not file.resolve().is_relative_to(downloads.resolve()):
            raise DamagedFileError(f"{file} must lie in its folder. Received: a link out of it")
    with open(path / WEIGHTS, "rb") as file:
        weights = _check_weights(file, size_of(path / WEIGHTS), path / WEIGHTS)
    return read_json(path / CONFIG), weights


def _check_weights(file, size, path):
    """Return the bytes of all arrays of an HDF5 file, which are those that it holds itself."""
    total = 0
    try:
        with h5py.File(file, "r") as root:
            waiting, seen = [root], set()
            while waiting:
                node = waiting.pop()
                place = h5py.h5o.get_info(node.id).addr
                if place in seen:
                    continue
                seen.add(place)
                if isinstance(node, h5py.Group):
                    for name in node:
                        if not isinstance(node.get(name, getlink=True), h5py.HardLink):
                            raise DamagedFileError(f"{path} must hold no links. Received: {name!r}")
                        waiting.append(node[name])
                elif node.external or node.is_virtual or node.id.get_create_plist().get_nfilters():
                    raise DamagedFileError(
                        f"{path} must hold its weights as they are, neither compressed nor in "
                        f"other files. Received: {node.name!r}"
                    )
                else:
                    total += math.prod(map(int, node.shape)) * node.dtype.itemsize
    except DamagedFileError:
        raise
    except Exception as error:  # of a damaged file h5py raises errors of many kinds
        raise DamagedFileError(f"{path} is damaged: {error}") from None
    if total > size:
        raise DamagedFileError(
            f"{path} must hold the weights that it tells of. Received: {total:,} bytes of weights "
            f"in {size:,}"
        )
    return total


def _check_config(config, path):
    """Refuse what a config names beside the parts of a model, and counts without measure."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            if "class_name" in value and not _is_part(value):
                raise DamagedFileError(
                    f"{path} must consist of Keras's and this package's classes, without "
                    f"`{'`, `'.join(sorted(_REFUSED))}`: others must be registered with Keras "
                    f"first. Received: {value['class_name']!r} of {value.get('module')!r}"
                )
            for name, count in value.items():
                counts = count if isinstance(count, list) else [count]
                if (
                    name.startswith("num_")
                    and name not in _SIZES
                    and any(isinstance(each, int) and each > MOST_PARTS for each in counts)
                ):
                    raise DamagedFileError(
                        f"{path} must have at most {MOST_PARTS:,} of each part. "
                        f"Received: {name}={count}"
                    )


def _is_part(value):
    """Whether a serialized object is one of Keras's parts of models, or of a registered class."""
    name, module = value["class_name"], value.get("module")
    if not isinstance(name, str) or name in _REFUSED:
        return False
    if keras.saving.get_registered_object(value.get("registered_name") or name) is not None:
        return True
    if module is None:
        return name in _VALUES
    if (name, module) == ("function", "builtins"):
        return True  # which Keras looks up among its own
    if module == "keras":
        return True
    root, _, inner = str(module).removeprefix("keras.src.").partition(".")
    return root in _MODULES or (root == "keras" and inner.partition(".")[0] in _MODULES)


@contextlib.contextmanager
def _at_most(limit, path):
    """Meanwhile layers that are made in this thread have no more bytes of weights than a file."""
    original, thread, left = keras.layers.Layer.add_weight, threading.get_ident(), limit

    def add_weight(self, *arguments, **options):
        nonlocal left
        shape = options.get("shape", arguments[0] if arguments else None)
        if threading.get_ident() == thread:
            left -= 4 * math.prod(shape if isinstance(shape, (tuple, list)) else ())
            if left < 0:
                raise DamagedFileError(
                    f"{path} must describe a model of the size of its weights. Received: a layer "
                    f"{self.name!r} with weights of the shape {shape}"
                )
        return original(self, *arguments, **options)

    keras.layers.Layer.add_weight = add_weight
    try:
        yield
    finally:
        keras.layers.Layer.add_weight = original
