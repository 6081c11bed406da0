"""The causal layers of a PixelCNN, from embedded codes to features."""

from keras_vqvae2 import checks
from keras_vqvae2.layers import (
    CausalAttention,
    GatedResidualBlock,
    MaskedConv2D,
    TwoStreamGatedBlock,
    VerticalConv2D,
)

INPUT_KERNEL = 7


class Trunk:
    """A masked convolution A, then gated blocks of one stream or two, attention among them.

    Calling it computes the whole grid, in a functional model; `step` one position, with the same
    layers and a cache of what came before.

    Args:
        filters: `C`, the channels of the blocks, even.
        num_blocks: how many gated blocks.
        kernel_size: of the blocks' convolutions.
        dropout: rate in every block and attention.
        two_stream: whether blocks are `TwoStreamGatedBlock`.
        num_attention_blocks: how many `CausalAttention` layers stand among the blocks.
        num_heads: of each attention.
        rematerialize: whether the gradients of blocks and attentions compute them again.
        policy: dtype policy of the layers.
    """

    def __init__(
        self,
        filters,
        num_blocks,
        kernel_size,
        dropout,
        two_stream,
        num_attention_blocks,
        num_heads,
        rematerialize,
        policy,
    ):
        num_blocks = checks.positive_int("num_blocks", num_blocks)
        num_attention_blocks = checks.non_negative_int("num_attention_blocks", num_attention_blocks)
        self.input_conv = MaskedConv2D(
            filters, INPUT_KERNEL, mask_type="A", dtype=policy, name="input_conv"
        )
        self.vertical_conv = None
        if two_stream:
            self.vertical_conv = VerticalConv2D(
                filters, INPUT_KERNEL, dtype=policy, name="vertical_conv"
            )
        self.layers = []
        attentions = 0
        shared = {"dropout": dropout, "rematerialize": rematerialize, "dtype": policy}
        for index in range(num_blocks):
            options = {**shared, "name": f"block_{index}"}
            if two_stream:
                ends = index == num_blocks - 1
                block = TwoStreamGatedBlock(filters, kernel_size, ends_vertical=ends, **options)
            else:
                block = GatedResidualBlock(filters, kernel_size, **options)
            self.layers.append(block)
            # At even distances, the last one after the last block.
            while attentions < (index + 1) * num_attention_blocks // num_blocks:
                name = f"attention_{attentions}"
                self.layers.append(CausalAttention(num_heads, **shared, name=name))
                attentions += 1

    def __call__(self, embedded, condition=None):
        """Compute the features of all positions.

        Args:
            embedded: `KerasTensor` `[B, H, W, E]`, the embedded codes.
            condition: `KerasTensor` `[B, H, W, E]` or `[B, 1, 1, E]`, or None.

        Returns:
            `KerasTensor` `[B, H, W, C]`; a position depends on the codes before it alone.
        """
        x = self.input_conv(embedded)
        vertical = None if self.vertical_conv is None else self.vertical_conv(embedded)
        for layer in self.layers:
            if isinstance(layer, CausalAttention):
                x = layer(x)
            elif vertical is None:
                x = layer(x, condition)
            elif layer.ends_vertical:
                x = layer(x, vertical, condition)
            else:
                x, vertical = layer(x, vertical, condition)
        return x

    @property
    def rows_above(self):
        """How many rows of embedded codes the first layers see above a position."""
        return self.input_conv.rows_above

    def init_cache(self, batch_size, width):
        """Return the cache before the first position: one of each layer, see its `init_cache`."""
        return {
            "layers": tuple(
                layer.init_cache(batch_size)
                if isinstance(layer, CausalAttention)
                else layer.init_cache(batch_size, width)
                for layer in self.layers
            )
        }

    def start_row(self, rows, cache, condition=None):
        """Begin a row: compute all of it that does not depend on its own codes.

        Args:
            rows: float tensor `[rows_above, W, B, E]`, the embedded rows above.
            cache: of `init_cache` before the first row, then of `end_row`.
            condition: float tensor `[W, B, E]` or `[1, B, E]`, the condition of the row, or None.

        Returns:
            The cache of the row, to be handed from `step` to `step`.
        """
        vertical = None if self.vertical_conv is None else self.vertical_conv.row(rows)
        caches = []
        for layer, layer_cache in zip(self.layers, cache["layers"], strict=True):
            if isinstance(layer, CausalAttention):
                caches.append(layer_cache)
            elif self.vertical_conv is None:
                caches.append(layer.start_row(layer_cache, condition))
            else:
                vertical, layer_cache = layer.start_row(vertical, layer_cache, condition)
                caches.append(layer_cache)
        return {"input": self.input_conv.start_row(rows), "layers": tuple(caches)}

    def step(self, last, cache, index):
        """Compute the features of one position.

        Args:
            last: float tensor `[B, E]`, the embedded code to the left; zeros in the first column.
            cache: of `start_row` in the first column, then of the step before.
            index: `(row, column)`, integers or scalar tensors.

        Returns:
            `(features, cache)`: float `[B, C]`, and the cache for the next position.
        """
        _, column = index
        x, start = self.input_conv.step(last, cache["input"], column)
        caches = []
        for layer, layer_cache in zip(self.layers, cache["layers"], strict=True):
            place = index if isinstance(layer, CausalAttention) else column
            x, layer_cache = layer.step(x, layer_cache, place)
            caches.append(layer_cache)
        return x, {"input": start, "layers": tuple(caches)}

    def column(self, cache):
        """Return what the next row needs of a column, of the cache after its step.

        Returns:
            A tuple: of each layer a float tensor `[B, C/2]`, or `()` if it needs nothing.
        """
        return tuple(
            () if isinstance(layer, CausalAttention) else layer.column(layer_cache)
            for layer, layer_cache in zip(self.layers, cache["layers"], strict=True)
        )

    def end_row(self, cache, columns):
        """Return the cache after a row.

        Args:
            cache: of the row's last step.
            columns: `column` of each step, the tensors stacked to `[W, B, C/2]`.

        Returns:
            The cache of the structure of `init_cache`.
        """
        return {
            "layers": tuple(
                layer_cache
                if isinstance(layer, CausalAttention)
                else layer.end_row(layer_cache, layer_columns)
                for layer, layer_cache, layer_columns in zip(
                    self.layers, cache["layers"], columns, strict=True
                )
            )
        }
