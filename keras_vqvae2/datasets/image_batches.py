"""Batches of images for stage 1."""

from keras_vqvae2.datasets.augmentation import Augmentation
from keras_vqvae2.datasets.epoch_batches import EpochBatches
from keras_vqvae2.datasets.image_data import as_image_data


class ImageBatches(EpochBatches):
    """Batches of uint8 images for `fit` on any backend, shuffled and augmented by seed and epoch.

    The augmentation of an image depends on `(seed, epoch, index)` alone, not on the batch it is in.

    Args:
        data: `ImageData`, an array `[N, H, W, C]`, or a pair `(images, labels)`.
        batch_size: images in a batch; the last batch holds what is left.
        shuffle: whether the order changes from epoch to epoch; else it is that of the data.
        seed: integer of at least 0, of the order and the augmentation.
        flip: whether half of the images are mirrored left to right.
        shift: by how many pixels an image may move along each axis, its edge repeated.
        with_labels: whether an element is `(images, labels)` rather than `images`.
        drop_remainder: whether an incomplete last batch is left out.
        **kwargs: `multiple_of` and `part`, of several devices or processes on JAX; `workers`,
            `use_multiprocessing` and `max_queue_size` of `keras.utils.PyDataset`.

    Returns:
        On indexing: uint8 `[B, H, W, C]`, with `with_labels` a pair with int32 `[B]`.

    Raises:
        ValueError: if an argument is out of its range, or labels are asked for and there are none.

    Example:

    >>> from keras_vqvae2 import datasets
    >>> data = datasets.load("emoji32", "validation")
    >>> batches = ImageBatches(data, 64, shuffle=True, seed=0, flip=True)
    >>> batches[0].shape, batches[0].dtype.name
    ((64, 32, 32, 3), 'uint8')

    `model.fit(batches, epochs=10, callbacks=[batches.epoch_callback()])` goes on with the right
    epoch after an interruption.
    """

    def __init__(
        self,
        data,
        batch_size,
        *,
        shuffle=False,
        seed=0,
        flip=False,
        shift=0,
        with_labels=False,
        drop_remainder=False,
        **kwargs,
    ):
        self.data = as_image_data(data)
        if with_labels and self.data.labels is None:
            raise ValueError(
                f"`with_labels` must be False: {self.data.name} has no labels. "
                "Received: with_labels=True"
            )
        self.with_labels = with_labels
        self.augmentation = Augmentation(flip, shift, seed)
        super().__init__(
            len(self.data),
            batch_size,
            shuffle=shuffle,
            seed=seed,
            drop_remainder=drop_remainder,
            **kwargs,
        )

    def __getitem__(self, index):
        indices = self.batch_indices(index)
        images = self.augmentation(self.data.images[indices], indices, self.epoch)
        return (images, self.data.labels[indices]) if self.with_labels else images
