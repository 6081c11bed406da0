"""What the positions of a grid are given: a coarser grid of codes, and a class."""

import keras
from keras import ops

from keras_vqvae2 import checks
from keras_vqvae2.layers import LabelDropout, ResidualStack


def build_conditioner(
    code_shape,
    embedding_dim,
    context_shape,
    context_num_embeddings,
    num_blocks,
    num_classes,
    label_dropout,
    policy,
):
    """Build the network that makes a map of vectors of the context and the label.

    The embedded context is upsampled to the grid, the embedded label is the same everywhere, and
    the two are added. With `num_blocks` the context first passes residual convolutions that are not
    masked, since all of it is known: a position then sees the codes around the one that covers it;
    and each position within the cell of a coarse code gets a projection of its own.

    Args:
        code_shape: the grid `(H, W)`.
        embedding_dim: `E`.
        context_shape: the coarser grid; None for no context.
        context_num_embeddings: the number of its codes.
        num_blocks: residual blocks on the context; 0 for none, and for plain upsampling.
        num_classes: the number of classes; None for no labels.
        label_dropout: see `LabelDropout`; 0 for a model that knows no images without a class.
        policy: dtype policy of the layers.

    Returns:
        `keras.Model` of a dictionary with `"context"` and `"labels"` as they are given, to
        `[B, H, W, E]`, or `[B, 1, 1, E]` without context; None without either.

    Raises:
        ValueError: if `num_blocks` is negative, or there is no context for them.
    """
    num_blocks = checks.non_negative_int("num_conditioning_blocks", num_blocks)
    if num_blocks and context_shape is None:
        raise ValueError(
            "`num_conditioning_blocks` must be 0 for a model without context. "
            f"Received: num_conditioning_blocks={num_blocks}"
        )
    inputs, conditions = {}, []
    if context_shape is not None:
        inputs["context"] = keras.Input(context_shape, dtype="int32", name="context")
        x = keras.layers.Embedding(
            context_num_embeddings, embedding_dim, dtype=policy, name="embed_context"
        )(inputs["context"])
        if num_blocks:
            x = ResidualStack(num_blocks, embedding_dim, dtype=policy, name="context_blocks")(x)
        conditions.append(_upsample(x, code_shape, num_blocks > 0, policy))
    if num_classes is not None:
        inputs["labels"] = keras.Input((), dtype="int32", name="labels")
        x, rows = inputs["labels"], num_classes
        if label_dropout:
            x, rows = LabelDropout(num_classes, label_dropout, name="label_dropout")(x), rows + 1
        x = keras.layers.Embedding(rows, embedding_dim, dtype=policy, name="embed_labels")(x)
        conditions.append(keras.layers.Reshape((1, 1, embedding_dim), name="label_map")(x))
    if not conditions:
        return None
    return keras.Model(inputs, sum(conditions[1:], conditions[0]), name="condition")


def _upsample(x, shape, learned, policy):
    """Bring `[B, h, w, E]` to a grid: each vector repeated, or projected once for each place."""
    _, *coarse, channels = x.shape
    factors = [size // small for size, small in zip(shape, coarse, strict=True)]
    if learned:
        places = factors[0] * factors[1]
        x = keras.layers.Dense(places * channels, dtype=policy, name="spread_context")(x)
        x = ops.reshape(x, (-1, *coarse, *factors, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, *shape, channels))
    for axis, (size, small) in enumerate(zip(shape, coarse, strict=True), 1):
        # As one gather an axis: `UpSampling2D` repeats by integer products, of which oneDNN
        # complains in the log.
        x = ops.take(x, [index * small // size for index in range(size)], axis=axis)
    return x
