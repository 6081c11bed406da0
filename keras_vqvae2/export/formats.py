"""The exports of both models, in each format that Keras knows."""

import functools
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import keras

from keras_vqvae2.export.signatures import generator_signatures, vqvae_signatures

# What each format is written with beside TensorFlow: a module, and the extra that installs it.
FORMATS = {
    "tf_saved_model": None,
    "onnx": ("tf2onnx", "onnx"),
    "openvino": ("openvino", "openvino"),
    "litert": None,
}
FILES = (".keras", ".onnx", ".xml", ".bin", ".tflite")


def export_vqvae(model, path, format="tf_saved_model"):
    """Write a `VQVAE2` with the signatures `reconstruct`, `encode` and `decode`.

    Of a SavedModel `serving_default` is `reconstruct`.

    Args:
        model: `VQVAE2`, on either backend.
        path: folder to write, which must not exist: for TensorFlow Serving the number of a version.
        format: "tf_saved_model", or "onnx", "openvino" or "litert": a file a signature, and
            `signatures.json`, which names their inputs and outputs; see docs/export.md.

    Raises:
        ValueError: if `path` exists or names a file, or the format is unknown or cannot hold the
            model.
        ModuleNotFoundError: without the package that writes the format.

    Example:

    ```python
    export_vqvae(keras.saving.load_model("vqvae.keras"), "savedmodels/vqvae/1")
    ```
    """
    _export(model, path, format, vqvae_signatures, default="reconstruct")


def export_generator(model, path, format="tf_saved_model"):
    """Write an `ImageGenerator` with a signature for each thing that it does.

    `sample` (of a SavedModel also `serving_default`), `sample_from_noise`, `complete`, `log_prob`,
    `reconstruct`, `encode` and `decode`. Image `i` of `sample` depends on row `i` of its inputs
    alone, and is that of `generate(1, seed=seed[i], ...)`. Other formats than a SavedModel have no
    `sample` and no `complete`, which draw their noise from seeds.

    Args:
        model: `ImageGenerator`, on either backend.
        path: folder to write, which must not exist: for TensorFlow Serving the number of a version.
        format: as of `export_vqvae`.

    Raises:
        ValueError: as of `export_vqvae`.
        ModuleNotFoundError: without the package that writes the format.

    Example:

    ```python
    export_generator(keras.saving.load_model("emoji32.keras"), "savedmodels/emoji32/1")
    ```
    """
    # The convolutions of a branch are what tf2onnx cannot read.
    signatures = functools.partial(generator_signatures, branches=format == "tf_saved_model")
    _export(model, path, format, signatures, default="sample")


def _export(model, path, format, signatures, default):
    path = Path(path)
    _check(model, path, format)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Moved to its place when complete: a server that watches the folder sees all or nothing.
    with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
        partial = Path(folder) / "model"
        if keras.backend.backend() != "tensorflow":
            _export_on_tensorflow(model, partial, format)
        elif format == "tf_saved_model":
            from keras_vqvae2.export import saved_model

            saved_model.save(model, signatures(model), default, partial)
        else:
            from keras_vqvae2.export import engines

            engines.write(signatures(model), format, partial)
        partial.rename(path)


def _check(model, path, format):
    if format not in list(FORMATS):  # which takes what has no hash, too
        because = ""
        if format == "torch":
            because = ": the graph that is exported is TensorFlow's, and nothing makes a program "
            because += "of PyTorch of one"
        raise ValueError(
            f"`format` must be one of {', '.join(map(repr, FORMATS))}. "
            f"Received: {format=!r}{because}"
        )
    if path.exists():
        raise ValueError(
            "`path` must not exist: what a server may have loaded is never changed. "
            f"Received: path={path}"
        )
    if path.suffix in FILES:
        raise ValueError(
            "`path` must name a folder, in which each signature becomes a file. "
            f"Received: path={path}"
        )
    if format == "tf_saved_model":
        return
    narrow = {layer.compute_dtype for layer in model._flatten_layers()} - {"float32"}
    if narrow:
        raise ValueError(
            f"`format` must be 'tf_saved_model' for a model that computes in {narrow.pop()}: the "
            f"other engines compute in float32. Received: {format=!r}"
        )
    if FORMATS[format] is not None:
        module, extra = FORMATS[format]
        if importlib.util.find_spec(module) is None:
            raise ModuleNotFoundError(
                f"format={format!r} needs the package {module}: "
                f"pip install 'keras-vqvae2[{extra}]'",
                name=module,
            )


def _export_on_tensorflow(model, path, format):
    """Carry the weights to a process on TensorFlow: from JAX the graph would be one opaque call."""
    script = (
        "import sys, keras, keras_vqvae2; "
        "keras.saving.load_model(sys.argv[1]).export(sys.argv[2], sys.argv[3])"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        model.save(file)
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
        command = [sys.executable, "-c", script, str(file), str(path), format]
        result = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        raise RuntimeError(f"The export in a process on TensorFlow failed:\n{result.stderr}")
