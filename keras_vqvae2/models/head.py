"""The end of a PixelCNN: from features to logits, position by position."""

import keras
from keras import ops


def build_head(filters, num_embeddings, policy):
    """Build the layers ReLU, 1x1, ReLU, 1x1, for a whole grid or for one position.

    Args:
        filters: `C`, the channels between them.
        num_embeddings: `K`, the number of codes.
        policy: dtype policy of the layers; logits are float32 in any case.

    Returns:
        A list of callables, to be applied one after the other to features `[..., C]`; the last
        gives logits `[..., K]`.
    """
    return [
        _relu,
        keras.layers.Dense(filters, activation="relu", dtype=policy, name="hidden"),
        keras.layers.Dense(num_embeddings, dtype="float32", name="to_logits"),
    ]


def apply(head, x):
    """Return what the layers of a head make of features."""
    for layer in head:
        x = layer(x)
    return x


def _relu(x):
    # Not `relu`: TensorFlow 2.21's graph optimizer tries to fuse that with the residual sum before
    # it, fails with an error in the log, and gives up on the graph.
    return ops.maximum(x, 0.0)
