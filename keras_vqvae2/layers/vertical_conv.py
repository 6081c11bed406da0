"""A convolution over whole rows: the vertical stream of a PixelCNN without a blind spot."""

import keras
from keras import ops

from keras_vqvae2 import checks
from keras_vqvae2.layers.masked_conv import cast_variable, check_kernel
from keras_vqvae2.layers.rows import convolve_rows


@keras.saving.register_keras_serializable("keras_vqvae2")
class VerticalConv2D(keras.layers.Layer):
    """2D convolution whose output at a row sees whole rows down to it, left and right alike.

    Mask `"A"` hides the row itself, `"B"` shows it. A layer with `"A"` and any number with `"B"`
    see a rectangle that widens with each layer, above the position and to both its sides: what
    masked convolutions one after another cannot see of it is their blind spot.

    `call` computes the whole grid, `row` one row from those that it sees.

    Args:
        filters: number of output channels.
        kernel_size: odd integer of at least 3, or two odd integers `(height, width)` with such a
            height; the rows of the kernel below its centre are not stored.
        mask_type: `"A"` or `"B"`.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: float tensor `[B, H, W, C]`.

    Returns:
        float tensor `[B, H, W, filters]`.

    Raises:
        ValueError: if a size is not odd, or the mask type unknown.

    Reference:
        van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders",
        section 2.2.

    Example:

    >>> layer = VerticalConv2D(8, 3, mask_type="B")
    >>> tuple(layer(keras.random.normal((2, 5, 4, 3), seed=0)).shape)
    (2, 5, 4, 8)
    """

    def __init__(self, filters, kernel_size, mask_type="A", **kwargs):
        super().__init__(**kwargs)
        self.filters = checks.positive_int("filters", filters)
        sizes = check_kernel(kernel_size, mask_type)
        if sizes[0] < 3:
            raise ValueError(
                "`kernel_size` must be one or two odd integers, the height at least 3. "
                f"Received: kernel_size={kernel_size!r}"
            )
        self.kernel_size = sizes
        self.mask_type = mask_type
        self.rows_above = sizes[0] // 2

    def build(self, input_shape):
        rows = self.rows_above + (self.mask_type == "B")
        self.kernel = self.add_weight(
            shape=(rows, self.kernel_size[1], input_shape[-1], self.filters),
            initializer="glorot_uniform",
            name="kernel",
        )
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def call(self, inputs):
        # With mask "A" the last row is seen by none.
        inputs = inputs[:, : inputs.shape[1] - (self.mask_type == "A")]
        side = self.kernel_size[1] // 2
        padded = ops.pad(inputs, ((0, 0), (self.rows_above, 0), (side, side), (0, 0)))
        outputs = ops.conv(padded, self.kernel, padding="valid", data_format="channels_last")
        return outputs + self.bias

    def row(self, rows):
        """Compute one row of outputs.

        Args:
            rows: float tensor `[R, W, B, C]`, the rows it sees: `rows_above` of them, and with mask
                `"B"` its own; zeros where they lie outside the grid.

        Returns:
            float tensor `[W, B, filters]`.
        """
        products = convolve_rows(rows, cast_variable(self, self.kernel))
        return products + cast_variable(self, self.bias)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "mask_type": self.mask_type,
        }
