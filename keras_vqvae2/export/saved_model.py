"""SavedModels of plain TensorFlow: they need neither Keras nor this package to run.

What is wrong with a request is found by assertions in the graph, so that any server answers
`INVALID_ARGUMENT` and names the input.
"""

import inspect
from pathlib import Path


def save(model, signatures, default, path):
    """Write a SavedModel.

    Args:
        model: whose weights the signatures read.
        signatures: of `signatures.vqvae_signatures` or `generator_signatures`.
        default: name of the one that is `serving_default`, too.
        path: folder to write.

    Example:

    ```python
    save(vqvae, vqvae_signatures(vqvae), "reconstruct", "savedmodels/vqvae/1")
    ```
    """
    import tensorflow as tf

    functions = {name: _signature(*signature) for name, signature in signatures.items()}
    functions["serving_default"] = functions[default]
    module = tf.Module()
    # A plain list of each variable once: TensorFlow does not look into Keras's own lists.
    module.weights = [weight.value for weight in model.weights]
    tf.saved_model.save(module, str(path), signatures=functions)


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
