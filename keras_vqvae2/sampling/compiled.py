"""Compilation of functions that read a model's variables, and requests cut into equal chunks."""

import contextlib
import contextvars
import math

import keras
import numpy as np

from keras_vqvae2 import checks

_WITHOUT_LISTS = contextvars.ContextVar("without_lists", default=False)


def compile_function(model, function):
    """Compile a function of tensors that reads the variables of a model.

    It is traced once for each shape of its argument, on TensorFlow once for all numbers of rows,
    and always sees the variables' present values. On PyTorch it is left as it is, without
    gradients.

    Args:
        model: the `keras.Model` whose variables the function reads, and does not write.
        function: callable of one nest of arrays (and None) that returns a nest of tensors.

    Returns:
        A callable with the same argument.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        traced = {}

        def reading_once(argument):
            # Outside of all loops, whose bodies then have no nodes for it.
            values = [tf.convert_to_tensor(v.value) for v in model.variables]
            with keras.StatelessScope(state_mapping=zip(model.variables, values, strict=True)):
                return function(argument)

        def compiled(argument):
            # One concrete function a shape, by our own count: TensorFlow would warn of retracing.
            argument = keras.tree.map_structure(_to_tensor, argument)
            specs = keras.tree.map_structure(of_any_rows, argument)
            key = tuple(keras.tree.flatten(specs))
            if key not in traced:
                graph = tf.function(reading_once, autograph=False)
                traced[key] = graph.get_concrete_function(specs)
            with _few_rewrites():
                return traced[key](argument)

        def of_any_rows(leaf):
            if leaf is None:
                return None
            return tf.TensorSpec([None, *leaf.shape[1:]] if leaf.shape.rank else [], leaf.dtype)

        return compiled
    if keras.backend.backend() == "torch":
        import torch

        @torch.inference_mode()
        def eager(argument):
            return function(keras.tree.map_structure(_to_tensor, argument))

        return eager

    import jax

    @jax.jit
    def stateless(values, argument):
        # As arguments: captured values would be constants of the first trace.
        with keras.StatelessScope(state_mapping=zip(model.variables, values, strict=True)):
            return function(argument)

    return lambda argument: stateless([v.value for v in model.variables], argument)


def _few_rewrites():
    """Within it TensorFlow rewrites the graphs that this thread runs by three passes, once each.

    All of its passes together take longer than a first run, and gain no more for the later ones.
    """

    def change(rewrites):
        rewrites.optimizers[:] = ["pruning", "common_subgraph_elimination", "dependency"]
        rewrites.meta_optimizer_iterations = rewrites.ONE

    return graph_rewrites(change)


@contextlib.contextmanager
def graph_rewrites(change):
    """Within it TensorFlow rewrites the graphs that this thread runs in another way.

    Args:
        change: callable of TensorFlow's `RewriterConfig`, which it changes.
    """
    import tensorflow as tf

    # No public function has options of its own; those of `tf.config` are of all threads.
    from tensorflow.python.eager import context

    here = context.context()
    before = here.function_call_options
    config = tf.compat.v1.ConfigProto.FromString(before.config_proto_serialized)
    change(config.graph_options.rewrite_options)
    here.function_call_options = context.FunctionCallOptions(before.executor_type, config)
    try:
        yield
    finally:
        here.function_call_options = before


def where_needed(needed, function, otherwise):
    """Return what a function gives, or what takes less time and gives the same where it may.

    PyTorch would wait for the device to learn whether it is needed: there it always runs.

    Args:
        needed: bool scalar tensor.
        function: callable without arguments that returns a tensor.
        otherwise: as `function`; it may give another tensor only where that is not needed.

    Returns:
        The tensor.
    """
    if keras.backend.backend() == "torch":
        return function()
    return keras.ops.cond(needed, function, otherwise)


@contextlib.contextmanager
def without_lists():
    """Within it TensorFlow's graphs have no lists of tensors, which not all engines can read."""
    token = _WITHOUT_LISTS.set(True)
    try:
        yield
    finally:
        _WITHOUT_LISTS.reset(token)


def empty_row(column, width):
    """Return a row that a loop fills with columns, each of which `with_column` puts in its place.

    On TensorFlow it is of `TensorArray`: there an array would be copied whole for each column.

    Args:
        column: nest of tensors `[B, ...]`, of the shapes of a column.
        width: `W`, an integer.

    Returns:
        A nest for the state of a loop; `filled_row` makes tensors `[W, B, ...]` of it.
    """
    if keras.backend.backend() == "tensorflow" and not _WITHOUT_LISTS.get():
        import tensorflow as tf

        def empty(x):
            return tf.TensorArray(x.dtype, width, element_shape=x.shape)

    else:

        def empty(x):
            return keras.ops.zeros((width, *keras.ops.shape(x)), x.dtype)

    return keras.tree.map_structure(empty, column)


def with_column(row, index, column):
    """Return a row of `empty_row` with the column of an index filled."""

    def put(array, x):
        if hasattr(array, "write"):
            return array.write(index, x)
        return keras.ops.scatter_update(array, keras.ops.reshape(index, (1, 1)), x[None])

    return keras.tree.map_structure(put, row, column)


def filled_row(row):
    """Return a row of `empty_row`, all of it filled, as a nest of tensors `[W, B, ...]`."""
    return keras.tree.map_structure(lambda x: x.stack() if hasattr(x, "stack") else x, row)


@contextlib.contextmanager
def without_optimizing():
    """Within it JAX compiles sooner what then runs slower; TensorFlow does as always.

    For what runs once, as the building of a model does: JAX compiles a function a shape.
    """
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    flag = "jax_disable_most_optimizations"
    before = jax.config.read(flag)
    jax.config.update(flag, True)
    try:
        yield
    finally:
        jax.config.update(flag, before)


def run_in_chunks(function, rows, limit=64, callback=None):
    """Apply a function to rows in chunks of one size; the last is padded and cut.

    The size is a power of two up to `limit`, so that few shapes are ever compiled.

    Args:
        function: callable of a nest like `rows` with `[chunk, ...]` arrays that returns a nest of
            tensors `[chunk, ...]`.
        rows: nest of NumPy arrays `[N, ...]` and None.
        limit: the largest chunk, a power of two.
        callback: callable `(done, total)`, called after each chunk; or None.

    Returns:
        The function's nest, of NumPy arrays `[N, ...]`.

    Raises:
        ValueError: if `limit`, a caller's `batch_size`, is not a positive integer.
    """
    limit = checks.positive_int("batch_size", limit)
    total = len(next(array for array in keras.tree.flatten(rows) if array is not None))
    size = min(limit, 2 ** math.ceil(math.log2(total)))
    results = []
    for start in range(0, total, size):
        # The last row again, until the chunk is full.
        index = np.minimum(np.arange(start, start + size), total - 1)
        done = min(start + size, total)
        result = function(_take(rows, index))
        results.append(
            _take(keras.tree.map_structure(keras.ops.convert_to_numpy, result), slice(done - start))
        )
        if callback is not None:
            callback(done, total)
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *results)


def _take(rows, index):
    return keras.tree.map_structure(lambda x: None if x is None else x[index], rows)


def _to_tensor(leaf):
    return None if leaf is None else keras.ops.convert_to_tensor(leaf)
