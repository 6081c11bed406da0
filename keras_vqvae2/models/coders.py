"""The encoders and decoders between a level and the next finer one, or the image."""

import keras

from keras_vqvae2 import checks
from keras_vqvae2.layers import UPSAMPLING, ResidualStack, SoftClip

CLIPPING = ("soft", "hard")


class Coders:
    """Builds encoders and decoders of one size.

    Args:
        filters: channels, even.
        num_residual_blocks: in each encoder and decoder.
        residual_filters: channels inside a residual block.
        upsampling: how decoders double the height and the width, a name in `UPSAMPLING`.
        clipping: how the pixels end at black and white, "soft" or "hard".
        policy: dtype policy of the layers.
    """

    def __init__(
        self, filters, num_residual_blocks, residual_filters, upsampling, clipping, policy
    ):
        self.filters = filters
        self.upsample = UPSAMPLING[checks.one_of("upsampling", upsampling, UPSAMPLING)]
        self.clipping = checks.one_of("clipping", clipping, CLIPPING)
        self.residual = (num_residual_blocks, residual_filters)
        self.policy = policy

    def encoder(self, name, stride):
        """Strided convolutions, each by 2, then residual blocks."""
        halvings = stride.bit_length() - 1
        layers = [self._conv(self.filters // 2, 4, 2, activation="relu") for _ in range(halvings)]
        layers += [self._conv(self.filters, 3, 1), self._residual_stack()]
        return keras.Sequential(layers, name=name)

    def decoder(self, name, stride, channels=None):
        """Residual blocks, then upsampling by 2 at a time; float32 pixels at the end."""
        doublings = stride.bit_length() - 1
        half = self.filters // 2
        layers = [self._conv(self.filters, 3, 1), self._residual_stack()]
        layers += [
            self.upsample(half, activation="relu", dtype=self.policy) for _ in range(doublings - 1)
        ]
        dtype = self.policy if channels is None else "float32"
        layers.append(self.upsample(channels or half, dtype=dtype))
        if channels is not None and self.clipping == "soft":
            layers.append(SoftClip(dtype=dtype))
        return keras.Sequential(layers, name=name)

    def projection(self, filters, **kwargs):
        """A 1x1 convolution."""
        return keras.layers.Conv2D(
            filters, 1, data_format="channels_last", dtype=self.policy, **kwargs
        )

    def _conv(self, filters, kernel_size, stride, activation=None):
        return keras.layers.Conv2D(
            filters,
            kernel_size,
            stride,
            padding="same",
            activation=activation,
            data_format="channels_last",
            dtype=self.policy,
        )

    def _residual_stack(self):
        return ResidualStack(*self.residual, dtype=self.policy)
