"""The mathematics of vector quantization as plain functions of `keras.ops`.

Shape letters: `N` vectors, `D` their dimension, `K` codes in a codebook.
"""

import math

from keras import ops

TINY = 1e-12  # keeps the length of a zero vector from dividing
# Codes from which on vectors are compared in blocks, and distances of a block: 16 MiB of float32.
# A block twice as large takes twice as long: memory of 32 MiB comes anew from the system each time.
LARGE_CODEBOOK = 4096
BLOCK = 2**22
GROUP = 64  # codes of which the least distance is found at once


def squared_distances(vectors, codebook):
    """Squared Euclidean distance of each vector to each code, less the vector's own norm.

    `|x - e|^2 - |x|^2 = |e|^2 - 2 x.e` orders the codes of a vector as the distance does. The norm
    of the codes rides along as one more column of a single matrix product.

    Args:
        vectors: float32 tensor `[N, D]`.
        codebook: float32 tensor `[K, D]`.

    Returns:
        float32 tensor `[N, K]`.
    """
    return ops.matmul(_with_ones(vectors), _columns(codebook))


def _with_ones(vectors):
    return ops.concatenate([vectors, ops.ones_like(vectors[:, :1])], axis=1)


def _columns(codebook):
    norms = ops.sum(ops.square(codebook), axis=1, keepdims=True)
    return ops.transpose(ops.concatenate([-2.0 * codebook, norms], axis=1))


def nearest_code(vectors, codebook):
    """Index of the code nearest to each vector; the lowest index wins a tie.

    Of a large codebook a block of vectors is compared at a time, so that the distances in memory at
    once are no more than `BLOCK`, however many vectors there are.

    Args:
        vectors: float32 tensor `[N, D]`.
        codebook: float32 tensor `[K, D]`.

    Returns:
        int32 tensor `[N]`.
    """
    vectors, columns = _with_ones(vectors), _columns(codebook)
    width, num_embeddings = columns.shape
    if num_embeddings < LARGE_CODEBOOK:
        return _nearest(vectors, columns)
    size = max(BLOCK // num_embeddings, 1)
    count = ops.shape(vectors)[0]
    missing = -count % size
    vectors = ops.concatenate([vectors, ops.zeros((missing, width), vectors.dtype)])
    blocks = ops.reshape(vectors, (-1, size, width))
    codes = ops.map(lambda block: _nearest(block, columns), blocks)
    return ops.reshape(codes, (-1,))[:count]


def _nearest(vectors, columns):
    """Find the group of codes that holds the least distance, then the code in that group.

    All distances are read once, those of a group twice.
    """
    num_embeddings = columns.shape[1]
    size = math.gcd(num_embeddings, GROUP)
    groups = ops.reshape(ops.matmul(vectors, columns), (-1, size))
    least_of_groups = ops.reshape(ops.min(groups, axis=1), (-1, num_embeddings // size))
    least = ops.min(least_of_groups, axis=1, keepdims=True)
    group = _first(least_of_groups <= least)
    start = ops.arange(ops.shape(vectors)[0], dtype="int32") * (num_embeddings // size)
    return group * size + _first(ops.take(groups, start + group, axis=0) <= least)


def _first(found):
    """Index of the first True of each row `[N, M]`; the last index where there is none."""
    # As fast as Keras's argmin, which tells zeros of either sign apart by their bits: an operation
    # that other engines cannot read in an exported graph.
    last = found.shape[1] - 1
    return ops.min(ops.where(found, ops.arange(last + 1, dtype="int32"), last), axis=1)


def straight_through(inputs, quantized):
    """`quantized` in the forward pass, the identity of `inputs` in the backward pass.

    Reference: van den Oord et al. 2017, "Neural Discrete Representation Learning", section 3.2.

    Args:
        inputs: float tensor of any shape.
        quantized: tensor of the same shape and dtype.

    Returns:
        Tensor of the same shape.
    """
    return inputs + ops.stop_gradient(quantized - inputs)


def rotation_trick(inputs, quantized):
    """`quantized` in the forward pass; backward, the rotation that takes `inputs` to it.

    `quantized = (|q| / |x|) R x`, where the rotation `R` and the ratio are constants to the
    gradient. Unlike `straight_through` the gradient at `inputs` depends on where in the cell of its
    code a vector lies: `R` and the gradient keep their angle.

    `R x = x - 2 r (r.x) + 2 q' (x'.x)` with the unit vectors `x'`, `q'` and `r` along `x' + q'`.

    Reference: Fifty et al. 2024, "Restructuring Vector Quantization with the Rotation Trick",
    section 4.

    Args:
        inputs: float tensor `[..., D]`.
        quantized: tensor of the same shape and dtype.

    Returns:
        Tensor of the same shape.
    """
    input_norm, code_norm = _norms(inputs), _norms(quantized)
    source = ops.stop_gradient(inputs / input_norm)
    target = ops.stop_gradient(quantized / code_norm)
    middle = unit_vectors(source + target)
    rotated = (
        inputs
        - 2.0 * middle * ops.sum(middle * inputs, axis=-1, keepdims=True)
        + 2.0 * target * ops.sum(source * inputs, axis=-1, keepdims=True)
    )
    rotated = ops.stop_gradient(code_norm / input_norm) * rotated
    # Of a vector opposite to its code the formula is undefined; the value is right all the same.
    return rotated + ops.stop_gradient(quantized - rotated)


def unit_vectors(vectors):
    """Scale vectors `[..., D]` to length 1; a zero vector stays zero."""
    return vectors / _norms(vectors)


def _norms(vectors):
    return ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True) + TINY)


def code_statistics(vectors, codes, num_embeddings):
    """How often each code was chosen, and the sum of the vectors that chose it.

    Args:
        vectors: float32 tensor `[N, D]`.
        codes: int32 tensor `[N]`.
        num_embeddings: `K`.

    Returns:
        `(counts, sums)`: float32 tensors `[K]` and `[K, D]`.
    """
    counts = ops.segment_sum(ops.ones_like(vectors[:, 0]), codes, num_segments=num_embeddings)
    sums = ops.segment_sum(vectors, codes, num_segments=num_embeddings)
    return counts, sums


def smoothed_counts(counts, epsilon):
    """Laplace-smoothed counts that keep their total.

    `(n_i + epsilon) / (n + K epsilon) * n`: van den Oord et al. 2017, appendix A.1, with the
    smoothing of its reference implementation.

    Args:
        counts: float32 tensor `[K]`.
        epsilon: small positive float.

    Returns:
        float32 tensor `[K]`, positive where the total is.
    """
    total = ops.sum(counts)
    return (counts + epsilon) / (total + counts.shape[0] * epsilon) * total


def kmeans(vectors, centroids, iterations):
    """Lloyd's algorithm; a centroid that attracts no vector stays where it is.

    Args:
        vectors: float32 tensor `[N, D]`.
        centroids: float32 tensor `[K, D]`, the start.
        iterations: how many rounds.

    Returns:
        float32 tensor `[K, D]`.
    """

    def lloyd(_, centroids):
        codes = nearest_code(vectors, centroids)
        counts, sums = code_statistics(vectors, codes, centroids.shape[0])
        counts = counts[:, None]
        return ops.where(counts > 0, sums / ops.maximum(counts, 1.0), centroids)

    return ops.fori_loop(0, iterations, lloyd, centroids)


def entropy_bits(counts):
    """Entropy of the distribution that counts describe, in bits.

    Args:
        counts: float tensor `[K]`; all zero gives 0.

    Returns:
        float scalar in `[0, log2 K]`; `2 ** entropy` is the perplexity.
    """
    counts = ops.cast(counts, "float32")
    probabilities = counts / ops.maximum(ops.sum(counts), 1e-30)
    logs = ops.log(ops.maximum(probabilities, 1e-30))
    return -ops.sum(probabilities * logs) / math.log(2.0)


def pixels_to_signal(pixels):
    """Map pixels in [0, 255] to the signal in [-1, 1] that the networks work on."""
    return ops.cast(pixels, "float32") / 127.5 - 1.0


def signal_to_pixels(signal):
    """Map a signal to float pixels, clipped to [0, 255]."""
    return ops.clip((ops.cast(signal, "float32") + 1.0) * 127.5, 0.0, 255.0)


def to_uint8(pixels):
    """Round float pixels in [0, 255] to uint8."""
    return ops.cast(ops.round(pixels), "uint8")
