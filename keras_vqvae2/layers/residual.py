"""Residual blocks of the encoders and decoders."""

import keras

from keras_vqvae2 import checks


@keras.saving.register_keras_serializable("keras_vqvae2")
class ResidualBlock(keras.layers.Layer):
    """`x + conv1x1(relu(conv3x3(relu(x))))`, with a bottleneck of `residual_filters` channels.

    Args:
        residual_filters: channels inside the block.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: float tensor `[B, H, W, C]`.

    Returns:
        float tensor of the same shape.

    Reference:
        Razavi et al. 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2", appendix A.

    Example:

    >>> tuple(ResidualBlock(4)(keras.random.normal((2, 8, 8, 16), seed=0)).shape)
    (2, 8, 8, 16)
    """

    def __init__(self, residual_filters, **kwargs):
        super().__init__(**kwargs)
        self.residual_filters = checks.positive_int("residual_filters", residual_filters)

    def build(self, input_shape):
        self.conv = keras.layers.Conv2D(
            self.residual_filters,
            3,
            padding="same",
            activation="relu",
            data_format="channels_last",
            dtype=self.dtype_policy,
            name="conv",
        )
        # A 1x1 convolution. As a `Conv2D`, TensorFlow 2.21's graph optimizer tries to fuse it with
        # the sum and the next block's ReLU, fails with an error in the log, and gives up.
        self.expand = keras.layers.Dense(input_shape[-1], dtype=self.dtype_policy, name="expand")
        self.conv.build(input_shape)
        self.expand.build((*input_shape[:-1], self.residual_filters))

    def call(self, inputs):
        return inputs + self.expand(self.conv(keras.ops.relu(inputs)))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "residual_filters": self.residual_filters}


@keras.saving.register_keras_serializable("keras_vqvae2")
class ResidualStack(keras.layers.Layer):
    """Residual blocks one after another, then a ReLU.

    Args:
        num_blocks: how many blocks; 0 leaves the ReLU.
        residual_filters: channels inside each block.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: float tensor `[B, H, W, C]`.

    Returns:
        float tensor of the same shape, not negative.

    Example:

    >>> tuple(ResidualStack(2, 4)(keras.random.normal((2, 8, 8, 16), seed=0)).shape)
    (2, 8, 8, 16)
    """

    def __init__(self, num_blocks, residual_filters, **kwargs):
        super().__init__(**kwargs)
        self.num_blocks = checks.non_negative_int("num_blocks", num_blocks)
        self.residual_filters = residual_filters
        self.blocks = [
            ResidualBlock(residual_filters, dtype=self.dtype_policy, name=f"block_{index}")
            for index in range(num_blocks)
        ]

    def build(self, input_shape):
        for block in self.blocks:
            block.build(input_shape)

    def call(self, inputs):
        for block in self.blocks:
            inputs = block(inputs)
        return keras.ops.relu(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_blocks": self.num_blocks,
            "residual_filters": self.residual_filters,
        }
