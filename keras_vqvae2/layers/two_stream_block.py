"""The residual block of the gated PixelCNN without a blind spot."""

import keras
from keras import ops

from keras_vqvae2 import checks
from keras_vqvae2.layers.gated_block import gate
from keras_vqvae2.layers.masked_conv import MaskedConv2D
from keras_vqvae2.layers.rematerialization import check_rematerialize, computed
from keras_vqvae2.layers.rows import dense_row
from keras_vqvae2.layers.vertical_conv import VerticalConv2D


@keras.saving.register_keras_serializable("keras_vqvae2")
class TwoStreamGatedBlock(keras.layers.Layer):
    """Two gated residual blocks side by side, one of which sees all rows above.

    ```
    fv, gv = vertical_conv_B(dense(v)) + V c                           # whole rows
    v'     = v + dense(tanh(fv) * sigmoid(gv))
    fh, gh = masked_conv_B(dense(h)) + dense([fv, gv]) + U c           # the row, up to the position
    h'     = h + dense(tanh(fh) * sigmoid(gh))
    ```

    The dense layers are those of `GatedResidualBlock`: down to half the channels and back. `call`
    computes the whole grid; `step` one position, and at the first of a row the row of `v`. The last
    block of a network need not compute `v'`.

    Args:
        filters: `C`, even; the channels of either stream.
        kernel_size: odd integer, or two of them; the height at least 3.
        ends_vertical: whether `v'` is left out, and None returned in its place.
        dropout: rate on the gated activations while training, in [0, 1).
        seed: integer, of the dropout.
        rematerialize: whether only inputs are kept for the gradient, which computes the rest again.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        horizontal: `h`, float tensor `[B, H, W, C]`, which sees codes before its position.
        vertical: `v`, float tensor `[B, H, W, C]`, which sees codes above its row.
        condition: float tensor `[B, H, W, E]` or `[B, 1, 1, E]`, or None.
        training: whether dropout is applied.

    Returns:
        `(horizontal, vertical)`, float tensors `[B, H, W, C]`; with `ends_vertical` the first.

    Raises:
        ValueError: if `filters` is odd or an argument out of its range.

    Reference:
        van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders",
        section 2.2 and figure 2.

    Example:

    >>> block = TwoStreamGatedBlock(8)
    >>> x = keras.random.normal((2, 5, 4, 8), seed=0)
    >>> horizontal, vertical = block(x, x)
    >>> tuple(horizontal.shape), tuple(vertical.shape)
    ((2, 5, 4, 8), (2, 5, 4, 8))
    """

    def __init__(
        self,
        filters,
        kernel_size=3,
        dropout=0.0,
        ends_vertical=False,
        seed=None,
        rematerialize=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = checks.even("filters", filters)
        self.kernel_size = kernel_size
        self.ends_vertical = ends_vertical
        self.dropout = checks.fraction("dropout", dropout)
        self.seed = seed
        self.rematerialize = check_rematerialize(rematerialize)
        policy = self.dtype_policy
        self.vertical_conv = VerticalConv2D(
            filters, kernel_size, mask_type="B", dtype=policy, name="vertical_conv"
        )
        self.row_conv = MaskedConv2D(
            filters,
            (1, self.vertical_conv.kernel_size[1]),
            mask_type="B",
            dtype=policy,
            name="row_conv",
        )
        half = filters // 2
        self.vertical_reduce = keras.layers.Dense(half, dtype=policy, name="vertical_reduce")
        self.vertical_expand = None
        if not ends_vertical:
            self.vertical_expand = keras.layers.Dense(filters, dtype=policy, name="vertical_expand")
        self.reduce = keras.layers.Dense(half, dtype=policy, name="reduce")
        self.link = keras.layers.Dense(filters, use_bias=False, dtype=policy, name="link")
        self.expand = keras.layers.Dense(filters, dtype=policy, name="expand")
        self.drop = keras.layers.Dropout(dropout, seed=seed, dtype=policy, name="drop")

    def build(self, horizontal_shape, vertical_shape=None, condition_shape=None):
        if horizontal_shape[-1] != self.filters:
            raise ValueError(
                "The last axis of the input must be `filters`. "
                f"Received: input_shape={tuple(horizontal_shape)}, filters={self.filters}"
            )
        half = (*horizontal_shape[:-1], self.filters // 2)
        for layer in (self.vertical_reduce, self.reduce, self.link):
            layer.build(horizontal_shape)
        for layer in (self.vertical_conv, self.row_conv, self.expand):
            layer.build(half)
        if not self.ends_vertical:
            self.vertical_expand.build(half)
        self.projections = None
        if condition_shape is not None:
            self.projections = [
                keras.layers.Dense(
                    self.filters, use_bias=False, dtype=self.dtype_policy, name=f"{stream}_project"
                )
                for stream in ("vertical", "horizontal")
            ]
            for layer in self.projections:
                layer.build(condition_shape)

    def call(self, horizontal, vertical, condition=None, training=None):
        half = (*ops.shape(horizontal)[:-1], self.filters // 2)
        shapes = [half] if self.ends_vertical else [half, half]
        return computed(self, self._outputs, (horizontal, vertical, condition), shapes, training)

    def _outputs(self, drops, horizontal, vertical, condition):
        above = self.vertical_conv(self.vertical_reduce(vertical))
        gates = self.row_conv(self.reduce(horizontal))
        if condition is not None:
            above = above + self.projections[0](condition)
            gates = gates + self.projections[1](condition)
        gates = gates + self.link(above)
        horizontal = horizontal + self.expand(drops[0](gate(gates)))
        if self.ends_vertical:
            return horizontal
        return horizontal, vertical + self.vertical_expand(drops[1](gate(above)))

    def init_cache(self, batch_size, width):
        """Return the cache before the first row: the vertical stream's rows above, all zero.

        Args:
            batch_size: `B`, an integer or a scalar tensor.
            width: `W`, an integer.

        Returns:
            `{"rows": [rows_above, W, B, C/2]}`.
        """
        shape = (self.vertical_conv.rows_above, width, batch_size, self.filters // 2)
        return {"rows": ops.zeros(shape, dtype=self.compute_dtype)}

    def start_row(self, vertical, cache, condition=None):
        """Begin a row: compute all of it of the vertical stream.

        Args:
            vertical: float tensor `[W, B, C]`, the row of the vertical stream.
            cache: of `init_cache` before the first row, then of `end_row`.
            condition: float tensor `[W, B, E]` or `[1, B, E]`, the condition of the row, or None.

        Returns:
            `(vertical, cache)`: `[W, B, C]` or None, and the cache of the row, to be handed from
            `step` to `step`.
        """
        reduced = dense_row(self.vertical_reduce, vertical)
        seen = ops.concatenate([cache["rows"], reduced[None]], axis=0)
        above = self.vertical_conv.row(seen)
        projected = 0.0
        if condition is not None:
            above = above + dense_row(self.projections[0], condition)
            projected = dense_row(self.projections[1], condition)
        if not self.ends_vertical:
            vertical = vertical + dense_row(self.vertical_expand, gate(above))
        rows = seen[1:]  # The highest is done with.
        conv = self.row_conv.start_row(rows, dense_row(self.link, above) + projected)
        return None if self.ends_vertical else vertical, {"rows": rows, "conv": conv}

    def step(self, horizontal, cache, column):
        """Compute the output of one position; columns come in order.

        Args:
            horizontal: float tensor `[B, C]`, the input at `column`.
            cache: of `start_row` in the first column, then of the step before.
            column: integer or scalar tensor.

        Returns:
            `(horizontal, cache)`, the first `[B, C]`.
        """
        gates, conv = self.row_conv.step(self.reduce(horizontal), cache["conv"], column)
        return horizontal + self.expand(gate(gates)), {**cache, "conv": conv}

    def column(self, cache):
        """Return what the next row needs of a column: nothing, it was there at the row's start."""
        return ()

    def end_row(self, cache, columns):
        """Return the cache after a row."""
        return {"rows": cache["rows"]}

    def compute_output_shape(self, horizontal_shape, vertical_shape, condition_shape=None):
        return horizontal_shape if self.ends_vertical else (horizontal_shape, vertical_shape)

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dropout": self.dropout,
            "ends_vertical": self.ends_vertical,
            "seed": self.seed,
            "rematerialize": self.rematerialize,
        }
