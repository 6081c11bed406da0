import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from fake_vqvae import random_images
from hypothesis import given
from hypothesis import strategies as st

from keras_vqvae2.datasets import Augmentation, ImageBatches


def _by_index(images, batch_size, epoch=0, **options):
    """The augmented images of an epoch, put back in the order of the data."""
    batches = ImageBatches(
        (images, np.arange(len(images))), batch_size, shuffle=True, with_labels=True, **options
    )
    batches.epoch = epoch
    restored = np.zeros_like(images)
    for batch, labels in batches:
        assert batch.dtype == np.uint8
        assert labels.dtype == np.int32
        restored[labels] = batch
    return restored


def test_labels_follow_their_images():
    images = random_images(30)
    np.testing.assert_array_equal(_by_index(images, 7), images)


def test_augmentation_depends_on_seed_epoch_and_index_alone():
    images = random_images(30)
    options = {"flip": True, "shift": 2}
    one = _by_index(images, 7, seed=1, epoch=4, **options)
    np.testing.assert_array_equal(one, _by_index(images, 30, seed=1, epoch=4, **options))
    np.testing.assert_array_equal(one[:11], _by_index(images[:11], 3, seed=1, epoch=4, **options))
    assert (one != _by_index(images, 7, seed=1, epoch=5, **options)).any()
    assert (one != _by_index(images, 7, seed=2, epoch=4, **options)).any()


def _candidates(image, flip, shift):
    """Every image that flips and moves by numpy's own padding can give, as bytes."""
    padded = np.pad(image, ((shift, shift), (shift, shift), (0, 0)), mode="edge")
    height, width, _ = image.shape
    windows = [
        padded[y : y + height, x : x + width]
        for y in range(2 * shift + 1)
        for x in range(2 * shift + 1)
    ]
    if flip:
        windows += [window[:, ::-1] for window in windows]
    return {window.tobytes() for window in windows}


@given(
    flip=st.booleans(), shift=st.integers(0, 3), seed=st.integers(0, 99), count=st.integers(0, 9)
)
def test_an_augmented_image_is_a_flip_and_a_move_of_itself(flip, shift, seed, count):
    images = random_images(count, (4, 5, 2))
    out = Augmentation(flip, shift, seed)(images, np.arange(count), 3)
    assert out.shape == images.shape
    assert out.dtype == np.uint8
    for image, augmented in zip(images, out, strict=True):
        assert augmented.tobytes() in _candidates(image, flip, shift)


def test_every_flip_and_move_occurs_equally_often():
    count = 18 * 200
    image = random_images(1, (5, 6, 1))
    out = Augmentation(flip=True, shift=1)(
        np.repeat(image, count, axis=0), np.arange(count), epochs=0
    )
    kinds, counts = np.unique(out.reshape(count, -1), axis=0, return_counts=True)
    assert len(kinds) == 18
    # Chi-squared with 17 degrees of freedom: 40.8 is exceeded by chance once in 1,000 seeds.
    assert ((counts - 200) ** 2 / 200).sum() < 40.8


def test_noise_is_added_to_the_values_and_has_the_spread_asked_for():
    images = np.full((50, 8, 8, 3), 100, "uint8")
    images[25:] = 255
    out = Augmentation(noise=5.0)(images, np.arange(50), epochs=1)
    assert out.dtype == np.uint8
    added = out[:25].astype(float) - 100
    # 4,800 values: the mean lies within 0.3 and the spread within 4 % but once in 10,000 seeds.
    assert abs(added.mean()) < 0.3
    assert added.std() == pytest.approx(5, rel=0.04)
    assert out[25:].max() == 255  # clipped, not wrapped
    assert out[25:].min() > 200


def test_noise_leaves_flips_and_moves_as_they_are():
    images = random_images(20, (5, 6, 1))
    plain = Augmentation(flip=True, shift=1)(images, np.arange(20), epochs=2)
    noisy = Augmentation(flip=True, shift=1, noise=0.1)(images, np.arange(20), epochs=2)
    np.testing.assert_array_equal(noisy, plain)  # noise that rounding takes away


@pytest.mark.parametrize("noise", [-1, 256, float("nan"), "2"])
def test_noise_out_of_range_is_refused(noise):
    with pytest.raises(
        ValueError, match="`noise` must be a number from 0 to 255. Received: noise="
    ):
        Augmentation(noise=noise)


def test_without_augmentation_images_are_as_they_are():
    images = random_images(5)
    assert Augmentation()(images, np.arange(5), 0) is images


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="needs the JAX backend")
def test_on_the_jax_backend_tensorflow_is_never_imported(tmp_path):
    program = f"""
import sys, keras
from keras_vqvae2 import datasets
sys.path.insert(0, {os.path.dirname(__file__)!r})
from fake_vqvae import FakeVQVAE, random_images

model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
model.compile("sgd", "mse")
data = datasets.load("emoji32", "test")
images = datasets.ImageBatches(data, 64, shuffle=True, flip=True, with_labels=True)
model.fit(images, shuffle=False, verbose=0)
datasets.extract_codes(FakeVQVAE(), random_images(40), {str(tmp_path)!r}, shard_size=16)
(top, bottom), = datasets.CodeBatches({str(tmp_path)!r}, 32, shuffle=True)[0]
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
