"""Batches of codes from disk for stage 2."""

import functools
from pathlib import Path

import numpy as np

from keras_vqvae2 import checks
from keras_vqvae2.datasets.epoch_batches import EpochBatches
from keras_vqvae2.datasets.manifest import (
    CodeManifest,
    check_weights,
    is_intact,
    present_shards,
    shard_path,
)

# Each takes a file handle, of which systems commonly allow 1,024 to a process. Enough for 2 million
# examples of two levels in shards of the default size; beyond it, shards are opened time and again.
MAX_OPEN_FILES = 384


class CodeBatches(EpochBatches):
    """Batches of the codes that `extract_codes` wrote, read from disk as they are asked for.

    All shards are held to their checksums first. They are memory-mapped: only the rows of a batch
    are read, whatever the order, and the whole is never in memory.

    Args:
        directory: folder that `extract_codes` wrote.
        batch_size: examples in a batch; the last batch holds what is left.
        shuffle: whether the order changes from epoch to epoch; else it is that of the data.
        seed: integer of at least 0, of the order.
        vqvae: the `VQVAE2` that will decode; codes of other weights are refused. None skips this.
        with_labels: whether elements carry the labels, if there are any.
        drop_remainder: whether an incomplete last batch is left out.
        balance: how much more often rare classes are drawn, in [0, 1]: an example of a class of
            `n` by `n ** -balance`. With 0 each comes once an epoch; otherwise an epoch has as many
            examples, some of them several times. It needs `shuffle` and labels.
        **kwargs: `multiple_of` and `part`, of several devices or processes on JAX; `workers`,
            `use_multiprocessing` and `max_queue_size` of `keras.utils.PyDataset`.

    Attributes:
        code_shapes: the grid `(H, W)` of each level, coarse to fine.
        num_embeddings: `K` of each level.
        num_classes: how many classes the labels tell apart; None without labels.
        fingerprint: `weights_fingerprint` of the VQ-VAE-2 that made the codes.
        num_examples: `N`, all passes together.
        manifest: the `CodeManifest`.

    Returns:
        On indexing: `((top, bottom), labels)`, or `((top, bottom),)` without labels: int32
        `[B, H, W]` a level, coarse to fine, and int32 `[B]`.

    Raises:
        ValueError: if the folder holds no complete codes, a shard is damaged, they are of other
            weights, or an argument is out of its range.

    The example of `extract_codes` writes codes and reads them.
    `priors.fit(codes, epochs=20, callbacks=[codes.epoch_callback()])` trains on them, and goes on
    with the right epoch after an interruption.
    """

    def __init__(
        self,
        directory,
        batch_size,
        *,
        shuffle=False,
        seed=0,
        vqvae=None,
        with_labels=True,
        drop_remainder=False,
        balance=0.0,
        **kwargs,
    ):
        self.directory = Path(directory)
        self.manifest = CodeManifest.load(directory)
        _check_complete(self.manifest, self.directory)
        if vqvae is not None:
            check_weights(self.manifest, vqvae, self.directory)
        self.code_shapes = self.manifest.code_shapes
        self.num_embeddings = self.manifest.num_embeddings
        self.num_classes = self.manifest.num_classes
        self.fingerprint = self.manifest.fingerprint
        self.with_labels = with_labels and self.num_classes is not None
        self.balance = checks.fraction("balance", balance, one=True)
        if self.balance and not (shuffle and self.with_labels):
            raise ValueError(
                "`balance` must be 0 without labels or without shuffle=True. "
                f"Received: balance={balance}, shuffle={shuffle}, with_labels={self.with_labels}"
            )
        super().__init__(
            self.manifest.num_examples,
            batch_size,
            shuffle=shuffle,
            seed=seed,
            drop_remainder=drop_remainder,
            **kwargs,
        )

    def __getitem__(self, index):
        rows = self.batch_indices(index)
        codes = tuple(self._read(level, rows) for level in self.manifest.level_names)
        return (codes, self._read("labels", rows)) if self.with_labels else (codes,)

    def shuffled(self):
        return _balanced(self, self.epoch) if self.balance else super().shuffled()

    def _read(self, name, rows):
        """Some rows of an array that lies in shards, int32 `[B, ...]`."""
        shards, offsets = np.divmod(rows, self.manifest.shard_size)
        values = None
        for shard in np.unique(shards):
            array = _open(self, int(shard), name)
            if values is None:
                values = np.empty((len(rows), *array.shape[1:]), np.int32)
            here = shards == shard
            values[here] = array[offsets[here]]
        return values


@functools.lru_cache(maxsize=4)
def _balanced(batches, epoch):
    """The examples of an epoch, those of rare classes more often."""
    labels = batches._read("labels", np.arange(batches.num_examples))
    _, kinds, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights = counts[kinds] ** -batches.balance
    # The leading number keeps this stream apart from that of the order and of the augmentation.
    generator = np.random.default_rng((2, batches.seed, epoch))
    return generator.choice(len(labels), len(labels), p=weights / weights.sum())


@functools.lru_cache(maxsize=MAX_OPEN_FILES)
def _open(batches, shard, name):
    """Map an array of a shard; by dataset, not by path, whose files may be extracted anew."""
    path = shard_path(batches.directory, shard) / f"{name}.npy"
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _check_complete(manifest, directory):
    shards = present_shards(manifest, directory)
    missing = manifest.num_shards - len(shards)
    if missing or not manifest.complete:
        raise ValueError(
            f"The codes in {directory} are incomplete: {missing} of {manifest.num_shards} shards "
            "are missing. Call `extract_codes` again with the same options: it goes on where it "
            "stopped."
        )
    damaged = [shard for shard in shards if not is_intact(manifest, directory, shard)]
    if damaged:
        names = ", ".join(str(shard_path(directory, shard)) for shard in damaged)
        raise ValueError(
            f"{names} {'is' if len(damaged) == 1 else 'are'} damaged. Call `extract_codes` again "
            "with the same options: it makes what is damaged again."
        )
