import numpy as np
import pytest

from keras_vqvae2.evaluation import nyquist_ratio

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 16, 12, 3))


def test_it_is_a_ratio_of_powers_of_the_fourier_transform():
    power = np.abs(np.fft.fft2(IMAGES, axes=(1, 2))) ** 2
    expected = power[:, 8, 6].mean() / power[:, 7, 5].mean()
    assert nyquist_ratio(IMAGES) == pytest.approx(expected, rel=1e-9)


def test_a_checkerboard_raises_it():
    board = 20 * (np.indices((16, 12)).sum(axis=0) % 2)[None, :, :, None]
    assert nyquist_ratio(IMAGES + board) > 3 * nyquist_ratio(IMAGES)


def test_of_mirror_images_it_is_nothing():
    """Which is why originals that are symmetric lie below any reconstruction that is not quite."""
    symmetric = np.concatenate([IMAGES, IMAGES[:, :, ::-1]], axis=2)
    assert nyquist_ratio(symmetric) < 1e-9


@pytest.mark.parametrize("shape", [(8, 16, 12), (8, 15, 12, 3), (0, 16, 16, 3), (8, 2, 2, 1)])
def test_a_wrong_shape_is_named(shape):
    with pytest.raises(ValueError, match=r"`images` must be numbers.*Received: dtype="):
        nyquist_ratio(np.zeros(shape))
