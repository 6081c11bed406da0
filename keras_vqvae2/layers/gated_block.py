"""The residual block of the gated PixelCNN."""

import keras
from keras import ops

from keras_vqvae2 import checks
from keras_vqvae2.layers.masked_conv import MaskedConv2D, cast_variable


@keras.saving.register_keras_serializable("keras_vqvae2")
class GatedResidualBlock(keras.layers.Layer):
    """Gated masked convolution in a bottleneck, added to its input.

    ```
    h    = dense(x)                      # C -> C/2
    f, g = masked_conv_B(h) + V c        # C/2 -> 2 * C/2; c is the condition
    y    = x + dense(tanh(f) * sigmoid(g))
    ```

    `call` computes the whole grid; `step` one position, with the same weights and a cache of the
    rows above.

    Args:
        filters: `C`, even; the channels of the input and the output.
        kernel_size: of the masked convolution, odd.
        dropout: rate on the gated activations while training, in [0, 1).
        seed: integer, of the dropout.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: float tensor `[B, H, W, C]`.
        condition: float tensor `[B, H, W, E]` or `[B, 1, 1, E]`, or None.
        training: whether dropout is applied.

    Returns:
        float tensor `[B, H, W, C]`.

    Raises:
        ValueError: if `filters` is odd or an argument out of its range.

    Reference:
        van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders",
        sections 2.1 and 2.3.

    Example:

    >>> block = GatedResidualBlock(8)
    >>> tuple(block(keras.random.normal((2, 5, 4, 8), seed=0)).shape)
    (2, 5, 4, 8)
    """

    def __init__(self, filters, kernel_size=3, dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.filters = checks.even("filters", filters)
        self.kernel_size = kernel_size
        self.dropout = checks.fraction("dropout", dropout)
        self.seed = seed
        self.reduce = keras.layers.Dense(filters // 2, dtype=self.dtype_policy, name="reduce")
        self.masked_conv = MaskedConv2D(
            filters, kernel_size, mask_type="B", dtype=self.dtype_policy, name="masked_conv"
        )
        self.drop = keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy, name="drop")
        self.expand = keras.layers.Dense(filters, dtype=self.dtype_policy, name="expand")

    def build(self, inputs_shape, condition_shape=None):
        if inputs_shape[-1] != self.filters:
            raise ValueError(
                "The last axis of the input must be `filters`. "
                f"Received: input_shape={tuple(inputs_shape)}, filters={self.filters}"
            )
        half = (*inputs_shape[:-1], self.filters // 2)
        self.reduce.build(inputs_shape)
        self.masked_conv.build(half)
        self.project = None
        if condition_shape is not None:
            self.project = keras.layers.Dense(
                self.filters, use_bias=False, dtype=self.dtype_policy, name="project"
            )
            self.project.build(condition_shape)
        self.expand.build(half)

    def call(self, inputs, condition=None, training=None):
        gates = self.masked_conv(self.reduce(inputs))
        if condition is not None:
            gates = gates + self.project(condition)
        return inputs + self.expand(self.drop(gate(gates), training=training))

    def init_cache(self, batch_size, width):
        """Return the cache before the first row: the rows above, which are zero.

        Args:
            batch_size: `B`, an integer or a scalar tensor.
            width: `W`, an integer.

        Returns:
            `{"rows": [rows_above, W, B, C/2]}`; it grows with the width of the grid, not with its
            area.
        """
        shape = (self.masked_conv.rows_above, width, batch_size, self.filters // 2)
        return {"rows": ops.zeros(shape, dtype=self.compute_dtype)}

    def step(self, inputs, cache, column, condition=None):
        """Compute the output of one position; columns come in order, then the next row.

        Args:
            inputs: float tensor `[B, C]`, the input at `column`.
            cache: of `init_cache` at the first position, then of the step before.
            column: Python integer.
            condition: float tensor `[W, B, E]` or `[1, B, E]`, the condition of the row, or None.

        Returns:
            `(outputs, cache)`, the outputs `[B, C]`.
        """
        rows = cache["rows"]
        if column == 0:
            projected = None if condition is None else self.project(condition)
            bias = cast_variable(self, self.reduce.bias)
            bias = ops.broadcast_to(bias, (ops.shape(inputs)[0], self.filters // 2))
            cache = {
                "conv": self.masked_conv.start_row(rows, projected),
                "bias": bias,
                "row": (),
            }
        # The dense layers with their biases apart. As tensors of the batch's shape TensorFlow does
        # not fuse these into the products: for one row its fused product costs more than both.
        hidden = cache["bias"] + ops.matmul(inputs, cast_variable(self, self.reduce.kernel))
        gates, conv = self.masked_conv.step(hidden, cache["conv"], column)
        row = (*cache["row"], hidden)
        products = ops.matmul(gate(gates), cast_variable(self, self.expand.kernel))
        outputs = (inputs + cast_variable(self, self.expand.bias)) + products
        if column < rows.shape[1] - 1:
            return outputs, {"rows": rows, "conv": conv, "bias": cache["bias"], "row": row}
        # The row is complete: it joins the rows above, the highest of which is done with.
        rows = ops.concatenate([rows[1:], ops.stack(row)[None]], axis=0)
        return outputs, {"rows": rows}

    def compute_output_shape(self, inputs_shape, condition_shape=None):
        return inputs_shape

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dropout": self.dropout,
            "seed": self.seed,
        }


def gate(gates):
    """The gated activation `tanh(f) * sigmoid(g)` of the two halves `f`, `g` of the channels."""
    values, gates = ops.split(gates, 2, axis=-1)
    return ops.tanh(values) * ops.sigmoid(gates)
