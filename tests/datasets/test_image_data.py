import threading
import time
import warnings

import numpy as np
import pytest
from fake_vqvae import random_images
from hypothesis import given
from hypothesis import strategies as st

from keras_vqvae2 import datasets
from keras_vqvae2.datasets import ImageData, LazyImages

ARRAY = random_images(7, (4, 5, 3))
LAZY = LazyImages(list(range(7)), ARRAY.__getitem__, (4, 5, 3))


@given(st.lists(st.integers(-7, 6), max_size=20))
def test_lazy_images_answer_indices_as_an_array_does(indices):
    np.testing.assert_array_equal(
        LAZY[np.array(indices, int)], ARRAY[np.array(indices, int)], strict=True
    )


@given(st.slices(7))
def test_lazy_images_answer_slices_as_an_array_does(part):
    np.testing.assert_array_equal(LAZY[part], ARRAY[part], strict=True)


def test_lazy_images_answer_an_integer_as_an_array_does():
    np.testing.assert_array_equal(LAZY[-2], ARRAY[-2], strict=True)
    with pytest.raises(IndexError):
        LAZY[7]
    assert LAZY.shape == ARRAY.shape
    assert LAZY.dtype == ARRAY.dtype


def test_lazy_images_decode_only_what_is_asked_for():
    decoded = []
    images = LazyImages(list(range(7)), lambda i: decoded.append(i) or ARRAY[i], (4, 5, 3))
    images[np.array([5, 2])]
    assert decoded == [5, 2]


def test_threads_decode_the_same_images_in_the_same_order():
    indices = np.random.default_rng(0).integers(0, 7, 101)

    def decode(index):
        time.sleep(0.001 * (index % 3))
        names.add(threading.current_thread().name)
        if index == 5 and refuse:
            raise ValueError("index 5")
        return ARRAY[index]

    for workers in (1, 2, 5):
        names, refuse = set(), False
        images = LazyImages(list(range(7)), decode, (4, 5, 3), workers)
        np.testing.assert_array_equal(images[indices], ARRAY[indices], strict=True)
        assert len(names) == workers
        refuse = True
        with pytest.raises(ValueError, match="index 5"):
            images[indices]
    assert images.take(np.array([1, 2])).workers == 5


def test_a_lazy_image_of_another_size_is_refused():
    images = LazyImages([0, 1], lambda i: np.zeros((4, 4 + i, 1), "uint8"), (4, 4, 1))
    images[0]
    with pytest.raises(ValueError, match=r"image_size=.*Received: uint8 of shape \(4, 5, 1\)"):
        images[1]


def test_uint8_is_kept_without_a_copy():
    data = ImageData.from_arrays(ARRAY, labels=[0, 1, 2, 0, 1, 2, 0], label_names=["a", "b", "c"])
    assert data.images is ARRAY
    assert data.labels.dtype == np.int32
    assert (len(data), data.image_shape, data.num_classes) == (7, (4, 5, 3), 3)


def test_floats_are_rounded():
    images = np.array([0, 0.4, 0.6, 254.6, 255]).reshape(1, 1, 5, 1)
    assert ImageData.from_arrays(images).images.ravel().tolist() == [0, 0, 1, 255, 255]


def test_classes_are_counted_from_the_labels_where_they_have_no_names():
    assert ImageData.from_arrays(ARRAY, labels=np.arange(7) % 4).num_classes == 4
    assert ImageData.from_arrays(ARRAY).num_classes is None


def test_floats_scaled_to_one_are_warned_of():
    with pytest.warns(UserWarning, match=r"pixels are expected in \[0, 255\]"):
        ImageData.from_arrays(ARRAY / 255.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ImageData.from_arrays(ARRAY.astype("float32"))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (ARRAY[0], r"`images` must have the shape \[N, H, W, C\]. Received: shape=\(4, 5, 3\)"),
        (ARRAY[:0], r"`images` must hold at least one image. Received: shape=\(0, 4, 5, 3\)"),
        (ARRAY[:, :0], r"`images` must have the shape .* Received: shape=\(7, 0, 5, 3\)"),
        (ARRAY.astype("int32"), "`images` must be uint8 or float.* Received: dtype=int32"),
        (ARRAY > 3, "`images` must be uint8 or float.* Received: dtype=bool"),
        (ARRAY * 1.5, r"`images` must hold pixels in \[0, 255\]. Received: values in \[0, 38"),
        (ARRAY - 1.0, r"`images` must hold pixels in \[0, 255\]. Received: values in \[-1"),
        (ARRAY + np.nan, r"`images` must hold pixels in \[0, 255\]. Received: values in \[nan"),
    ],
)
def test_wrong_images_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        ImageData.from_arrays(images)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(6, int), r"`labels` must be one integer an image.* Received: shape=\(6,\)"),
        (np.zeros((7, 1), int), r"`labels` must be one integer an image.*shape=\(7, 1\)"),
        (np.zeros(7), "`labels` must be integers. Received: dtype=float64"),
        (np.arange(7) - 1, r"`labels` must lie in \[0, 5\). Received: values in \[-1, 5\]"),
        (np.arange(7), r"`labels` must lie in \[0, 5\). Received: values in \[0, 6\]"),
    ],
)
def test_wrong_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        ImageData.from_arrays(ARRAY, labels, label_names="abcde")


def test_load_takes_arrays():
    data = datasets.load((ARRAY, np.arange(7)))
    assert data.images is ARRAY
    assert data.num_classes == 7
    assert datasets.load(data) is data
    with pytest.raises(ValueError, match="`split` must be 'train' for arrays. Received: split="):
        datasets.load(ARRAY, "test")


def test_a_part_is_a_slice_with_its_labels():
    data = ImageData.from_arrays(ARRAY, np.arange(7), label_names="abcdefg", name="x", split="test")
    part = data.part(2, 5)
    np.testing.assert_array_equal(part.images, ARRAY[2:5])
    np.testing.assert_array_equal(part.labels, [2, 3, 4])
    assert (part.name, part.split, part.num_classes) == ("x", "test[2:5]", 7)
    assert data.part(stop=3).split == "test[:3]"
    lazy = LazyImages(list(range(7)), lambda index: ARRAY[index], ARRAY.shape[1:])
    np.testing.assert_array_equal(ImageData(lazy).part(4).images[:], ARRAY[4:])
    assert ImageData(lazy).part(4).split is None
    with pytest.raises(ValueError, match="`images` must hold at least one image"):
        data.part(9)


def test_load_takes_slices_of_a_split():
    whole, part = (datasets.load("emoji32", split) for split in ("test", "test[3:10]"))
    np.testing.assert_array_equal(part.images, whole.images[3:10])
    np.testing.assert_array_equal(part.labels, whole.labels[3:10])
    assert part.split == "test[3:10]"
    with pytest.raises(ValueError, match="`split` must be one of train, validation, test"):
        datasets.load("emoji32", "tests[:3]")
