"""The encoders and decoders between a level and the next finer one, or the image."""

import keras

from keras_vqvae2.layers import ResidualStack


class Coders:
    """Builds encoders and decoders of one size.

    Args:
        filters: channels, even.
        num_residual_blocks: in each encoder and decoder.
        residual_filters: channels inside a residual block.
        policy: dtype policy of the layers.
    """

    def __init__(self, filters, num_residual_blocks, residual_filters, policy):
        self.filters = filters
        self.residual = (num_residual_blocks, residual_filters)
        self.policy = policy

    def encoder(self, name, stride):
        """Strided convolutions, each by 2, then residual blocks."""
        halvings = stride.bit_length() - 1
        layers = [self._conv(self.filters // 2, 4, 2, activation="relu") for _ in range(halvings)]
        layers += [self._conv(self.filters, 3, 1), self._residual_stack()]
        return keras.Sequential(layers, name=name)

    def decoder(self, name, stride, channels=None):
        """Residual blocks, then transposed convolutions, each by 2; float32 pixels at the end."""
        doublings = stride.bit_length() - 1
        half = self.filters // 2
        layers = [self._conv(self.filters, 3, 1), self._residual_stack()]
        layers += [self._upsample(half, activation="relu") for _ in range(doublings - 1)]
        last = {"filters": half} if channels is None else {"filters": channels, "dtype": "float32"}
        layers.append(self._upsample(**last))
        return keras.Sequential(layers, name=name)

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

    def _upsample(self, filters, activation=None, dtype=None):
        return keras.layers.Conv2DTranspose(
            filters,
            4,
            2,
            padding="same",
            activation=activation,
            data_format="channels_last",
            dtype=dtype or self.policy,
        )

    def _residual_stack(self):
        return ResidualStack(*self.residual, dtype=self.policy)
