"""The residual block of the gated PixelCNN."""

import keras
from keras import ops

from keras_vqvae2 import checks
from keras_vqvae2.layers.masked_conv import MaskedConv2D, cast_variable
from keras_vqvae2.layers.rematerialization import check_rematerialize, computed
from keras_vqvae2.layers.rows import dense_row


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
        rematerialize: whether only inputs are kept for the gradient, which computes the rest again.
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

    def __init__(
        self, filters, kernel_size=3, dropout=0.0, seed=None, rematerialize=False, **kwargs
    ):
        super().__init__(**kwargs)
        self.filters = checks.even("filters", filters)
        self.kernel_size = kernel_size
        self.dropout = checks.fraction("dropout", dropout)
        self.seed = seed
        self.rematerialize = check_rematerialize(rematerialize)
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
        half = (*ops.shape(inputs)[:-1], self.filters // 2)
        return computed(self, self._outputs, (inputs, condition), [half], training)

    def _outputs(self, drops, inputs, condition):
        gates = self.masked_conv(self.reduce(inputs))
        if condition is not None:
            gates = gates + self.project(condition)
        return inputs + self.expand(drops[0](gate(gates)))

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

    def start_row(self, cache, condition=None):
        """Begin a row.

        Args:
            cache: of `init_cache` before the first row, then of `end_row`.
            condition: float tensor `[W, B, E]` or `[1, B, E]`, the condition of the row, or None.

        Returns:
            The cache of the row, to be handed from `step` to `step`.
        """
        rows = cache["rows"]
        projected = None if condition is None else dense_row(self.project, condition)
        bias = cast_variable(self, self.reduce.bias)
        return {
            "rows": rows,
            "conv": self.masked_conv.start_row(rows, projected),
            "bias": ops.broadcast_to(bias, (ops.shape(rows)[2], self.filters // 2)),
        }

    def step(self, inputs, cache, column):
        """Compute the output of one position; columns come in order.

        Args:
            inputs: float tensor `[B, C]`, the input at `column`.
            cache: of `start_row` in the first column, then of the step before.
            column: integer or scalar tensor.

        Returns:
            `(outputs, cache)`, the outputs `[B, C]`.
        """
        # The dense layers with their biases apart. As tensors of the batch's shape TensorFlow does
        # not fuse these into the products: for one row its fused product costs more than both.
        hidden = cache["bias"] + ops.matmul(inputs, cast_variable(self, self.reduce.kernel))
        gates, conv = self.masked_conv.step(hidden, cache["conv"], column)
        products = ops.matmul(gate(gates), cast_variable(self, self.expand.kernel))
        outputs = (inputs + cast_variable(self, self.expand.bias)) + products
        return outputs, {**cache, "conv": conv}

    def column(self, cache):
        """Return what the next row needs of a column, of the cache after its step: `[B, C/2]`."""
        return cache["conv"]["left"][-1]

    def end_row(self, cache, columns):
        """Return the cache after a row: it joins the rows above, the highest is done with.

        Args:
            cache: of the row's last step.
            columns: float tensor `[W, B, C/2]`, `column` of each step.

        Returns:
            The cache of the structure of `init_cache`.
        """
        # A kernel of one row has none above: then there is nothing to keep.
        return {"rows": ops.concatenate([cache["rows"], columns[None]], axis=0)[1:]}

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
            "rematerialize": self.rematerialize,
        }


def gate(gates):
    """The gated activation `tanh(f) * sigmoid(g)` of the two halves `f`, `g` of the channels."""
    values, gates = ops.split(gates, 2, axis=-1)
    return ops.tanh(values) * ops.sigmoid(gates)
