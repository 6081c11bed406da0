"""Random flips, shifts and noise, each image's from (seed, epoch, index) alone."""

import dataclasses
import numbers

import numpy as np

from keras_vqvae2.datasets.epoch_batches import check_seed


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Mirrors half of the images, moves each by up to `shift` pixels and adds noise to its values.

    Args:
        flip: whether half of the images are mirrored left to right.
        shift: the farthest move along each axis, in pixels, the edge repeated; 0 for none.
        seed: integer of at least 0.
        noise: standard deviation of the normal noise, in grey levels of 255; 0 for none.

    Raises:
        ValueError: if `shift` or `seed` is negative or no integer, or `noise` no number from 0 to
            255.

    Example:

    >>> augment = Augmentation(flip=True, shift=2, seed=0)
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype="uint8")
    >>> both = augment(images, indices=np.arange(4), epochs=3)
    >>> alone = augment(images[2:3], indices=np.array([2]), epochs=3)
    >>> bool((both[2] == alone[0]).all())
    True
    """

    flip: bool = False
    shift: int = 0
    seed: int = 0
    noise: float = 0.0

    def __post_init__(self):
        if not isinstance(self.shift, (int, np.integer)) or self.shift < 0:
            raise ValueError(
                f"`shift` must be an integer of at least 0. Received: shift={self.shift!r}"
            )
        if not isinstance(self.noise, numbers.Real) or not 0 <= self.noise <= 255:
            raise ValueError(
                f"`noise` must be a number from 0 to 255. Received: noise={self.noise!r}"
            )
        check_seed(self.seed)

    def __bool__(self):
        return self.flip or self.shift > 0 or self.noise > 0

    def __call__(self, images, indices, epochs):
        """Augment a batch.

        Args:
            images: uint8 array `[B, H, W, C]`.
            indices: int array `[B]`, each image's place in the dataset.
            epochs: int, or int array `[B]`.

        Returns:
            uint8 array `[B, H, W, C]`.
        """
        if not self:
            return images
        count, height, width, _ = images.shape
        flips, moves, noise = self._draw(indices, np.broadcast_to(epochs, count), images.shape[1:])
        # An index beyond the edge is the edge's.
        rows = np.clip(np.arange(height) + moves[:, :1], 0, height - 1)  # [B, H]
        columns = np.clip(np.arange(width) + moves[:, 1:], 0, width - 1)  # [B, W]
        columns = np.where(flips[:, None], width - 1 - columns, columns)
        images = images[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
        if self.noise:
            images = np.clip(np.rint(images + noise), 0, 255).astype("uint8")
        return images

    def _draw(self, indices, epochs, image_shape):
        """Each image's draws.

        Returns:
            Whether it is mirrored, bool `[B]`; its moves `(dy, dx)`, int `[B, 2]`; its noise,
            float32 `[B, H, W, C]`, empty where there is none.
        """
        flips = np.zeros(len(indices), bool)
        moves = np.zeros((len(indices), 2), int)
        noise = np.zeros((len(indices), *image_shape) if self.noise else 0, "float32")
        for row, (epoch, index) in enumerate(zip(epochs, indices, strict=True)):
            # The leading number keeps this stream apart from that of the order.
            generator = np.random.default_rng((1, self.seed, epoch, index))
            flips[row] = self.flip and generator.random() < 0.5
            moves[row] = generator.integers(-self.shift, self.shift, size=2, endpoint=True)
            if self.noise:
                noise[row] = generator.normal(0, self.noise, image_shape)
        return flips, moves, noise
