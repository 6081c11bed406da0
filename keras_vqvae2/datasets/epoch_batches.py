"""The order of examples as a function of (seed, epoch), and batches in that order."""

import functools

import keras
import numpy as np

from keras_vqvae2 import checks


@functools.lru_cache(maxsize=4)
def epoch_order(num_examples, seed, epoch):
    """Return the order of the examples in an epoch.

    Args:
        num_examples: `N`.
        seed: integer of at least 0.
        epoch: integer of at least 0.

    Returns:
        int64 array `[N]`, a permutation, the same at each call; not writable.
    """
    # The leading number keeps this stream apart from that of the augmentation.
    order = np.random.default_rng((0, seed, epoch)).permutation(num_examples)
    order.setflags(write=False)
    return order


class EpochBatches(keras.utils.PyDataset):
    """Batches of examples whose order depends on the seed and the epoch alone.

    Keras counts `epoch` up after each pass. A run that is taken up again, by
    `keras.callbacks.BackupAndRestore` or `initial_epoch`, starts at a later epoch: the callback of
    `epoch_callback()` tells the dataset the number before each epoch, and the run goes on with
    exactly the batches that it would have had. Keras may begin a pass before the first epoch to
    build a model, so with this callback the count is exact as well. `steps_per_epoch` is for
    datasets that know no epochs: leave it out.

    Args:
        num_examples: `N`.
        batch_size: examples in a batch; the last batch holds what is left.
        shuffle: whether the order changes from epoch to epoch; else it is that of the data.
        seed: integer of at least 0.
        drop_remainder: whether an incomplete last batch is left out.
        multiple_of: the last batch is cut to a multiple of this: of the devices of
            `keras.distribution`, among which it has to be divided evenly.
        part: `(index, count)`: of each batch only this part, where each of several processes feeds
            its own. `workers.data_options()` gives it with `multiple_of`.
        **kwargs: `workers`, `use_multiprocessing`, `max_queue_size` of `keras.utils.PyDataset`.

    Raises:
        ValueError: if an argument is out of its range, or no batch is left.
    """

    def __init__(
        self,
        num_examples,
        batch_size,
        *,
        shuffle,
        seed,
        drop_remainder,
        multiple_of=1,
        part=(0, 1),
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_examples = num_examples
        self.batch_size = checks.positive_int("batch_size", batch_size)
        self.shuffle = bool(shuffle)
        self.seed = check_seed(seed)
        self.drop_remainder = bool(drop_remainder)
        self.multiple_of = checks.positive_int("multiple_of", multiple_of)
        self.part = tuple(part)
        if self.batch_size % self.multiple_of or self.multiple_of % self.part[1]:
            raise ValueError(
                f"`batch_size` must be a multiple of the {multiple_of} devices, and these of the "
                f"{part[1]} processes. Received: batch_size={batch_size}"
            )
        self.epoch = 0
        self._in_epoch = False
        if len(self) == 0:
            raise ValueError(
                f"`batch_size` must be at most the {num_examples} examples with "
                f"drop_remainder=True, and `multiple_of` in any case. Received: "
                f"batch_size={batch_size}, multiple_of={multiple_of}"
            )

    def __len__(self):
        complete, rest = divmod(self.num_examples, self.batch_size)
        return complete + (rest >= self.multiple_of and not self.drop_remainder)

    def batch_indices(self, batch):
        """Return which examples this process's part of a batch of the present epoch holds.

        Args:
            batch: the batch's number, in `[0, len(self))`.

        Returns:
            int64 array of at most `batch_size` indices in `[0, N)`.
        """
        if not 0 <= batch < len(self):
            raise IndexError(f"`batch` must lie in [0, {len(self)}). Received: batch={batch}")
        start = batch * self.batch_size
        size = min(self.batch_size, self.num_examples - start)
        size -= size % self.multiple_of
        index, count = self.part
        rows = slice(start + size * index // count, start + size * (index + 1) // count)
        if self.shuffle:
            return self.shuffled()[rows]
        return np.arange(rows.start, rows.stop)

    def shuffled(self):
        """Return the examples of the present epoch in their order, int64 `[N]`."""
        return epoch_order(self.num_examples, self.seed, self.epoch)

    def on_epoch_begin(self):
        self._in_epoch = True

    def on_epoch_end(self):
        # Keras also calls this before the first epoch, to reset.
        self.epoch += self._in_epoch
        self._in_epoch = False

    def epoch_callback(self):
        """Return a `keras.callbacks.Callback` that sets `epoch` to the number of `fit`'s epoch."""
        return keras.callbacks.LambdaCallback(on_epoch_begin=self._set_epoch)

    def _set_epoch(self, epoch, logs=None):
        del logs
        self.epoch = epoch


def check_seed(seed):
    """Return the seed as an int of at least 0, or raise a ValueError that names it."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"`seed` must be an integer of at least 0. Received: seed={seed!r}")
    return int(seed)
