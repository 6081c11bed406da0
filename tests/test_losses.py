import numpy as np
import pytest
from keras import ops

from keras_vqvae2 import losses


@pytest.mark.parametrize(
    ("error", "power"), [(losses.squared_error, 2), (losses.absolute_error, 1)]
)
def test_errors_are_the_mean_over_each_image(error, power):
    rng = np.random.default_rng(0)
    images, reconstruction = rng.normal(size=(2, 3, 4, 5, 2)).astype("float32")
    expected = [
        (abs(a - b) ** power).sum() / 40 for a, b in zip(images, reconstruction, strict=True)
    ]
    # A mean of 40 numbers in float32.
    np.testing.assert_allclose(error(images, reconstruction), expected, rtol=1e-6)


def test_smoothed_targets_give_their_cross_entropy():
    rng = np.random.default_rng(0)
    logits, codes = rng.normal(size=(2, 3, 2, 7)), rng.integers(0, 7, (2, 3, 2))
    logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    targets = 0.9 * np.eye(7)[codes] + 0.1 / 7
    result = losses.smoothed_code_nll(codes, logits.astype("float32"), 0.1)
    np.testing.assert_allclose(result, -(targets * logs).sum(axis=-1), rtol=1e-5)
    plain = losses.smoothed_code_nll(codes, logits.astype("float32"), 0.0)
    np.testing.assert_array_equal(plain, losses.code_nll(codes, logits.astype("float32")))


def test_code_nll_is_minus_the_log_of_the_softmax():
    rng = np.random.default_rng(0)
    logits, codes = 5 * rng.normal(size=(2, 3, 2, 7)), rng.integers(0, 7, (2, 3, 2))
    result = losses.code_nll(codes, logits.astype("float32"))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    for index in np.ndindex(*codes.shape):
        # Logits near 15 in float32, one subtracted from another.
        expected = -np.log(softmax[(*index, codes[index])])
        assert float(result[index]) == pytest.approx(expected, abs=5e-6)


def test_code_nll_of_large_and_of_half_precision_logits():
    logits = np.array([[[[1e4, -1e4, 0.0]]]], "float32")
    assert float(losses.code_nll(np.int32([[[1]]]), logits)[0, 0, 0]) == 2e4
    half = np.array([[[[1.0, 1.0, 1.0]]]], "float16")
    # Computed in float32: float16 would be off by 2e-4.
    assert float(losses.code_nll(np.int32([[[2]]]), half)[0, 0, 0]) == pytest.approx(
        np.log(3), abs=1e-6
    )


def test_weighted_mean_divides_by_the_number_of_examples():
    values = ops.array([1.0, 2.0, 6.0])
    assert float(losses.weighted_mean(values)) == 3.0
    assert float(losses.weighted_mean(values, np.array([2.0, 0.5, 0.0]))) == 1.0
    assert float(losses.weighted_mean(values, np.array([[2.0], [0.5], [0.0]]))) == 1.0
