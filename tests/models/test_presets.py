import functools
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from keras_vqvae2 import datasets
from keras_vqvae2.evaluation import nyquist_ratio
from keras_vqvae2.models import ImageGenerator
from keras_vqvae2.models.presets import preset_names

SAVED_MODELS = Path(__file__).parents[2] / "savedmodels"


@pytest.fixture(scope="module")
def preset():
    """Loads each once."""
    return functools.cache(ImageGenerator.from_preset)


@pytest.mark.parametrize(
    ("name", "image_shape", "classes"),
    [("emoji32", (32, 32, 3), 34), ("fashion_mnist", (32, 32, 1), 10)],
)
def test_an_embedded_preset_works_on_the_first_call(preset, name, image_shape, classes):
    model = preset(name)
    assert (model.image_shape, model.num_classes) == (image_shape, classes)
    assert name in preset_names()
    codes = model.vqvae.encode(np.zeros((1, *image_shape), "uint8"))
    assert [level.shape for level in codes] == [(1, 4, 4), (1, 8, 8)]


@pytest.mark.tensorflow_only
def test_the_emoji_preset_reconstructs_without_a_pattern_of_dots(preset):
    model, data = preset("emoji32"), datasets.load("emoji32", "test")
    reconstructions = model.reconstruct(data.images)
    error = (reconstructions.astype("float64") - data.images) / 127.5
    assert np.square(error).mean() < 0.025
    # Of transposed convolutions it was 4.6 times the originals'.
    assert nyquist_ratio(reconstructions) < 1.7 * nyquist_ratio(data.images)


@pytest.mark.slow
@pytest.mark.tensorflow_only
@pytest.mark.parametrize("name", ["emoji32", "fashion_mnist"])
def test_the_saved_model_of_a_preset_is_that_of_its_name(preset, name):
    import tensorflow as tf

    saved = tf.saved_model.load(SAVED_MODELS / name / "1")
    model = preset(name)
    labels = np.array([1, 7], "int32")
    options = {"temperature": 0.9, "top_k": 0, "top_p": 0.95}
    if model.prior.labels_optional:
        options["guidance"] = 2.0
    outputs = saved.signatures["sample"](
        seed=tf.constant([5, 5], "int64"),
        labels=tf.constant(labels),
        **{name: tf.constant([value]) for name, value in options.items()},
    )
    # Image 0 of a seed, for each row.
    for row, label in enumerate(labels):
        expected = model.generate(1, labels=label, seed=5, **options)[0].astype(int)
        assert np.abs(outputs["images"][row].numpy() - expected).max() <= 1
    card = (SAVED_MODELS / name / "1" / "MODEL_CARD.md").read_text()
    assert "## How the prior learned" in card
    assert "samples of the prior" in card


def test_a_file_and_a_folder_hold_what_was_saved(class_generator, images, tmp_path):
    class_generator.save(tmp_path / "a.keras")
    class_generator.save(tmp_path / "folder", zipped=False)
    expected = class_generator.log_prob(images[:4], labels=1)
    for path in (tmp_path / "a.keras", str(tmp_path / "folder")):
        model = ImageGenerator.from_preset(path)
        np.testing.assert_allclose(model.log_prob(images[:4], labels=1), expected, rtol=1e-5)


def test_a_handle_is_fetched_by_the_hub_and_looked_at(generator, images, monkeypatch, tmp_path):
    # As the hub lays it out: a folder of links into its downloads.
    generator.save(tmp_path / "blobs", zipped=False)
    folder = tmp_path / "snapshots" / "0123"
    folder.mkdir(parents=True)
    for name in ("config.json", "metadata.json", "model.weights.h5"):
        (folder / name).symlink_to(tmp_path / "blobs" / name)
    asked = []
    hub = SimpleNamespace(
        snapshot_download=lambda name, **options: asked.append(name) or str(folder)
    )
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    model = ImageGenerator.from_preset("hf://somebody/something")
    assert asked == ["somebody/something"]
    expected = generator.log_prob(images[:2])
    np.testing.assert_allclose(model.log_prob(images[:2]), expected, rtol=1e-5)


def test_what_is_no_preset_is_refused(vqvae, tmp_path):
    with pytest.raises(ValueError, match="`name` must be one of 'emoji32'.*Received: name='emoij'"):
        ImageGenerator.from_preset("emoij")
    vqvae.save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="must be that of an ImageGenerator.*, a VQVAE2"):
        ImageGenerator.from_preset(tmp_path / "other.keras")
