"""Patterns of dots in images: the power at the highest frequency."""

import numpy as np


def nyquist_ratio(images):
    """Return how much stronger images alternate from pixel to pixel than just below that.

    The power of the two-dimensional Fourier transform at the Nyquist frequency of both axes, over
    that one step lower on both, each the mean over images and channels. Of photographs and drawings
    it lies below 1; a checkerboard, such as transposed convolutions leave, multiplies it. Of images
    that are their own mirror images it is next to nothing, since the two halves cancel.

    Args:
        images: array `[N, H, W, C]`, pixels in [0, 255]; `H` and `W` even, at least 4.

    Returns:
        The ratio, a positive number.

    Raises:
        ValueError: if the shape is another.

    Example:

    >>> noise = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3))
    >>> 0.8 < nyquist_ratio(noise) < 1.25
    True
    """
    images = np.asarray(images)
    numbers = np.issubdtype(images.dtype, np.number)
    height, width = images.shape[1:3] if images.ndim == 4 and numbers else (0, 0)
    if height < 4 or width < 4 or height % 2 or width % 2 or len(images) == 0:
        raise ValueError(
            "`images` must be numbers [N, H, W, C], with H and W even and at least 4. "
            f"Received: dtype={images.dtype}, shape={images.shape}"
        )

    power = [_power(images, height // 2 - below, width // 2 - below) for below in (0, 1)]
    return float(power[0] / power[1])


def _power(images, row, column):
    """Mean power of one term of the two-dimensional Fourier transform."""
    height, width = images.shape[1:3]
    rows = np.exp(-2j * np.pi * row * np.arange(height) / height)
    columns = np.exp(-2j * np.pi * column * np.arange(width) / width)
    terms = np.einsum("nhwc,h,w->nc", images, rows, columns)
    return np.mean(np.abs(terms) ** 2)
