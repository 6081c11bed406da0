"""A convolution that sees only what comes before in raster order."""

import keras
import numpy as np
from keras import ops

from keras_vqvae2 import checks
from keras_vqvae2.layers.rows import convolve_rows


@keras.saving.register_keras_serializable("keras_vqvae2")
class MaskedConv2D(keras.layers.Layer):
    """2D convolution whose output at a position sees only positions before it in raster order.

    Mask `"A"` hides the position itself, `"B"` shows it. Seen by raster order, the visible taps
    are the first ones of the kernel. Only those are stored, so nothing is ever multiplied by a
    mask, and no hidden weight can be saved, decayed or leak:

    ```
    7x7, A: 3 rows of 7 and 3 to the left = 24 of 49 taps;   3x3, B: 3 + 1 + 1 = 5 of 9
    ```

    `call` computes the whole grid. `step` computes one position, from the rows above
    (`start_row`, once a row) and the inputs to its left, with the same weights.

    Args:
        filters: number of output channels.
        kernel_size: odd integer, or two of them `(height, width)`.
        mask_type: `"A"` or `"B"`.
        use_bias: whether a bias is added.
        kernel_initializer: of the visible taps, whose fan-in and fan-out it sees.
        bias_initializer: of the bias.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: float tensor `[B, H, W, C]`.

    Returns:
        float tensor `[B, H, W, filters]`.

    Raises:
        ValueError: if a size is not odd and positive, or the mask type unknown.

    Reference:
        van den Oord et al. 2016, "Pixel Recurrent Neural Networks", section 3.4.

    Example:

    >>> layer = MaskedConv2D(8, 3, mask_type="B")
    >>> tuple(layer(keras.random.normal((2, 5, 4, 3), seed=0)).shape)
    (2, 5, 4, 8)
    """

    def __init__(
        self,
        filters,
        kernel_size,
        mask_type="A",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = checks.positive_int("filters", filters)
        sizes = check_kernel(kernel_size, mask_type)
        if mask_type == "A" and sizes == (1, 1):
            raise ValueError("`kernel_size` 1 with mask 'A' sees nothing. Received: kernel_size=1")
        self.kernel_size = sizes
        self.mask_type = mask_type
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        height, width = sizes
        self.rows_above = height // 2
        self.side = width // 2
        self._taps_above = self.rows_above * width
        self._taps_left = self.side + (mask_type == "B")

    def build(self, input_shape):
        channels = input_shape[-1]
        # The taps in raster order; a whole kernel would hold `prod(kernel_size)` of them.
        self.kernel = self.add_weight(
            shape=(self._taps_above + self._taps_left, channels, self.filters),
            initializer=self.kernel_initializer,
            name="kernel",
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(self.filters,), initializer=self.bias_initializer, name="bias"
            )

    def call(self, inputs):
        # The kernel cut below its centre row: of that row only the hidden end is zero.
        rows, (_, channels, _) = self.rows_above + 1, self.kernel.shape
        hidden = rows * self.kernel_size[1] - self.kernel.shape[0]
        kernel = ops.pad(self.kernel, ((0, hidden), (0, 0), (0, 0)))
        kernel = ops.reshape(kernel, (rows, self.kernel_size[1], channels, self.filters))
        padding = ((0, 0), (self.rows_above, 0), (self.side, self.side), (0, 0))
        outputs = ops.conv(
            ops.pad(inputs, padding), kernel, padding="valid", data_format="channels_last"
        )
        return outputs if self.bias is None else outputs + self.bias

    def start_row(self, rows, condition=None):
        """Begin a row: add up all that it receives from the rows above, for each column.

        Columns lie before the batch: slices and splits along the first axis are not copied.

        Args:
            rows: float tensor `[rows_above, W, B, C]`, the inputs of the rows above; zeros where
                they lie outside the grid.
            condition: float tensor `[W, B, filters]` or `[1, B, filters]` to add, or None.

        Returns:
            The cache of the row, to be handed from `step` to `step`: what it receives from above
            `[W, B, filters]`, the inputs to the left, zero, and the taps that they meet.
        """
        width, channels = rows.shape[1], rows.shape[3]
        total = 0.0 if self.bias is None else cast_variable(self, self.bias)
        if condition is not None:
            total = total + condition
        if self.rows_above:
            above = cast_variable(self, self.kernel[: self._taps_above])
            kernel = ops.reshape(above, (self.rows_above, self.kernel_size[1], channels, -1))
            total = convolve_rows(rows, kernel) + total
        else:
            total = ops.zeros((width, ops.shape(rows)[2], self.filters), rows.dtype) + total
        zeros = ops.zeros((ops.shape(rows)[2], channels), self.compute_dtype)
        taps = cast_variable(self, self.kernel[self._taps_above :])
        taps = ops.unstack(taps, self._taps_left) if self._taps_left else ()
        return {"above": total, "left": (zeros,) * self._taps_left, "taps": tuple(taps)}

    def step(self, inputs, cache, column):
        """Compute the output of one position; columns come in order.

        Args:
            inputs: float tensor `[B, C]`. With mask `"B"` the input at `column`; with mask `"A"`,
                which cannot see it, the input at `column - 1`, zeros in the first column.
            cache: of `start_row` in the first column, then of the step before.
            column: integer or scalar tensor.

        Returns:
            `(outputs, cache)`, the outputs `[B, filters]`.
        """
        left = (*cache["left"][1:], inputs) if self._taps_left else ()
        outputs = ops.take(cache["above"], column, axis=0)
        # A product a tap, so that those of earlier columns need not wait for this one's input.
        for value, tap in zip(left, cache["taps"], strict=True):
            outputs = outputs + ops.matmul(value, tap)
        return outputs, {**cache, "left": left}

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "mask_type": self.mask_type,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }


def check_kernel(kernel_size, mask_type):
    """Return the `(height, width)` of a masked kernel, or raise a ValueError."""
    sizes = kernel_size if isinstance(kernel_size, (tuple, list)) else (kernel_size, kernel_size)
    if len(sizes) != 2 or any(
        not isinstance(size, (int, np.integer)) or size < 1 or size % 2 == 0 for size in sizes
    ):
        raise ValueError(
            "`kernel_size` must be one or two odd integers of at least 1. "
            f"Received: kernel_size={kernel_size!r}"
        )
    if not isinstance(mask_type, str) or mask_type not in ("A", "B"):
        raise ValueError(f"`mask_type` must be 'A' or 'B'. Received: mask_type={mask_type!r}")
    return tuple(sizes)


def cast_variable(layer, variable):
    """A variable in a layer's compute dtype; Keras casts by itself only within `call`."""
    return ops.cast(variable, layer.compute_dtype)
