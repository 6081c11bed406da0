import keras
import numpy as np
import pytest
from gradients import gradient

from keras_vqvae2.layers import SoftClip

X = np.linspace(-4, 4, 801).astype("float32")


def bend(x):
    return np.asarray(SoftClip()(np.asarray(x, "float32")))


def formula(x):
    return 1.02 * x / (1 + x**6) ** (1 / 6)


def test_it_is_the_formula():
    np.testing.assert_allclose(bend(X), formula(X.astype("float64")), atol=1e-6)


def test_it_keeps_to_the_range_in_order_and_reaches_white():
    y = bend(X)
    assert np.abs(y).max() <= 1.02 + 1e-6
    assert np.all(np.diff(y) > -1e-7)
    np.testing.assert_allclose(y, -y[::-1], atol=1e-6)
    assert bend(1.40) < 1 < bend(1.42)


def test_a_ripple_around_white_is_a_tenth_of_what_it_was():
    ripple = bend([1.31, 1.51])
    assert 0 < np.ptp(ripple) < 0.1 * 0.2


@pytest.mark.parametrize("far", [1e4, 1e20, np.inf])
def test_what_lies_far_away_is_the_end_of_the_range(far):
    np.testing.assert_allclose(bend([far, -far]), [1.02, -1.02], rtol=1e-6)


def test_what_is_no_number_stays_none():
    assert np.isnan(bend([np.nan, 0.0])).tolist() == [True, False]


def test_the_gradient_goes_on_beyond_white():
    x = np.array([-2.0, -1.2, 0.0, 0.5, 1.0, 1.5, 2.5], "float32")
    slopes = gradient(lambda x: keras.ops.sum(SoftClip()(x)), x)
    wide, step = x.astype("float64"), 1e-4
    expected = (formula(wide + step) - formula(wide - step)) / (2 * step)
    np.testing.assert_allclose(slopes, expected, rtol=1e-3)
    assert np.all(expected > 0)
