"""SavedModels of plain TensorFlow: they need neither Keras nor this package to run.

Every input has the batch first. What is wrong with a request is found by assertions in the graph,
so that any server answers `INVALID_ARGUMENT` and names the input.
"""

import dataclasses
import functools
import inspect
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from keras_vqvae2.models.levels import code_names
from keras_vqvae2.ops import to_uint8
from keras_vqvae2.sampling import NO_CLASS, RULES, uniform_noise


@dataclasses.dataclass(frozen=True)
class Input:
    """An input of a signature.

    Attributes:
        shape: of one row.
        dtype: name of the dtype.
        rule: what all values must be, for messages; empty if they may be anything.
        holds: callable `tensor -> bool tensor` that tells whether values follow the rule.
        default: value of all rows where the input is not given; None if it must be given.
    """

    shape: tuple[int, ...]
    dtype: str
    rule: str = ""
    holds: Callable[[Any], Any] | None = None
    default: float | None = None


def export_vqvae(model, path):
    """Write a `VQVAE2` as a SavedModel with the signatures `reconstruct`, `encode` and `decode`.

    `serving_default` is `reconstruct`.

    Args:
        model: `VQVAE2`, on either backend.
        path: folder to write, which must not exist: for TensorFlow Serving the number of a version.

    Raises:
        ValueError: if `path` exists.

    Example:

    ```python
    export_vqvae(keras.saving.load_model("vqvae.keras"), "savedmodels/vqvae/1")
    ```
    """
    _export(model, path, _vqvae_signatures, default="reconstruct")


def export_generator(model, path):
    """Write an `ImageGenerator` as a SavedModel with a signature for each thing that it does.

    `sample` (also `serving_default`), `sample_from_noise`, `complete`, `log_prob`, `reconstruct`,
    `encode` and `decode`. Image `i` of `sample` depends on row `i` of its inputs alone, and is that
    of `generate(1, seed=seed[i], ...)`.

    Args:
        model: `ImageGenerator`, on either backend.
        path: folder to write, which must not exist: for TensorFlow Serving the number of a version.

    Raises:
        ValueError: if `path` exists.

    Example:

    ```python
    export_generator(keras.saving.load_model("emoji32.keras"), "savedmodels/emoji32/1")
    ```
    """
    _export(model, path, _generator_signatures, default="sample")


def read_signatures(directory):
    """Return the signatures of a SavedModel, without loading it.

    Args:
        directory: folder of a SavedModel.

    Returns:
        Dictionary from name to `SignatureDef`.

    Example:

    ```python
    read_signatures("savedmodels/emoji32/1")["sample"].defaults["temperature"]
    ```
    """
    from tensorflow.core.protobuf import saved_model_pb2

    saved_model = saved_model_pb2.SavedModel()
    saved_model.ParseFromString((Path(directory) / "saved_model.pb").read_bytes())
    signatures = saved_model.meta_graphs[0].signature_def
    return {name: signatures[name] for name in signatures if not name.startswith("__")}


def _export(model, path, signatures, default):
    path = Path(path)
    if path.exists():
        raise ValueError(
            "`path` must not exist: what a server may have loaded is never changed. "
            f"Received: path={path}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    # Moved to its place when complete: a server that watches the folder sees all or nothing.
    with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
        partial = Path(folder) / "model"
        if keras.backend.backend() == "tensorflow":
            _save(model, signatures(model), default, partial)
        else:
            _save_on_tensorflow(model, partial)
        partial.rename(path)


def _save(model, signatures, default, path):
    import tensorflow as tf

    functions = {name: _signature(*signature) for name, signature in signatures.items()}
    functions["serving_default"] = functions[default]
    module = tf.Module()
    # A plain list of each variable once: TensorFlow does not look into Keras's own lists.
    module.weights = [weight.value for weight in model.weights]
    tf.saved_model.save(module, str(path), signatures=functions)


def _save_on_tensorflow(model, path):
    """Carry the weights to a process on TensorFlow: from JAX the graph would be one opaque call."""
    script = (
        "import sys, keras, keras_vqvae2; keras.saving.load_model(sys.argv[1]).export(sys.argv[2])"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        model.save(file)
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
        command = [sys.executable, "-c", script, str(file), str(path)]
        result = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        raise RuntimeError(f"The export in a process on TensorFlow failed:\n{result.stderr}")


def _signature(function, inputs):
    """A `tf.function` with named inputs, from a function of a dictionary of checked ones."""
    import tensorflow as tf

    traced = tf.function(function, autograph=False)

    def call(*tensors):
        # Saving traces this more than once, what it calls only the first time.
        return traced(_checked(inputs, dict(zip(inputs, tensors, strict=True))))

    # The names and defaults that TensorFlow reads, of a number of inputs that differs by model.
    call.__signature__ = inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=inspect.Parameter.empty
                if i.default is None
                else tf.constant([i.default], i.dtype),
            )
            for name, i in inputs.items()
        ]
    )
    specs = [tf.TensorSpec((None, *i.shape), i.dtype, name) for name, i in inputs.items()]
    return tf.function(call, input_signature=specs, autograph=False)


def _checked(inputs, tensors):
    """Tensors of one batch size that follow the rules; an operation that fails at run time if not.

    The first input tells the batch size. One with a default may have a single row for all.
    """
    import tensorflow as tf

    result = {}
    for name, rule in inputs.items():
        # Not an assertion: TensorFlow would find it to hold by the declared shape, without a look
        # at what a server feeds. The message has the input's name.
        x = tf.ensure_shape(tensors[name], (None, *rule.shape))
        rows = tf.shape(x)[0]
        if not result:
            first, batch = name, rows
            x = _require(rows > 0, f"`{name}` must hold at least one row. Received: ", rows, x)
        elif rule.default is None:
            message = f"`{name}` must have as many rows as `{first}`. Received: "
            x = _require(tf.equal(rows, batch), message, tf.stack([rows, batch]), x)
        else:
            message = f"`{name}` must have one row, or as many as `{first}`. Received: "
            fits = tf.logical_or(tf.equal(rows, 1), tf.equal(rows, batch))
            x = _require(fits, message, tf.stack([rows, batch]), x)
        if rule.holds is not None:
            message = f"`{name}` must be {rule.rule}. Received: "
            x = _require(tf.reduce_all(rule.holds(x)), message, x, x)
        if rule.default is not None:
            x = tf.broadcast_to(x, (batch, *rule.shape))
        result[name] = x
    return result


def _require(condition, message, received, x):
    """`x`, after an assertion."""
    import tensorflow as tf

    with tf.control_dependencies(
        [tf.debugging.Assert(condition, [message, received], summarize=8)]
    ):
        return tf.identity(x)


def _vqvae_signatures(model):
    images = {"images": Input(model.image_shape, "uint8")}
    codes = _level_inputs(
        model, "codes", "int32", lambda size: (f"in [0, {size})", _between(0, size))
    )

    def encode(inputs):
        return dict(zip(codes, model.encode_tensors(inputs["images"]), strict=True))

    def decode(inputs):
        return {"images": to_uint8(model.decode_tensors(tuple(inputs.values())))}

    def reconstruct(inputs):
        return decode(encode(inputs))

    return {
        "reconstruct": (reconstruct, images),
        "encode": (encode, images),
        "decode": (decode, codes),
    }


def _generator_signatures(model):
    import tensorflow as tf

    images = {"images": Input(model.image_shape, "uint8")}
    mask = {"mask": Input(model.image_shape[:2], "bool")}
    seed = {"seed": Input((), "int64")}
    noise = _level_inputs(
        model.vqvae, "uniforms", "float32", lambda size: ("in [0, 1)", _between(0.0, 1.0))
    )
    labels = {}
    if model.num_classes is not None:
        # A model that knows images without a class takes -1 for none, which is its default then.
        least = NO_CLASS if model.prior.labels_optional else 0
        rule = f"in [{least}, {model.num_classes}), the classes this model knows"
        holds = _between(least, model.num_classes)
        labels = {"labels": Input((), "int32", rule, holds, default=least)}
    options = {
        name: Input((), rule.dtype, rule.text, rule.holds, model.sampling.get(name, rule.neutral))
        for name, rule in RULES.items()
        if name != "guidance" or model.prior.labels_optional
    }

    def request(inputs, uniforms):
        given = {name: inputs.get(name) for name in RULES}
        if given["guidance"] is not None:
            given["guidance"] = (given["guidance"],) * model.vqvae.num_levels
        return {
            "request": {"options": given, "uniforms": uniforms},
            "labels": inputs.get("labels"),
        }

    @functools.partial(tf.function, autograph=False)  # one graph for two signatures
    def generate(rows):
        images, log_prob = _guided_if_asked(model.generate_tensors, rows)
        return {"images": images, "log_prob": log_prob}

    def sample(inputs):
        return generate(request(inputs, _noise(inputs["seed"], model.vqvae)))

    def sample_from_noise(inputs):
        return generate(request(inputs, tuple(inputs[name] for name in noise)))

    def complete(inputs):
        rows = request(inputs, _noise(inputs["seed"], model.vqvae))
        known = {key: inputs[key] for key in ("images", "mask")}
        return {"images": _guided_if_asked(model.complete_tensors, {**rows, **known})}

    def log_prob(inputs):
        return {"log_prob": model.log_prob_tensors({"labels": None, **inputs})}

    return {
        "sample": (sample, {**seed, **labels, **options}),
        "sample_from_noise": (sample_from_noise, {**noise, **labels, **options}),
        "complete": (complete, {**images, **mask, **seed, **labels, **options}),
        "log_prob": (log_prob, {**images, **labels}),
        **_vqvae_signatures(model.vqvae),
    }


def _guided_if_asked(function, rows):
    """Sample twice as wide only where a row asks for guidance: a graph learns it at run time."""
    import tensorflow as tf

    options = rows["request"]["options"]
    if options["guidance"] is None:
        return function(rows)
    plain = {**rows, "request": {**rows["request"], "options": {**options, "guidance": None}}}
    asked = tf.reduce_any(options["guidance"][0] != 1.0)
    return tf.cond(asked, lambda: function(rows), lambda: function(plain))


def _level_inputs(vqvae, what, dtype, rule):
    """An input a level: `codes_top`, `codes_bottom`, or `codes_0` and so on; and so for noise."""
    names = [name.replace("codes", what) for name in code_names(vqvae.num_levels)]
    levels = zip(names, vqvae.code_shapes, vqvae.num_embeddings, strict=True)
    return {name: Input(shape, dtype, *rule(size)) for name, shape, size in levels}


def _noise(seed, vqvae):
    """The noise of each level, of the first image of each seed's own call."""
    import tensorflow as tf

    word = tf.constant(0xFFFFFFFF, "int64")
    low, high = (
        tf.cast(tf.bitwise.bitwise_and(tf.bitwise.right_shift(seed, shift), word), "uint32")
        for shift in (tf.constant(0, "int64"), tf.constant(32, "int64"))
    )
    return tuple(
        uniform_noise((low, high), tf.zeros_like(low), shape, stream)
        for stream, shape in enumerate(vqvae.code_shapes)
    )


def _between(low, high):
    return lambda x: (x >= low) & (x < high)
