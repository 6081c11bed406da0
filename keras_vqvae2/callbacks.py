"""Keras callbacks: a run in TensorBoard (reconstructions, samples, codebook usage), checkpoints."""

import abc

import keras
import numpy as np

from keras_vqvae2 import checks, drawing
from keras_vqvae2.models import ImageGenerator
from keras_vqvae2.ops import entropy_bits
from keras_vqvae2.training.resume import Checkpoints

__all__ = ["Checkpoints", "CodebookUsage", "ReconstructionImages", "SampleImages"]


class _Summaries(keras.callbacks.Callback, abc.ABC):
    """Writes summaries at the end of every so many epochs; a subclass says which, in `write`.

    The writer is TensorFlow's on each backend: it is imported when the first summary is written.
    """

    def __init__(self, log_dir, every=1):
        super().__init__()
        self.log_dir = log_dir
        self.every = checks.positive_int("every", every)
        self._writer = None

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        import tensorflow as tf

        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.log_dir))
        with self._writer.as_default(step=epoch):
            self.write(tf.summary)
        self._writer.flush()

    def on_train_end(self, logs=None):
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    @abc.abstractmethod
    def write(self, summary):
        """Write to the default writer at the default step; `summary` is `tf.summary`."""


class ReconstructionImages(_Summaries):
    """Shows images beside their reconstructions while a `VQVAE2` trains.

    Args:
        log_dir: folder of the TensorBoard logs.
        images: array `[B, H, W, C]`, pixels in [0, 255]; a few are enough.
        every: epochs from one picture to the next.

    Raises:
        ValueError: if `every` is below 1.

    Example:

    ```python
    vqvae.fit(images, callbacks=[ReconstructionImages("logs", validation_images[:16])])
    ```
    """

    def __init__(self, log_dir, images, every=1):
        super().__init__(log_dir, every)
        self.images = np.asarray(images)

    def write(self, summary):
        reconstructions = keras.ops.convert_to_numpy(self.model(self.images, training=False))
        picture = drawing.pairs(self.images, reconstructions)
        summary.image("reconstructions", picture[None])


class SampleImages(_Summaries):
    """Shows images from the prior's samples while a `HierarchicalPrior` trains.

    The seed stays, so that pictures of different epochs differ by the weights alone.

    Args:
        log_dir: folder of the TensorBoard logs.
        vqvae: the trained `VQVAE2` that decodes the samples.
        num_samples: how many images.
        labels: classes of the images, for a prior by class.
        seed: seed of the samples.
        every: epochs from one picture to the next; sampling takes as long as a few train steps.

    Raises:
        ValueError: if `every` is below 1.

    Example:

    ```python
    priors.fit(codes, callbacks=[SampleImages("logs", vqvae, every=5)])
    ```
    """

    def __init__(self, log_dir, vqvae, num_samples=16, labels=None, seed=0, every=1):
        super().__init__(log_dir, every)
        self.vqvae = vqvae
        self.num_samples = num_samples
        self.labels = labels
        self.seed = seed

    def set_model(self, model):
        """Build the generator of the pictures from the model in training."""
        super().set_model(model)
        # One for the whole training: its sampler is compiled once, and sees the present weights.
        self._generator = ImageGenerator(self.vqvae, self.model)

    def write(self, summary):
        samples = self._generator.generate(self.num_samples, labels=self.labels, seed=self.seed)
        summary.image("samples", drawing.grid(samples)[None])


class CodebookUsage(_Summaries):
    """Writes how a `VQVAE2` uses the codes of each level on some images.

    For each level: `usage`, the part of the codes that occur; `perplexity`, the number of equally
    frequent codes of the same entropy; and a histogram of the codes.

    Args:
        log_dir: folder of the TensorBoard logs.
        images: array `[B, H, W, C]`, pixels in [0, 255]. With fewer code positions than codes a
            codebook cannot be used whole.
        every: epochs from one summary to the next.

    Raises:
        ValueError: if `every` is below 1.

    Example:

    ```python
    vqvae.fit(images, callbacks=[CodebookUsage("logs", validation_images)])
    ```
    """

    def __init__(self, log_dir, images, every=1):
        super().__init__(log_dir, every)
        self.images = np.asarray(images)

    def write(self, summary):
        levels = self.model.encode(self.images)
        for name, size, codes in zip(
            self.model.level_names, self.model.num_embeddings, levels, strict=True
        ):
            codes = keras.ops.convert_to_numpy(codes).ravel()
            counts = np.bincount(codes, minlength=size)
            summary.scalar(f"{name}/usage", np.mean(counts > 0))
            summary.scalar(f"{name}/perplexity", 2.0 ** float(entropy_bits(counts)))
            summary.histogram(f"{name}/codes", codes, buckets=min(size, 64))
