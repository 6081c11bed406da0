"""Uniform noise that depends on a seed, an image's index and a position, and on nothing else.

A counter-based generator in integer arithmetic gives the same bits in NumPy, TensorFlow, JAX and
PyTorch, compiled or not, whatever else is in the batch; a backend's own generator would not.
"""

import operator

import keras
import numpy as np
from keras import ops

from keras_vqvae2 import checks

# Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3", Threefry-2x32 with 20 rounds.
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_MASK = 0xFFFFFFFF


def threefry(key, counter):
    """Threefry-2x32: encrypt a counter of two words with a key of two words.

    Args:
        key: pair of uint32 tensors.
        counter: pair of uint32 tensors that broadcast with those of the key.

    Returns:
        Pair of uint32 tensors: 64 random bits for each key and counter.
    """
    parity = ops.bitwise_xor(ops.bitwise_xor(key[0], key[1]), _uint32(_PARITY))
    keys = (key[0], key[1], parity)
    left, right = _add(counter[0], keys[0]), _add(counter[1], keys[1])
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            left = _add(left, right)
            right = ops.bitwise_xor(_rotate_left(right, rotation), left)
        left = _add(left, keys[(group + 1) % 3])
        right = _add(right, keys[(group + 2) % 3] + _uint32(group + 1))
    return left, right


def uniform_noise(seeds, indices, shape, stream=0):
    """Uniform numbers in [0, 1), one for each position of a grid.

    Args:
        seeds: pair of uint32 tensors `[B]` or scalars, the low and the high word of a 64-bit seed.
        indices: uint32 tensor `[B]`, the index of each image within its call.
        shape: the grid `(H, W)`.
        stream: integer in [0, 256), which of several grids of one image this is.

    Returns:
        float32 tensor `[B, H, W]`, multiples of `2**-24`.
    """
    height, width = shape
    positions = _uint32(range(height * width)) + _uint32(stream << 24)
    key = tuple(ops.reshape(word, (-1, 1)) for word in seeds)
    bits, _ = threefry(key, (ops.reshape(indices, (-1, 1)), positions[None]))
    # The upper 24 bits are a float32 exactly.
    bits = ops.cast(ops.right_shift(bits, _uint32(8)), "int32")
    return ops.reshape(ops.cast(bits, "float32") * 2.0**-24, (-1, height, width))


def noise_walk(start, end, steps):
    """Noise on a way from one to another, in equal steps.

    Each number goes around a circle, on which 1 meets 0, by the shorter way. So it is as uniform
    after any share of the way as at its ends, and what is sampled of it is a fair sample; a mean of
    the two would be near a half too often.

    Args:
        start: tuple of arrays `[1, H_l, W_l]` in [0, 1), one a level, as of
            `HierarchicalPrior.noise`.
        end: the same.
        steps: integer of at least 2, how many places on the way, both ends among them.

    Returns:
        Tuple of float32 arrays `[steps, H_l, W_l]` in [0, 1).

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> start, end = [np.array([[[0.875]]])], [np.array([[[0.125]]])]
    >>> noise_walk(start, end, 3)[0].ravel().tolist()
    [0.875, 0.0, 0.125]
    """
    if checks.positive_int("steps", steps) < 2:
        raise ValueError(f"`steps` must be at least 2. Received: steps={steps}")
    shares = np.linspace(0.0, 1.0, steps)[:, None, None]
    walks = []
    for first, last in zip(start, end, strict=True):
        first = np.asarray(first, "float64")
        way = (np.asarray(last, "float64") - first + 0.5) % 1.0 - 0.5
        # In steps of the noise itself, so that a float32 holds the ends exactly, and never 1.
        walks.append(
            (np.floor((first + shares * way) * 2.0**24) * 2.0**-24 % 1.0).astype("float32")
        )
    return tuple(walks)


def split_seed(seed):
    """Return the low and the high 32-bit word of a Python integer seed.

    Raises:
        ValueError: if the seed is not an integer of at most 64 bits.
    """
    try:
        index = None if isinstance(seed, bool) else operator.index(seed)
    except TypeError:
        index = None
    if index is None:
        raise ValueError(f"`seed` must be an integer. Received: seed={seed!r}")
    seed = index
    if not -(2**63) <= seed < 2**64:
        raise ValueError(f"`seed` must fit in 64 bits. Received: seed={seed}")
    return seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF


def _uint32(value):
    return ops.convert_to_tensor(value, dtype="uint32")


def _add(left, right):
    return _word(left + right)


def _rotate_left(word, distance):
    return ops.bitwise_or(
        _word(ops.left_shift(word, _uint32(distance))),
        ops.right_shift(word, _uint32(32 - distance)),
    )


def _word(value):
    """The low 32 bits. PyTorch has words of 64, in which nothing wraps; elsewhere it is all."""
    if keras.backend.standardize_dtype(value.dtype) == "uint32":
        return value
    return ops.bitwise_and(value, _uint32(_MASK))
