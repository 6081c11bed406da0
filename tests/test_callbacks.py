import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keras_vqvae2.callbacks import CodebookUsage, ReconstructionImages, SampleImages
from keras_vqvae2.models import VQVAE2, HierarchicalPrior

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def vqvae():
    keras.utils.set_random_seed(0)
    model = VQVAE2(
        (8, 8, 1), filters=8, num_residual_blocks=0, num_levels=1, embedding_dim=4, num_embeddings=8
    )
    model.compile(optimizer="adam")
    return model


def events(log_dir):
    return EventAccumulator(str(log_dir), size_guidance={"images": 0, "tensors": 0}).Reload()


def tensors(log_dir, tag):
    """The steps and values of a tag; TensorFlow 2 writes every kind as a tensor."""
    import tensorflow as tf

    found = events(log_dir).Tensors(tag)
    return {event.step: tf.make_ndarray(event.tensor_proto) for event in found}


def picture_size(value):
    width, height, *_ = value  # Then the PNG files.
    return int(width), int(height)


def test_reconstructions_are_shown_at_the_epochs_asked_for(vqvae, tmp_path):
    vqvae.fit(
        IMAGES, epochs=4, verbose=0, callbacks=[ReconstructionImages(tmp_path, IMAGES[:2], every=2)]
    )
    shown = tensors(tmp_path, "reconstructions")
    assert sorted(shown) == [1, 3]
    # A column of two pairs: 2 x 8 pixels wide and high, 2 of padding around each image.
    assert {picture_size(value) for value in shown.values()} == {(22, 22)}


def test_usage_is_that_of_the_codes(vqvae, tmp_path):
    vqvae.fit(IMAGES, verbose=0, callbacks=[CodebookUsage(tmp_path, IMAGES)])
    (codes,) = vqvae.encode(IMAGES)
    counts = np.bincount(codes.ravel(), minlength=8)
    assert tensors(tmp_path, "level_0/usage")[0] == np.mean(counts > 0)
    frequencies = counts[counts > 0] / counts.sum()
    expected = np.prod(frequencies**-frequencies)
    # float32 in the entropy.
    assert tensors(tmp_path, "level_0/perplexity")[0] == pytest.approx(expected, rel=1e-5)
    histogram = tensors(tmp_path, "level_0/codes")[0]  # [buckets, (left, right, count)]
    assert histogram[:, 2].sum() == codes.size


def test_samples_are_shown_while_the_prior_trains(vqvae, tmp_path):
    priors = HierarchicalPrior.from_vqvae(vqvae, filters=4, num_blocks=1, num_classes=2)
    priors.compile(optimizer="adam")
    labels = np.arange(8) % 2
    callback = SampleImages(tmp_path, vqvae, num_samples=4, labels=[0, 1, 0, 1])
    priors.fit(vqvae.encode(IMAGES), labels, epochs=2, verbose=0, callbacks=[callback])
    shown = tensors(tmp_path, "samples")
    assert sorted(shown) == [0, 1]
    assert picture_size(shown[0]) == (22, 22)


def test_a_wrong_period_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match="`every` must be an integer of at least 1. Received: every=0"
    ):
        ReconstructionImages(tmp_path, IMAGES, every=0)
