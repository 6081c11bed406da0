"""A request for samples: seeds and options, one a row, checked."""

import secrets

import numpy as np
from keras import ops

from keras_vqvae2 import checks
from keras_vqvae2.sampling.categorical import draw_codes
from keras_vqvae2.sampling.noise import split_seed, uniform_noise


def sample_request(num_samples, seed=None, temperature=1.0, top_k=None, top_p=None):
    """Describe a request for samples as arrays, one entry an image.

    Args:
        num_samples: how many images.
        seed: integer of at most 64 bits; None draws one from the operating system.
        temperature: positive float, or one an image.
        top_k: integer of at least 1 or one an image; 0 or None turns it off.
        top_p: float in (0, 1] or one an image; None turns it off.

    Returns:
        Dictionary of arrays `[B]`: `"seed"` (a pair of words), `"index"`, `"temperature"`,
        `"top_k"` and `"top_p"`; the last two are None where they are off for all.

    Raises:
        ValueError: if an argument is out of its range.
    """
    num_samples = checks.positive_int("num_samples", num_samples)
    if top_k is not None and not np.any(top_k):
        top_k = None
    words = split_seed(secrets.randbits(63) if seed is None else seed)
    return {
        "seed": tuple(np.full(num_samples, word, "uint32") for word in words),
        "index": np.arange(num_samples, dtype="uint32"),
        "temperature": _option(
            "temperature", temperature, num_samples, "positive and finite", _positive, "float32"
        ),
        "top_k": _option("top_k", top_k, num_samples, "at least 0", lambda v: v >= 0, "int32"),
        "top_p": _option(
            "top_p", top_p, num_samples, "in (0, 1]", lambda v: (v > 0) & (v <= 1), "float32"
        ),
    }


def request_noise(request, shape, stream):
    """Return the uniform noise `[B, H, W]` of a request for one of its grids.

    Args:
        request: of `sample_request`, as tensors; or with `"uniforms"` in place of a seed and an
            index: the noise itself, one tensor `[B, H, W]` a grid.
        shape: the grid `(H, W)`.
        stream: integer, which of the grids it is.
    """
    if "uniforms" in request:
        return request["uniforms"][stream]
    return uniform_noise(request["seed"], request["index"], shape, stream)


def draw_for(request, uniforms):
    """Return a callable `(logits, position) -> codes` that draws as a request asks.

    Args:
        request: of `sample_request`.
        uniforms: float32 tensor `[B, H * W]` in [0, 1).
    """

    def draw(logits, position):
        uniform = ops.take(uniforms, position, axis=1)
        return draw_codes(
            logits, uniform, request["temperature"], request["top_k"], request["top_p"]
        )

    return draw


def _positive(value):
    # Smaller ones are flushed to zero on the way.
    return (value >= np.finfo("float32").tiny) & np.isfinite(value)


def _option(name, value, num_samples, rule, holds, dtype):
    if value is None:
        return None
    array = np.asarray(value)
    whole = np.issubdtype(array.dtype, np.integer)
    numeric = whole or (dtype != "int32" and np.issubdtype(array.dtype, np.floating))
    if (
        array.shape not in ((), (num_samples,))
        or not numeric
        or not np.all(holds(array.astype(dtype)))
    ):
        kind = "an integer" if dtype == "int32" else "a number"
        raise ValueError(
            f"`{name}` must be {kind} {rule}, or {num_samples} of them, one an image. "
            f"Received: {name}={value!r}"
        )
    return np.broadcast_to(array.astype(dtype), (num_samples,))
