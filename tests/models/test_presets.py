import functools
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import h5py
import keras
import numpy as np
import pytest
import yaml

from keras_vqvae2 import datasets
from keras_vqvae2.evaluation import nyquist_ratio
from keras_vqvae2.models import VQVAE2, HierarchicalPrior, ImageGenerator, PixelCNN
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
    assert np.square(error).mean() < 0.021
    # Of transposed convolutions it was 4.6 times the originals', of a signal that is cut 2.4.
    assert nyquist_ratio(reconstructions) < 1.3 * nyquist_ratio(data.images)
    # The signal is judged before it is bent, too, and the power that is left after.
    vqvae = VQVAE2.from_config({**model.vqvae.get_config(), "clipping": "hard"})
    vqvae.set_weights(model.vqvae.get_weights())
    pairs = zip(vqvae.quantizers, vqvae.encode(data.images), strict=True)
    vectors = [quantizer.embed_codes(codes) for quantizer, codes in pairs]
    signal = keras.ops.convert_to_numpy(vqvae.decoder(vectors, training=False))
    assert nyquist_ratio(signal) < nyquist_ratio(data.images)
    checkerboard = np.indices(data.image_shape[:2]).sum(0)[..., None] % 2 * 2 - 1
    power, original = (
        np.square((images * checkerboard).sum((1, 2))).mean()
        for images in (reconstructions.astype("float64"), data.images[:].astype("float64"))
    )
    assert power < 0.2 * original


@pytest.mark.long
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


@pytest.mark.parametrize("zipped", [True, False])
def test_a_part_of_a_generators_preset_loads_alone(class_generator, images, tmp_path, zipped):
    path = tmp_path / ("whole.keras" if zipped else "folder")
    class_generator.save(path, zipped=zipped)
    vqvae, prior = (cls.from_preset(path) for cls in (VQVAE2, HierarchicalPrior))
    codes = class_generator.vqvae.encode(images[:2])
    for found, expected in zip(vqvae.encode(images[:2]), codes, strict=True):
        np.testing.assert_array_equal(found, expected)
    expected = class_generator.prior.log_prob(codes, labels=[0, 1])
    np.testing.assert_allclose(prior.log_prob(codes, labels=[0, 1]), expected, rtol=1e-5)
    assert prior.label_names == class_generator.prior.label_names
    # Of a level's priors the first, which needs no coarser level.
    top, expected = PixelCNN.from_preset(path), class_generator.prior.level_priors[0]
    np.testing.assert_allclose(
        top.log_prob(codes[0], labels=[0, 1]), expected.log_prob(codes[0], labels=[0, 1]), rtol=1e-5
    )


def test_a_part_is_loaded_without_building_the_rest(class_generator, tmp_path, monkeypatch):
    class_generator.save(tmp_path / "whole.keras")
    monkeypatch.setattr(HierarchicalPrior, "__init__", lambda *_, **__: pytest.fail("was built"))
    assert VQVAE2.from_preset(tmp_path / "whole.keras").image_shape


@pytest.mark.parametrize("part", ["whole", "vqvae", "prior", "level"])
def test_a_saved_preset_is_loaded_by_the_class_and_by_keras(class_generator, tmp_path, part):
    prior = class_generator.prior
    parts = {"vqvae": class_generator.vqvae, "prior": prior, "level": prior.level_priors[1]}
    model = parts.get(part, class_generator)
    model.compile("adam")  # which is left out
    folder = tmp_path / "mine"
    model.save_to_preset(folder, dataset="toy", license="mit", scores={"mse": 0.5})
    names = {"README.md", "config.json", "metadata.json", "model.weights.h5"}
    assert {file.name for file in folder.iterdir()} == names
    told = json.loads((folder / "metadata.json").read_text())
    assert told["parameter_count"] == model.count_params()
    for loaded in (type(model).from_preset(folder), keras.saving.load_model(folder)):
        assert not loaded.compiled
        assert getattr(loaded, "label_names", None) == getattr(model, "label_names", None)
        for weight, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)
    with h5py.File(folder / "model.weights.h5") as file:
        file.visit(lambda name: pytest.fail(name) if "optimizer" in name else None)


def test_the_card_of_a_saved_preset_has_the_fields_that_hubs_read(class_generator, tmp_path):
    card = {"name": 'Toys: "all"', "description": "Small ones.", "license": "cc-by-4.0"}
    scores = {"recognised": 0.5, "distance": 3}
    class_generator.save_to_preset(tmp_path / "a", dataset="toy", scores=scores, **card)
    _, front, page = (tmp_path / "a" / "README.md").read_text().split("---\n", 2)
    fields = yaml.safe_load(front)
    assert fields["library_name"] == "keras-vqvae2"
    assert (fields["license"], fields["datasets"]) == ("cc-by-4.0", ["toy"])
    (entry,) = fields["model-index"]
    (result,) = entry["results"]
    assert entry["name"] == card["name"]
    assert {each["type"]: each["value"] for each in result["metrics"]} == scores
    assert "# Toys" in page
    assert "Small ones." in page
    assert f"{class_generator.count_params():,}" in page


def test_a_card_or_folder_that_will_not_do_is_refused_before_anything_is_written(vqvae, tmp_path):
    folder = tmp_path / "new"
    with pytest.raises(ValueError, match="`card` must consist of name, .* Received: .'licence'"):
        vqvae.save_to_preset(folder, licence="mit")
    with pytest.raises(ValueError, match="`scores` must be numbers. Received: mse='low'"):
        vqvae.save_to_preset(folder, scores={"mse": "low"})
    assert not folder.exists()
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(ValueError, match="`folder` must be empty, or not exist"):
        vqvae.save_to_preset(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["note.txt"]


def test_each_embedded_preset_is_described(preset):
    assert sorted(ImageGenerator.presets) == preset_names()
    assert VQVAE2.presets == ImageGenerator.presets
    for name, told in VQVAE2.presets.items():
        model = preset(name)
        assert tuple(told["image_shape"]) == model.image_shape
        assert told["num_classes"] == model.num_classes
        assert told["parameters"] == model.count_params()
        assert told["bytes"] > 1e6
        assert told["dataset"] == name
        assert "MIT" in told["license"]
        assert all(isinstance(value, float) for value in told["scores"].values())


def test_a_hub_of_hugging_face_is_read_from_its_own_cache(vqvae, tmp_path, monkeypatch):
    # As `huggingface_hub` lays out what it has downloaded.
    repository = tmp_path / "hub" / "models--somebody--toys"
    revision = "0123456789abcdef0123456789abcdef01234567"
    vqvae.save_to_preset(repository / "snapshots" / revision)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    loaded = VQVAE2.from_preset("hf://somebody/toys")
    np.testing.assert_array_equal(loaded.get_weights()[0], vqvae.get_weights()[0])


def test_a_hub_of_kaggle_is_read_from_its_own_cache(vqvae, tmp_path, monkeypatch):
    # As `kagglehub` lays out what it has downloaded.
    variation = tmp_path / "models" / "somebody" / "toys" / "keras" / "small"
    vqvae.save_to_preset(variation / "3")
    (variation / "3.complete").touch()
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    monkeypatch.setenv("DISABLE_KAGGLE_CACHE", "true")
    loaded = VQVAE2.from_preset("kaggle://somebody/toys/keras/small/3")
    np.testing.assert_array_equal(loaded.get_weights()[0], vqvae.get_weights()[0])


def test_what_is_no_preset_is_refused(vqvae, tmp_path):
    with pytest.raises(ValueError, match="`name` must be one of 'emoji32'.*Received: name='emoij'"):
        ImageGenerator.from_preset("emoij")
    vqvae.save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="must be that of an ImageGenerator.*, a VQVAE2"):
        ImageGenerator.from_preset(tmp_path / "other.keras")
