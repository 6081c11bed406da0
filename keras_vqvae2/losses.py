"""Losses as plain functions, one value an example."""

from keras import ops

from keras_vqvae2.distribution.replicas import all_reduce_sum


def squared_error(images, reconstruction):
    """Mean squared error of each image, on the [-1, 1] signal the networks work on.

    Args:
        images: float32 tensor `[B, H, W, C]`, the signal.
        reconstruction: float tensor of the same shape.

    Returns:
        float32 tensor `[B]`.
    """
    return ops.mean(ops.square(_difference(images, reconstruction)), axis=(1, 2, 3))


def absolute_error(images, reconstruction):
    """Mean absolute error of each image, on the [-1, 1] signal.

    Args:
        images: float32 tensor `[B, H, W, C]`, the signal.
        reconstruction: float tensor of the same shape.

    Returns:
        float32 tensor `[B]`.
    """
    return ops.mean(ops.abs(_difference(images, reconstruction)), axis=(1, 2, 3))


def _difference(images, reconstruction):
    return ops.cast(reconstruction, "float32") - ops.cast(images, "float32")


def code_nll(codes, logits):
    """Negative log-likelihood of each code under the logits at its position.

    Args:
        codes: int32 tensor `[B, H, W]`, or of any other shape.
        logits: float tensor `[B, H, W, K]`, or of that shape and `K`.

    Returns:
        float32 tensor of the shape of `codes`, nats; its sum over a grid is `-log p` of the grid.
    """
    logits = ops.cast(logits, "float32")
    chosen = ops.take_along_axis(logits, ops.cast(codes, "int32")[..., None], axis=-1)[..., 0]
    return ops.logsumexp(logits, axis=-1) - chosen


def smoothed_code_nll(codes, logits, smoothing):
    """Cross-entropy of smoothed targets: `1 - smoothing` on the code, the rest on all codes alike.

    Args:
        codes: as of `code_nll`.
        logits: as of `code_nll`.
        smoothing: in [0, 1); 0 gives `code_nll`.

    Returns:
        float32 tensor of the shape of `codes`, nats.

    Reference:
        Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision",
        section 7.
    """
    nats = code_nll(codes, logits)
    if not smoothing:
        return nats
    logits = ops.cast(logits, "float32")
    uniform = ops.logsumexp(logits, axis=-1) - ops.mean(logits, axis=-1)
    return (1.0 - smoothing) * nats + smoothing * uniform


def weighted_mean(values, sample_weight=None):
    """Mean over the batch, as Keras weighs it: `sum(w * v) / B`.

    A replica gets its share, divided by the size `B` of the global batch: the shares of all
    replicas, empty ones among them, and their gradients add up to those of the global batch.

    Args:
        values: float32 tensor `[B]`.
        sample_weight: float tensor `[B]` or None.

    Returns:
        float32 scalar.
    """
    if sample_weight is not None:
        values = values * ops.reshape(ops.cast(sample_weight, values.dtype), (-1,))
    return ops.sum(values) / global_batch_size(values)


def global_batch_size(values):
    """Return the size of the batch on all replicas.

    Args:
        values: tensor `[B, ...]`, this replica's part of the batch.

    Returns:
        float32 scalar.
    """
    return all_reduce_sum(ops.cast(ops.shape(values)[0], "float32"))
