"""Models of `.keras` files and folders that anybody may have made: looked at, then loaded; saved.

What Keras refuses depends on its version: this is held to in each.
"""

import collections
import contextlib
import io
import json
import math
import tempfile
import threading
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np

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


def load_model(path, part=None):
    """Load a model, once its file is found to hold no code and no more than it seems to.

    Classes are Keras's own, this package's, and those that you have registered with Keras. Weights
    lie in the file as they are; the model has no more of them than that.

    Args:
        path: of a `.keras` file, or of the folder that `model.save(folder, zipped=False)` writes.
        part: name of a class: of a model of another class its first part of that class is loaded,
            alone, if it has one. None for the model as it is.

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
    found = _first_of(part, config) if part else config
    if found in (None, config):
        return _load(path, path, weights)
    with tempfile.TemporaryDirectory() as folder:
        _write_part(path, found, Path(folder))
        return _load(Path(folder), path, weights)


def save_model(model, folder):
    """Save a model without its optimizer, as `load_model` and Keras load it.

    Args:
        model: Keras model that is made from its config.
        folder: path of a folder, made if there is none.

    Example:

    ```python
    save_model(vqvae, "my_vqvae")
    ```
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = _uncompiled(keras.saving.serialize_keras_object(model))
    bare = keras.saving.deserialize_keras_object(config)
    bare.set_weights(model.get_weights())
    bare.save(folder, zipped=False)
    with contextlib.suppress(OSError):
        (folder / "assets").rmdir()  # which is empty, where Keras makes one
    told = json.loads((folder / METADATA).read_text())
    told["parameter_count"] = model.count_params()
    (folder / METADATA).write_text(json.dumps(told))


def fetch_model(handle):
    """Fetch the files of a model from a hub; `load_model` looks at them.

    Args:
        handle: `"hf://user/model"` or `"kaggle://user/model/framework/variation"`, which may end
            with `/version`.

    Returns:
        The path of a folder.

    Raises:
        ModuleNotFoundError: without `huggingface_hub`, or `kagglehub`.

    Example:

    ```python
    load_model(fetch_model("hf://user/model"))
    ```
    """
    hub, _, name = handle.partition("://")
    if hub == "kaggle":
        from kagglehub import model_download

        return model_download(name)
    from huggingface_hub import snapshot_download

    # The newest revision is what its name asks for; what comes is looked at.
    return snapshot_download(name, allow_patterns=[CONFIG, METADATA, WEIGHTS])  # nosec B615


def _load(path, named, weights):
    with _at_most(4 * weights + _SLACK, named):  # a half takes more in memory than in a file
        try:
            return keras.saving.load_model(path)
        except DamagedFileError:
            raise
        except Exception as error:  # of a config that fits no constructor, Keras raises all kinds
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ValueError(f"{named} must hold a model of this version. {reason}") from error


def _first_of(class_name, config):
    """The config of a class that comes first in one; None if there is none."""
    waiting = collections.deque([config])
    while waiting:
        value = waiting.popleft()
        if isinstance(value, dict) and value.get("class_name") == class_name:
            return value
        if isinstance(value, (dict, list)):
            waiting += value.values() if isinstance(value, dict) else value
    return None


def _write_part(path, config, folder):
    """Write the folder of a part of a model: its config, and the group of its weights."""
    (folder / CONFIG).write_text(json.dumps(config))
    with contextlib.ExitStack() as stack:
        if path.is_dir():
            weights = path / WEIGHTS
            told = (path / METADATA).read_bytes()
        else:
            archive = stack.enter_context(zipfile.ZipFile(path))
            weights = stack.enter_context(archive.open(WEIGHTS))
            told = archive.read(METADATA)
        (folder / METADATA).write_bytes(told)
        source = stack.enter_context(h5py.File(weights, "r"))
        target = stack.enter_context(h5py.File(folder / WEIGHTS, "w"))
        name = config["config"].get("name")

        def is_its(_, node):
            """The node, which ends the search, or None."""
            variables = node.get("vars") if isinstance(node, h5py.Group) else None
            return node if variables is not None and variables.attrs.get("name") == name else None

        group = source.visititems(is_its)
        if group is None:
            raise DamagedFileError(f"{path} must hold the weights of its {name!r}")
        for child in group:
            source.copy(group[child], target, child)


def _uncompiled(config):
    """A config, nested, without what models were compiled with."""
    if isinstance(config, dict):
        return {k: _uncompiled(v) for k, v in config.items() if k != "compile_config"}
    return [_uncompiled(each) for each in config] if isinstance(config, list) else config


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
        try:
            config = json.loads(archive.read(CONFIG))
            # As a whole: to go back within a member, an archive reads it anew.
            weights = io.BytesIO(archive.read(WEIGHTS))
        except (ValueError, RecursionError, zipfile.BadZipFile) as error:
            raise DamagedFileError(f"{path} is damaged: {error}") from None
    return config, _check_weights(weights, weights.getbuffer().nbytes, path)


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
    # PyTorch has optimizers of its own.
    place = str(module).removeprefix("keras.src.").removeprefix("backend.torch.")
    root, _, inner = place.partition(".")
    return root in _MODULES or (root == "keras" and inner.partition(".")[0] in _MODULES)


def _zeros(shape, dtype=None):
    return np.zeros(shape, dtype)


@contextlib.contextmanager
def _at_most(limit, path):
    """Meanwhile layers that are made in this thread have no more bytes of weights than a file.

    The weights begin as zeros, since those of the file take their place: JAX would compile a
    program for each shape of random ones, which took most of the time of loading.
    """
    original, thread, left = keras.layers.Layer.add_weight, threading.get_ident(), limit

    def add_weight(self, shape=None, initializer=None, *arguments, **options):
        nonlocal left
        if threading.get_ident() == thread:
            initializer = _zeros
            left -= 4 * math.prod(shape if isinstance(shape, (tuple, list)) else ())
            if left < 0:
                raise DamagedFileError(
                    f"{path} must describe a model of the size of its weights. Received: a layer "
                    f"{self.name!r} with weights of the shape {shape}"
                )
        return original(self, shape, initializer, *arguments, **options)

    keras.layers.Layer.add_weight = add_weight
    try:
        yield
    finally:
        keras.layers.Layer.add_weight = original
