"""The one door to replicas: sums over all of them, and rows as if they lay in one batch.

In a replica context of `tf.distribute`, and in a process group of `torch.distributed`, a layer sees
its replica's part of the batch. Under `keras.distribution` on JAX it sees the whole batch, as on
one device: there, and where there is one replica, everything here is the identity.
"""

import contextvars
import dataclasses
from typing import Any

import keras
from keras import ops

# Whether the batch that this replica runs on is a stand-in for an empty one, a bool tensor.
_STAND_IN = contextvars.ContextVar("stand_in", default=False)


def num_replicas():
    """Return how many replicas take this step together."""
    replicas = _replicas()
    return 1 if replicas is None else replicas.count


def all_reduce_sum(values):
    """Sum over all replicas.

    Args:
        values: tensor, or nest of tensors and None, of the same shape on every replica.

    Returns:
        The same nest: on every replica the sum; where there is one replica `values` itself.

    Example:

    >>> all_reduce_sum(3.0)
    3.0
    """
    replicas = _replicas()
    return values if replicas is None else replicas.sum(values)


def run_on_batch(function, inputs):
    """Run a function of this replica's batch, also where that is empty.

    TensorFlow's convolutions on a CPU give an empty batch a wrong shape. An example of zeros stands
    in for it: the function's results are cut to none, and `GlobalRows` leaves out its rows.

    Args:
        function: callable of `inputs` that returns a nest of tensors `[B, ...]`.
        inputs: nest of tensors `[B, ...]`.

    Returns:
        The function's nest.

    Example:

    >>> run_on_batch(lambda x: x + 1, ops.array([1, 2])).shape[0]
    2
    """
    if _replicas() is None:
        return function(inputs)
    size = ops.shape(keras.tree.flatten(inputs)[0])[0]

    def padded(x):
        return ops.concatenate([x, ops.zeros((ops.where(size == 0, 1, 0), *x.shape[1:]), x.dtype)])

    token = _STAND_IN.set(size == 0)
    try:
        outputs = function(keras.tree.map_structure(padded, inputs))
    finally:
        _STAND_IN.reset(token)
    return keras.tree.map_structure(lambda y: y[:size], outputs)


def choose(condition, if_true, if_false, values):
    """Run one of two functions, each of which may change variables and talk to other replicas.

    Args:
        condition: bool scalar, the same on every replica.
        if_true: function of `values`, without a result.
        if_false: the same.
        values: nest of this replica's tensors. A function must take its tensors from here: those
            that it closes over would be of one replica.

    Example:

    >>> choose(ops.array(True), lambda x: print("yes"), lambda x: print("no"), ops.array(0))
    yes
    """
    # Of one replica too: the variables of a strategy are not assigned to in a branch.
    context = _tensorflow_context(least=1)
    if context is None:
        _choose(condition, lambda: if_true(values), lambda: if_false(values))
        return

    def across(strategy, condition, values):
        # Replicas cannot talk inside a branch of their own, so all take one together.
        first = strategy.experimental_local_results(condition)[0]
        each = strategy.extended.call_for_each_replica
        _choose(
            first,
            lambda: each(if_true, args=(values,)),
            lambda: each(if_false, args=(values,)),
        )

    context.merge_call(across, args=(condition, values))


def _choose(condition, if_true, if_false):
    def then(function):
        function()
        return 0  # a branch has a result

    ops.cond(condition, lambda: then(if_true), lambda: then(if_false))


class GlobalRows:
    """The rows of a batch on all replicas, numbered in the order of the global batch.

    Args:
        rows: tensor `[n, D]`, this replica's part; `n` may differ from replica to replica.

    Attributes:
        count: rows on all replicas together.

    Example:

    >>> batch = GlobalRows(ops.array([[1.0], [2.0], [3.0]]))
    >>> ops.convert_to_numpy(batch.take(ops.array([2, 0]))).tolist()
    [[3.0], [1.0]]
    """

    def __init__(self, rows):
        self._rows = rows
        self._size = self.count = ops.shape(rows)[0]
        self._replicas = _replicas()
        if self._replicas is not None:
            self._size = ops.where(_STAND_IN.get(), 0, self._size)
            self._rows = rows[: self._size]
            numbers = ops.arange(self._replicas.count)
            me = self._replicas.index
            sizes = all_reduce_sum(ops.where(numbers == me, self._size, 0))
            self.count = ops.sum(sizes)
            self._first = ops.sum(ops.where(numbers < me, sizes, 0))

    def own(self, values):
        """Return what belongs to this replica's rows of values `[n, ...]`, one a row."""
        return values if self._replicas is None else values[: self._size]

    def take(self, indices):
        """Return some rows, the same on every replica.

        Args:
            indices: int tensor `[k]` in `[0, count)`, the same on every replica.

        Returns:
            Tensor `[k, D]`.
        """
        if self._replicas is None:
            return ops.take(self._rows, indices, axis=0)
        # Every row has one owner; the others add zeros.
        local = indices - self._first
        padded = ops.concatenate([self._rows, ops.zeros((1, self._rows.shape[1]))])
        here = (local >= 0) & (local < self._size)
        return all_reduce_sum(ops.take(padded, ops.where(here, local, self._size), axis=0))

    def gather(self, wanted):
        """Return all rows, the same on every replica, if they are wanted.

        Replicas cannot talk inside `ops.cond`, so a branch that needs the rows gets them from
        here; where they are not wanted a single row of no meaning travels.

        Args:
            wanted: bool scalar, the same on every replica.

        Returns:
            Tensor `[count, D]`.
        """
        if self._replicas is None:
            return self._rows
        dim = self._rows.shape[1]
        after = self.count - self._first - self._size
        placed = ops.concatenate(
            [ops.zeros((self._first, dim)), self._rows, ops.zeros((after, dim))]
        )
        return all_reduce_sum(placed[: ops.where(wanted, self.count, 1)])


def check_compiled(model):
    """Raise a ValueError if a model was compiled with options that replicas cannot run.

    Args:
        model: a compiled `keras.Model`.
    """
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is None or strategy.num_replicas_in_sync == 1:
        return
    for name, only in (("steps_per_execution", 1), ("jit_compile", False)):
        if (value := getattr(model, name)) != only:
            # A graph that failed to compile would take later ones of its process with it.
            raise ValueError(
                f"`{name}` must be {only} on several replicas of a `tf.distribute` strategy, which "
                f"cannot run it. Received: {name}={value}"
            )


def is_multi_worker():
    """Return whether this replica's strategy spans several processes."""
    context = _tensorflow_context()
    return context is not None and (
        context.num_replicas_in_sync > len(context.strategy.extended.worker_devices)
    )


@dataclasses.dataclass(frozen=True)
class _Replicas:
    """Those that take a step together: how many, this one's number, and the sum of a nest."""

    count: int
    index: Any
    sum: Any


def _replicas():
    """The replicas where there are several, else None."""
    return _torch_replicas() if keras.backend.backend() == "torch" else _tensorflow_replicas()


def _tensorflow_context(least=2):
    """TensorFlow's replica context where a strategy has so many replicas, else None."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context() if tf.distribute.has_strategy() else None
    return context if context is not None and context.num_replicas_in_sync >= least else None


def _tensorflow_replicas():
    context = _tensorflow_context()
    if context is None:
        return None
    import tensorflow as tf

    return _Replicas(
        context.num_replicas_in_sync,
        context.replica_id_in_sync_group,
        lambda values: context.all_reduce(tf.distribute.ReduceOp.SUM, values),
    )


def _torch_replicas():
    import torch
    from torch import distributed as group

    if not (group.is_available() and group.is_initialized()) or group.get_world_size() == 1:
        return None

    def add(value):
        if value is None:
            return None
        total = ops.convert_to_tensor(value).detach().clone(memory_format=torch.contiguous_format)
        group.all_reduce(total)
        return total

    return _Replicas(
        group.get_world_size(),
        group.get_rank(),
        lambda values: keras.tree.map_structure(add, values),
    )
