"""A request for samples: seeds and options, one a row, checked."""

import secrets

import numpy as np
from keras import ops

from keras_vqvae2 import checks
from keras_vqvae2.sampling.categorical import draw_codes
from keras_vqvae2.sampling.noise import split_seed, uniform_noise
from keras_vqvae2.sampling.options import SamplingOptions


def sample_request(num_samples, seed=None, num_levels=1, can_guide=False, **options):
    """Describe a request for samples as arrays, one entry an image.

    Args:
        num_samples: how many images.
        seed: integer of at most 64 bits; None draws one from the operating system.
        num_levels: `L`, how many levels of codes an image has.
        can_guide: whether the prior knows images without a class, as `guidance` needs.
        **options: of `SamplingOptions`.

    Returns:
        Dictionary of arrays `[B]`: `"seed"` (a pair of words), `"index"`, and `"options"`, the
        dictionary of `SamplingOptions.rows`.

    Raises:
        ValueError: if an argument is out of its range.
    """
    num_samples = checks.positive_int("num_samples", num_samples)
    rows = SamplingOptions(**options).rows(num_samples, num_levels)
    if rows["guidance"] is not None and not can_guide:
        raise ValueError(
            "`guidance` must be 1: this model was not trained by class with label_dropout. "
            f"Received: guidance={options['guidance']!r}"
        )
    words = split_seed(secrets.randbits(63) if seed is None else seed)
    return {
        "seed": tuple(np.full(num_samples, word, "uint32") for word in words),
        "index": np.arange(num_samples, dtype="uint32"),
        "options": rows,
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
    options = {name: rows for name, rows in request["options"].items() if name != "guidance"}

    def draw(logits, position):
        return draw_codes(logits, ops.take(uniforms, position, axis=1), **options)

    return draw
