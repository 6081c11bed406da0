import dataclasses

import keras
import numpy as np
import pytest

from keras_vqvae2 import datasets
from keras_vqvae2.evaluation import accuracy, load_extractor
from keras_vqvae2.evaluation.extractors import second_of


@pytest.fixture(scope="module")
def emoji():
    return load_extractor("emoji32")


@pytest.mark.parametrize("name", ["emoji32", "emoji32_second"])
def test_the_embedded_classifiers_know_the_test_images_of_emoji(name):
    data = datasets.load("emoji32", "test")
    # A fifth are persons, the most frequent of the 34 kinds.
    assert accuracy(load_extractor(name).classifier, data.images, data.labels) > 0.6


def test_the_embedded_classifier_knows_the_test_images_of_fashion_mnist(shared_data):
    data = datasets.load("fashion_mnist", "test[:1000]", data_dir=shared_data / "fashion-mnist")
    assert accuracy(load_extractor("fashion_mnist").classifier, data.images, data.labels) > 0.87


def test_features_lead_to_the_logits_of_the_classifier(emoji):
    images = datasets.load("emoji32", "validation").images[:7]
    layer = emoji.classifier.get_layer("logits")
    logits = keras.ops.convert_to_numpy(layer(emoji.features(images)))
    expected = emoji.classifier.predict_on_batch(images)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        emoji.features(images, batch_size=3), emoji.features(images), rtol=1e-4, atol=1e-4
    )


def test_pictures_on_disk_are_read_a_batch_at_a_time(emoji):
    images = datasets.load("emoji32", "validation").images[:7]
    read = []

    class Counted(datasets.LazyImages):
        def __getitem__(self, index):
            part = super().__getitem__(index)
            read.append(len(part))
            return part

    lazy = Counted(list(images), lambda image: image, images.shape[1:])
    expected = emoji.features(images, batch_size=3)
    np.testing.assert_array_equal(emoji.features(lazy, batch_size=3), expected)
    assert read == [3, 3, 1]


def test_images_of_another_size_and_channels_are_brought_to_the_input(emoji):
    images = datasets.load("emoji32", "validation").images[:5]
    large = images.repeat(2, axis=1).repeat(2, axis=2)
    # Twice as large and back: averages of equal pixels, but at the edges of the filter.
    near = np.abs(emoji.features(large) - emoji.features(images)).mean()
    far = np.abs(emoji.features(images[1:]) - emoji.features(images[:-1])).mean()
    assert near < 0.3 * far
    grey = images.mean(axis=-1, keepdims=True)
    expected = emoji.features(grey.repeat(3, axis=-1))
    np.testing.assert_allclose(emoji.features(grey), expected, rtol=1e-5)


def test_the_checksum_tells_weights_apart(emoji):
    assert len(emoji.checksum) == 64
    assert emoji.checksum == load_extractor("auto", "emoji32").checksum
    assert emoji.checksum != load_extractor("fashion_mnist").checksum


def test_a_model_or_its_file_is_an_extractor(tmp_path):
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(4)], name="own"
    )
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), "uint8")
    extractor = load_extractor(model)
    assert (extractor.name, extractor.classifier) == ("own", None)
    model.save(tmp_path / "mine.keras")
    loaded = load_extractor(str(tmp_path / "mine.keras"))
    assert (loaded.name, loaded.checksum) == ("mine", extractor.checksum)
    np.testing.assert_allclose(loaded.features(images), extractor.features(images), rtol=1e-6)


def test_without_weights_of_inception_auto_falls_back(monkeypatch):
    def fail(**kwargs):
        raise OSError("no network")

    monkeypatch.setattr(keras.applications, "InceptionV3", fail)
    with pytest.raises(ValueError, match="weights of InceptionV3 cannot be had: no network"):
        load_extractor("inception_v3")
    extractor = load_extractor("auto", "a_folder")
    assert (extractor.name, extractor.classifier) == ("emoji32", None)


def test_an_unknown_extractor_is_named():
    with pytest.raises(ValueError, match="`extractor` must be 'auto', 'emoji32'.*: 'vgg'"):
        load_extractor("vgg")


def test_the_second_judge_knows_the_classes_that_the_first_one_knows(emoji):
    assert second_of(emoji).classifier is not None
    assert second_of(dataclasses.replace(emoji, classifier=None)).classifier is None
    assert second_of(dataclasses.replace(emoji, name="pixels")) is None
