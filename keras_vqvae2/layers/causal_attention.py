"""Attention of each position to itself and to all positions before it."""

import keras
from keras import ops

from keras_vqvae2 import checks
from keras_vqvae2.layers.masked_conv import cast_variable
from keras_vqvae2.layers.rematerialization import check_rematerialize, computed

# As good as minus infinity after a softmax, in half precision too.
HIDDEN = -1e4


@keras.saving.register_keras_serializable("keras_vqvae2")
class CausalAttention(keras.layers.Layer):
    """Multi-head attention over the positions up to each one in raster order, added to its input.

    ```
    p = x + row_embedding + column_embedding
    y = x + dense(softmax(q(p) k(p)^T / sqrt(d), positions before and own) v(p))
    ```

    A PixelCNN's convolutions see near positions; this sees all, however far. `call` computes the
    whole grid; `step` one position, with a cache of the keys and values before it.

    Args:
        num_heads: how many heads; it divides the channels of the input.
        dropout: rate on the attended values while training, in [0, 1).
        seed: integer, of the dropout.
        rematerialize: whether only inputs are kept for the gradient, which computes the rest again.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: float tensor `[B, H, W, C]`.
        training: whether dropout is applied.

    Returns:
        float tensor `[B, H, W, C]`.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        Chen et al. 2018, "PixelSNAIL: An Improved Autoregressive Generative Model", section 2.

    Example:

    >>> layer = CausalAttention(num_heads=2)
    >>> tuple(layer(keras.random.normal((2, 5, 4, 8), seed=0)).shape)
    (2, 5, 4, 8)
    """

    def __init__(self, num_heads=4, dropout=0.0, seed=None, rematerialize=False, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = checks.positive_int("num_heads", num_heads)
        self.dropout = checks.fraction("dropout", dropout)
        self.seed = seed
        self.rematerialize = check_rematerialize(rematerialize)
        self.drop = keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy, name="drop")

    def build(self, input_shape):
        _, height, width, channels = input_shape
        if channels % self.num_heads:
            raise ValueError(
                "`num_heads` must divide the channels of the input. "
                f"Received: num_heads={self.num_heads}, input_shape={tuple(input_shape)}"
            )
        self.grid, self.filters = (height, width), channels
        for axis, size in (("row", height), ("column", width)):
            weight = self.add_weight(
                shape=(size, channels),
                initializer=keras.initializers.RandomNormal(stddev=0.02),
                name=f"{axis}_embeddings",
            )
            setattr(self, f"{axis}_embeddings", weight)
        for name in ("query", "key", "value", "expand"):
            layer = keras.layers.Dense(channels, dtype=self.dtype_policy, name=name)
            layer.build(input_shape)
            setattr(self, name, layer)

    def call(self, inputs, training=None):
        return computed(self, self._outputs, (inputs,), [ops.shape(inputs)], training)

    def _outputs(self, drops, inputs):
        height, width = self.grid
        size, depth = height * width, self.filters // self.num_heads
        placed = inputs + ops.reshape(self._places(), (height, width, self.filters))

        def heads(layer):
            x = ops.reshape(layer(placed), (-1, size, self.num_heads, depth))
            return ops.transpose(x, (0, 2, 1, 3))

        query, key, value = heads(self.query), heads(self.key), heads(self.value)
        scores = ops.matmul(query * depth**-0.5, ops.transpose(key, (0, 1, 3, 2)))
        before = ops.tril(ops.ones((size, size), "bool"))
        weights = ops.softmax(ops.where(before, scores, ops.cast(HIDDEN, scores.dtype)), axis=-1)
        attended = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        attended = ops.reshape(attended, (-1, height, width, self.filters))
        return inputs + self.expand(drops[0](attended))

    def init_cache(self, batch_size):
        """Return the cache before the first position.

        Args:
            batch_size: `B`, an integer or a scalar tensor.

        Returns:
            `{"keys": [H * W, B, C], "values": [H * W, B, C]}`, all zero; unlike the caches of
            convolutions it grows with the area of the grid.
        """
        shape = (self.grid[0] * self.grid[1], batch_size, self.filters)
        zeros = ops.zeros(shape, dtype=self.compute_dtype)
        return {"keys": zeros, "values": zeros}

    def step(self, inputs, cache, index):
        """Compute the output of one position; positions come in raster order.

        Args:
            inputs: float tensor `[B, C]`, the input at the position.
            cache: of `init_cache` at the first position, then of the step before.
            index: `(row, column)`; scalar tensors or integers.

        Returns:
            `(outputs, cache)`, the outputs `[B, C]`.
        """
        row, column = index
        position = row * self.grid[1] + column
        placed = inputs + ops.take(self._places(), position, axis=0)
        size = self.grid[0] * self.grid[1]
        positions = ops.arange(size, dtype="int32")[:, None, None]
        place = ops.reshape(position, (1, 1))
        keys = ops.scatter_update(cache["keys"], place, self.key(placed)[None])
        values = ops.scatter_update(cache["values"], place, self.value(placed)[None])

        heads = (-1, self.num_heads, self.filters // self.num_heads)
        query = ops.reshape(self.query(placed), heads) * heads[-1] ** -0.5
        scores = ops.sum(ops.reshape(keys, (size, *heads)) * query, axis=-1)
        hidden = ops.cast(HIDDEN, scores.dtype)
        scores = ops.where(positions <= position, scores, hidden)
        # The softmax of the first axis, for which TensorFlow would transpose there and back.
        weights = ops.exp(scores - ops.max(scores, axis=0))
        weights = weights / ops.sum(weights, axis=0)
        attended = ops.sum(ops.reshape(values, (size, *heads)) * weights[..., None], 0)
        outputs = inputs + self.expand(ops.reshape(attended, (-1, self.filters)))
        return outputs, {"keys": keys, "values": values}

    def _places(self):
        """The embedding of each position, `[H * W, C]`."""
        rows = cast_variable(self, self.row_embeddings)
        columns = cast_variable(self, self.column_embeddings)
        return ops.reshape(rows[:, None] + columns, (-1, self.filters))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "seed": self.seed,
            "rematerialize": self.rematerialize,
        }
