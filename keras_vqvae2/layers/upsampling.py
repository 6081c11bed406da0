"""Convolutions that double the height and the width, without a checkerboard."""

import keras
from keras import ops

from keras_vqvae2 import checks


@keras.saving.register_keras_serializable("keras_vqvae2")
class NearestConv2D(keras.layers.Conv2DTranspose):
    """Repeats each pixel 2x2 times, then convolves by 3x3: in one step.

    A transposed convolution whose kernel is learned whole may treat the four pixels that come of
    one in four different ways, which shows as a pattern of dots. Here they share the taps of one
    3x3 kernel. Neither the repeated map nor its nine taps a pixel are computed: repeating and
    convolving by `k` is the transposed convolution with stride 2 and a 4x4 kernel, `k` convolved
    with a 2x2 square of ones, at 16/36 of the products.

    Args:
        filters: channels of the output.
        **kwargs: of `keras.layers.Conv2DTranspose`, but for the size of the kernel, the strides and
            the padding; channels come last.

    Call arguments:
        inputs: float tensor `[B, H, W, C]`.

    Returns:
        float tensor `[B, 2 H, 2 W, filters]`.

    Reference:
        Odena et al. 2016, "Deconvolution and Checkerboard Artifacts".

    Example:

    >>> tuple(NearestConv2D(8)(ops.ones((1, 4, 4, 3))).shape)
    (1, 8, 8, 8)
    """

    def __init__(self, filters, **kwargs):
        for fixed in ("kernel_size", "strides", "padding", "data_format"):
            kwargs.pop(fixed, None)  # of `get_config`
        filters = checks.positive_int("filters", filters)
        super().__init__(
            filters, 3, strides=2, padding="same", data_format="channels_last", **kwargs
        )

    def call(self, inputs):
        x = ops.conv_transpose(
            inputs,
            self._wide_kernel(),
            strides=2,
            padding="same",
            data_format="channels_last",
        )
        if self.use_bias:
            x = ops.add(x, self.bias)
        return x if self.activation is None else self.activation(x)

    def _wide_kernel(self):
        """The 4x4 kernel of the transposed convolution, `[4, 4, filters, C]`."""
        kernel = self.kernel  # flipped already, as transposed convolutions keep theirs
        for axis in (0, 1):
            before, after = [(0, 0)] * 4, [(0, 0)] * 4
            before[axis], after[axis] = (1, 0), (0, 1)
            kernel = ops.pad(kernel, before) + ops.pad(kernel, after)
        return kernel


@keras.saving.register_keras_serializable("keras_vqvae2")
class SubpixelConv2D(keras.layers.Conv2D):
    """Convolves by 3x3 to four times the channels, which become the four pixels of each one.

    At first the four are equal, as if each pixel were repeated: training begins without a
    checkerboard, though it may learn one.

    Args:
        filters: channels of the output.
        **kwargs: of `keras.layers.Conv2D`, but for the size of the kernel, the strides and the
            padding; channels come last.

    Call arguments:
        inputs: float tensor `[B, H, W, C]`.

    Returns:
        float tensor `[B, 2 H, 2 W, filters]`.

    Reference:
        Shi et al. 2016, "Real-Time Single Image and Video Super-Resolution Using an Efficient
        Sub-Pixel Convolutional Neural Network"; the initialization (ICNR) after Aitken et al. 2017,
        "Checkerboard artifact free sub-pixel convolution".

    Example:

    >>> tuple(SubpixelConv2D(8)(ops.ones((1, 4, 4, 3))).shape)
    (1, 8, 8, 8)
    """

    def __init__(self, filters, kernel_initializer="glorot_uniform", **kwargs):
        for fixed in ("kernel_size", "strides", "padding", "data_format"):
            kwargs.pop(fixed, None)  # of `get_config`
        super().__init__(
            4 * checks.positive_int("filters", filters),
            3,
            padding="same",
            data_format="channels_last",
            kernel_initializer=_SamePixels(kernel_initializer),
            **kwargs,
        )

    def call(self, inputs):
        x = super().call(inputs)
        _, height, width, channels = x.shape
        x = ops.reshape(x, (-1, height, width, 2, 2, channels // 4))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, 2 * height, 2 * width, channels // 4))

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        return (batch, 2 * height, 2 * width, self.filters // 4)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), self.compute_dtype)

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "filters": self.filters // 4,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer.initializer),
        }


class _SamePixels(keras.initializers.Initializer):
    """A kernel `[3, 3, C, 4 F]` in which the four groups of `F` channels are the same."""

    def __init__(self, initializer):
        self.initializer = keras.initializers.get(initializer)

    def __call__(self, shape, dtype=None):
        kernel = self.initializer((*shape[:-1], shape[-1] // 4), dtype=dtype)
        return ops.tile(kernel, (1,) * (len(shape) - 1) + (4,))


UPSAMPLING = {
    "nearest": NearestConv2D,
    "subpixel": SubpixelConv2D,
    "transposed": lambda filters, **kwargs: keras.layers.Conv2DTranspose(
        filters, 4, 2, padding="same", data_format="channels_last", **kwargs
    ),
}
"""How a decoder doubles the height and the width of a map, by name."""
