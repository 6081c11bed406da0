"""Labels that are now and then left out."""

import keras
from keras import ops

from keras_vqvae2 import checks


@keras.saving.register_keras_serializable("keras_vqvae2")
class LabelDropout(keras.layers.Layer):
    """Replaces labels by "no class": while training a share of them, and those given as -1 always.

    A model that embeds what comes out learns the distribution with a class and without one in the
    same weights, which is what classifier-free guidance needs. Without training only -1 is
    replaced.

    Args:
        num_classes: `N`, the number of class labels; "no class" becomes the index `N`.
        rate: share of the labels that is left out while training, in [0, 1).
        seed: integer of the random generator; None for one of Keras's.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        labels: int tensor `[B]` in `[-1, N)`.
        training: whether labels are left out at random.

    Returns:
        int32 tensor `[B]` in `[0, N]`.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        Ho and Salimans 2022, "Classifier-Free Diffusion Guidance", section 3.2, algorithm 1.

    Example:

    >>> layer = LabelDropout(num_classes=10, rate=0.1)
    >>> ops.convert_to_numpy(layer(ops.array([3, -1]))).tolist()
    [3, 10]
    """

    def __init__(self, num_classes, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = checks.positive_int("num_classes", num_classes)
        self.rate = checks.fraction("rate", rate)
        self.seed = seed
        self._generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, labels, training=False):
        left_out = labels < 0
        if training and self.rate > 0:
            uniforms = keras.random.uniform(ops.shape(labels), seed=self._generator)
            left_out = ops.logical_or(left_out, uniforms < self.rate)
        return ops.where(left_out, self.num_classes, ops.cast(labels, "int32"))

    def compute_output_spec(self, labels, training=False):
        return keras.KerasTensor(labels.shape, dtype="int32")

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "rate": self.rate,
            "seed": self.seed,
        }
