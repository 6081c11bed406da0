"""The processes and devices of a training, and this process's place among them."""

import contextlib
import dataclasses
import json
import os
from typing import Any

import keras
from keras import ops

from keras_vqvae2.distribution.replicas import all_reduce_sum, num_replicas

KINDS = ("mirrored", "multiworker", "data-parallel")


@dataclasses.dataclass(frozen=True)
class Workers:
    """The processes of a training and this one's place among them, as `start` gives it.

    Attributes:
        scope: function without arguments that returns a context: models are built and compiled in
            it.
        index: this process's number; 0 is the chief, which alone writes checkpoints and reports.
        count: how many processes there are.
        strategy: of `tf.distribute`, or None.
    """

    scope: Any = contextlib.nullcontext
    index: int = 0
    count: int = 1
    strategy: Any = None

    @property
    def is_chief(self):
        """Whether this process writes what all of them would write alike."""
        return self.index == 0

    @property
    def place(self):
        """`(index, count)`."""
        return self.index, self.count

    def wait(self):
        """Wait until all processes have come here."""
        if self.count == 1:
            return
        if keras.backend.backend() == "torch":
            import torch

            torch.distributed.barrier()
        elif self.strategy is None:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices("wait")
        else:
            import tensorflow as tf

            step = tf.function(self.strategy.run, autograph=False)
            step(lambda: all_reduce_sum(ops.ones(())))


def start(kind=None):
    """Begin to train on several devices or processes.

    Call it before anything else makes the backend compute, and in each process once.

    Args:
        kind: None for one device; "mirrored" for all GPUs of this process and "multiworker" for the
            processes that the environment's `TF_CONFIG` names, on the TensorFlow backend;
            "data-parallel" for all devices that JAX sees, those of other processes among them, if
            `jax.distributed` was initialized before Keras was imported; on PyTorch for the
            processes that `torchrun` has started, or those of `torch.distributed` if it was
            initialized before.

    Returns:
        `Workers`.

    Raises:
        ValueError: if the kind is not known or is of another backend, or the environment does not
            name this process as a worker.

    Example:

    >>> workers = start()
    >>> with workers.scope():
    ...     model = keras.Sequential([keras.layers.Dense(1)])
    >>> workers.is_chief
    True
    """
    _check_kind(kind)
    if kind is None:
        return Workers()
    backends = ("jax", "torch") if kind == "data-parallel" else ("tensorflow",)
    if keras.backend.backend() not in backends:
        raise ValueError(
            f"`distribute` {kind} is of the {' or the '.join(backends)} backend: set "
            f"KERAS_BACKEND={backends[0]}. Received: backend={keras.backend.backend()}"
        )
    if keras.backend.backend() == "torch":
        return _start_torch()
    if kind == "data-parallel":
        import jax

        # `EpochBatches` gives each process its own part.
        distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
        keras.distribution.set_distribution(distribution)
        return Workers(index=jax.process_index(), count=jax.process_count())
    import tensorflow as tf

    if kind == "mirrored":
        strategy = tf.distribute.MirroredStrategy()
        return Workers(strategy.scope, strategy=strategy)
    place = apart(kind).place
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    return Workers(strategy.scope, *place, strategy)


def _start_torch():
    """This process's place in the group that was initialized, or that `torchrun` describes."""
    from torch import distributed as group

    if not group.is_initialized():
        try:
            group.init_process_group()
        except ValueError as error:
            raise ValueError(
                "`distribute` data-parallel needs the environment that `torchrun` gives each "
                f"process: start the program by it. Received: {error}"
            ) from None
    return Workers(index=group.get_rank(), count=group.get_world_size())


def apart(kind=None):
    """Return this process's place among the workers, without any connection between them.

    For work that the workers divide by number alone: each may be killed and start again.

    Args:
        kind: as of `start`.

    Returns:
        `Workers`: one of several with "multiworker", by the environment's `TF_CONFIG`.

    Raises:
        ValueError: if the kind is not known, or `TF_CONFIG` does not name this process as a worker.

    Example:

    >>> apart().place
    (0, 1)
    """
    _check_kind(kind)
    if kind != "multiworker":
        return Workers()
    try:
        config = json.loads(os.environ["TF_CONFIG"])
        count = len(config["cluster"]["worker"])
        index = int(config["task"]["index"])
        if config["task"]["type"] != "worker" or not 0 <= index < count:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            "`distribute` multiworker needs TF_CONFIG in the environment, with the addresses of "
            "all workers under `cluster` and this one's place under `task`. "
            f"Received: TF_CONFIG={os.environ.get('TF_CONFIG')!r}"
        ) from None
    return Workers(index=index, count=count)


@contextlib.contextmanager
def peers(workers):
    """Turn the errors that another worker's end leaves here into a ValueError that says so.

    Args:
        workers: `Workers`.

    Example:

    >>> with peers(start()):
    ...     pass
    """
    if workers.strategy is None or workers.count == 1:
        yield
        return
    import tensorflow as tf

    try:
        yield
    except (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.InternalError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
    ) as error:
        raise ValueError(
            "Another worker has ended or cannot be reached. Start all workers again with the same "
            "command: they go on after the last complete epoch. Received: "
            f"{type(error).__name__}: {error.message.splitlines()[0]}"
        ) from error


def data_options():
    """Return what `ImageBatches` and `CodeBatches` need to feed several devices.

    Returns:
        Dictionary of their keyword arguments: `multiple_of` and `part` under `keras.distribution`
        and in a group of `torch.distributed`. Empty elsewhere: `tf.distribute` divides batches
        itself.

    Example:

    >>> data_options()
    {}
    """
    if keras.backend.backend() == "torch":
        count = num_replicas()
        return {} if count == 1 else {"multiple_of": count, "part": _start_torch().place}
    distribution = keras.distribution.distribution()
    if distribution is None:
        return {}
    import jax

    part = (jax.process_index(), jax.process_count())
    return {"multiple_of": int(distribution.device_mesh.devices.size), "part": part}


def _check_kind(kind):
    if kind is not None and kind not in KINDS:
        raise ValueError(f"`distribute` must be one of {', '.join(KINDS)}. Received: {kind!r}")
