import warnings

import numpy as np
import pytest

from keras_vqvae2 import checks

SHAPE = (4, 6, 3)


def images(dtype="uint8", **kwargs):
    return np.full((2, *SHAPE), 7, dtype, **kwargs)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32", "float64"])
def test_right_images_pass_as_they_are(dtype):
    given = images(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert checks.images(given, SHAPE) is given


def with_value(value):
    array = images("float32")
    array[1, 2, 3, 0] = value
    return array


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (images()[0], r"`images` must have the shape \[B, 4, 6, 3\]. Received: shape=\(4, 6, 3\)"),
        (images()[:, :3], r"Received: shape=\(2, 3, 6, 3\)"),
        (images()[..., :1], r"Received: shape=\(2, 4, 6, 1\)"),
        (images().swapaxes(1, 2), r"Received: shape=\(2, 6, 4, 3\)"),
        (images()[:0], r"at least one image. Received: shape=\(0, 4, 6, 3\)"),
        (images("bool"), "must be uint8 or float pixels in .*Received: dtype=bool"),
        (images("complex64"), "Received: dtype=complex64"),
        (images("float32").astype(str), "Received: dtype=<U"),
        (with_value(-1), r"pixels in \[0, 255\]. Received: values in \[-1, 7\]"),
        (with_value(256), r"Received: values in \[7, 256\]"),
        (with_value(np.nan), r"Received: values in \[nan, nan\]"),
        (with_value(np.inf), r"Received: values in \[7, inf\]"),
        (None, r"Received: shape=\(\)"),
        ((images(), [1, 2]), "must be one array of images. Received: a tuple of 2"),
    ],
)
def test_wrong_images_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        checks.images(given, SHAPE)


def test_floats_scaled_to_one_are_warned_of():
    with pytest.warns(UserWarning, match=r"floats in \[0.5, 1\].*expected in \[0, 255\]"):
        checks.images(np.linspace(0.5, 1, 72).reshape(1, *SHAPE), SHAPE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checks.images(np.zeros((1, *SHAPE)), SHAPE)  # black
        checks.images(np.ones((1, *SHAPE), "uint8"), SHAPE)  # nearly black


def test_right_codes_become_int32():
    result = checks.codes(np.array([[[0, 4]]], "uint16"), (1, 2), 5)
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, [[[0, 4]]])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[0, 4]], r"`codes` must have the shape \[B, 1, 2\]. Received: shape=\(1, 2\)"),
        ([[[0], [4]]], r"Received: shape=\(1, 2, 1\)"),
        ([[[0, 5]]], r"must lie in \[0, 5\), .* Received: values in \[0, 5\]"),
        ([[[-1, 4]]], r"Received: values in \[-1, 4\]"),
        ([[[0.0, 4.0]]], "`codes` must be integers. Received: dtype=float64"),
        (np.zeros((0, 1, 2), int), r"at least one example. Received: shape=\(0, 1, 2\)"),
    ],
)
def test_wrong_codes_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        checks.codes(given, (1, 2), 5)


def test_labels_are_one_for_all_or_one_each():
    np.testing.assert_array_equal(checks.labels(2, 3, 4), [2, 2, 2, 2])
    np.testing.assert_array_equal(checks.labels([0, 2], 3, 2), [0, 2])
    assert checks.labels([0, 2], 3, 2).dtype == np.int32
    assert checks.labels(None, None, 2) is None


@pytest.mark.parametrize(
    ("given", "classes", "message"),
    [
        (None, 3, "`labels` must be given.*num_classes=3. Received: labels=None"),
        (1, None, "`labels` must be None.*num_classes=None. Received: labels=1"),
        ([0, 3], 3, r"must lie in \[0, 3\).*Received: values in \[0, 3\]"),
        ([0, -1], 3, r"Received: values in \[-1, 0\]"),
        (3, 3, r"Received: values in \[3, 3\]"),
        ([0, 1, 2], 3, r"one integer or have the shape \[2\]. Received: shape=\(3,\)"),
        ([[0], [1]], 3, r"Received: shape=\(2, 1\)"),
        ([0.0, 1.0], 3, "must be integers. Received: dtype=float64"),
        ([True, False], 3, "must be integers. Received: dtype=bool"),
    ],
)
def test_wrong_labels_are_named(given, classes, message):
    with pytest.raises(ValueError, match=message):
        checks.labels(given, classes, 2)


def test_levels_are_checked_one_by_one():
    top, bottom = np.zeros((3, 1, 1), int), np.zeros((3, 2, 2), int)

    def check(value):
        return checks.levels(value, ((1, 1), (2, 2)), (2, 4), ("top", "bottom"))

    assert [array.shape for array in check([top, bottom])] == [(3, 1, 1), (3, 2, 2)]
    for wrong, message in [
        (
            top,
            r"tuple of 2 arrays, one a level: top, bottom. Received: ndarray of shape \(3, 1, 1\)",
        ),
        ((top,), "Received: a tuple of 1"),
        ((bottom, top), r"`codes of level 'top'` must have the shape \[B, 1, 1\]"),
        ((top, bottom + 4), r"`codes of level 'bottom'` must lie in \[0, 4\)"),
        ((top + 2, bottom), r"`codes of level 'top'` must lie in \[0, 2\)"),
        ((top[:2], bottom), "same number of examples at each level. Received: 2, 3"),
        ((top[:0], bottom[:0]), "at least one"),
    ]:
        with pytest.raises(ValueError, match=message):
            check(wrong)


def test_a_mask_is_bool_and_may_serve_all():
    one = np.array([[True, False]])
    np.testing.assert_array_equal(checks.mask(one, (3, 1, 2)), np.stack([one] * 3))
    each = np.zeros((3, 1, 2), bool)
    np.testing.assert_array_equal(checks.mask(each, (3, 1, 2)), each)
    for wrong, message in [
        (one.astype(int), r"`mask` must be bool .*Received: dtype=int64, shape=\(1, 2\)"),
        (each[:2], r"of the shape \[3, 1, 2\] or \[1, 2\].*shape=\(2, 1, 2\)"),
        (each[..., None], r"shape=\(3, 1, 2, 1\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            checks.mask(wrong, (3, 1, 2))
