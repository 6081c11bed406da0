"""The example scripts run as they are, with the flags that make them small."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from keras_vqvae2 import VQVAE2, HierarchicalPrior, ImageGenerator, datasets, tuning
from keras_vqvae2.datasets import emoji32

EXAMPLES = Path(__file__).parents[1] / "examples"
MAX_LINES = {
    "continue_preset.py": 105,
    "embed_emoji.py": 55,
    "pixelcnn_prior_example.py": 65,
    "minimal.py": 30,
    "onnx_runtime.py": 79,
    "serving_client.py": 90,
    "torch_data_loader.py": 50,
    "torch_loop.py": 60,
    "train_classifiers.py": 65,
    "train_presets.py": 170,
    "tuning.py": 40,
    "vqvae2_in_one_file.py": 250,
}


def test_each_example_is_as_short_as_it_says():
    lines = {path.name: len(path.read_text().splitlines()) for path in EXAMPLES.glob("*.py")}
    assert lines.keys() == MAX_LINES.keys()
    assert all(lines[name] <= limit for name, limit in MAX_LINES.items()), lines


@pytest.mark.slow
def test_the_three_stages(run_example, tmp_path):
    run_example(
        "pixelcnn_prior_example.py", "--epochs=1", "--filters=8", "--limit=64", f"--out={tmp_path}"
    )
    # Two grids of 8x8 images of 32 pixels, 2 white ones around each, twice enlarged.
    assert Image.open(tmp_path / "samples.png").size == (2 * 2 * (8 * 34 + 2), 2 * (8 * 34 + 2))
    assert len(datasets.CodeBatches(tmp_path / "codes" / "train", 64)) == 4
    model = keras.saving.load_model(tmp_path / "emoji32.keras")
    assert model.image_shape == (32, 32, 3)


@pytest.mark.slow
def test_both_stages_by_fit(run_example, tmp_path):
    result = run_example("minimal.py", 1, 16)
    assert "val_bits_per_code" in result["priors"].history.history
    model = keras.saving.load_model(tmp_path / "emoji32.keras")
    images = result["validation"][:2]
    np.testing.assert_array_equal(model.vqvae.encode(images)[0], result["vqvae"].encode(images)[0])


@pytest.mark.slow
def test_a_search_over_both_stages(run_example, tmp_path, monkeypatch, capsys):
    for space, architecture in {
        "HyperVQVAE2": {"filters": 8, "num_residual_blocks": 0},
        "HyperHierarchicalPrior": {"filters": 8, "num_blocks": 1},
    }.items():
        # The space is declared, and then a tiny model taken.
        whole = getattr(tuning, space).architecture
        monkeypatch.setattr(
            f"keras_vqvae2.tuning.{space}.architecture",
            lambda self, hp, whole=whole, tiny=architecture: whole(self, hp) and tiny,
        )
    run_example("tuning.py", 1, 1, 16)
    assert capsys.readouterr().out.count("COMPLETED") == 2
    model = keras.saving.load_model(tmp_path / "emoji32_tuned.keras")
    assert model.image_shape == (32, 32, 3)


@pytest.mark.long
@pytest.mark.tensorflow_only
def test_a_preset_is_trained_scored_and_exported(run_example, tmp_path, shared_data):
    data = ("--data-dir", shared_data / "fashion-mnist")
    run_example("train_presets.py", "fashion_mnist", *data, "--tiny", "--out", tmp_path)
    folder = tmp_path / "keras_vqvae2" / "models" / "presets"
    model = ImageGenerator.from_preset(folder / "fashion_mnist.keras")
    assert model.generate(2, labels=3, seed=0).shape == (2, 32, 32, 1)
    served = tmp_path / "savedmodels" / "fashion_mnist"
    assert (served / "models.config").exists()
    card = (served / "1" / "MODEL_CARD.md").read_text()
    assert "1,000 images of each kind against 4,000 of fashion_mnist/test[:4000]" in card


@pytest.mark.slow
def test_a_prior_without_label_dropout_learns_to_be_guided(run_example, tmp_path):
    vqvae = VQVAE2((32, 32, 3), filters=4, embedding_dim=4, num_embeddings=8)
    prior = HierarchicalPrior.from_vqvae(vqvae, num_classes=34)
    ImageGenerator(vqvae, prior).save_to_preset(tmp_path / "old")
    sizes = ("--limit", 64, "--batch-size", 32, "--decoder-epochs", 1, "--runs", tmp_path)
    run_example("continue_preset.py", "emoji32", "--start", tmp_path / "old", *sizes)
    found = keras.saving.load_model(tmp_path / "emoji32" / "prior" / "prior_final.keras")
    assert found.labels_optional
    np.testing.assert_array_equal(found.sample(2, labels=None, seed=0)[0].shape, (2, 4, 4))
    # The encoder is that of before; the prior is near what it was.
    trained = keras.saving.load_model(tmp_path / "emoji32" / "vqvae2" / "vqvae2_final.keras")
    codes = datasets.load("emoji32", "test[:8]").images
    for level, other in zip(trained.encode(codes), vqvae.encode(codes), strict=True):
        np.testing.assert_array_equal(level, other)
    before, after = (
        np.sum(model.log_prob(vqvae.encode(codes), labels=np.zeros(8, int)), axis=0)
        for model in (prior, found)
    )
    assert np.all(np.abs(after - before) < 0.1 * np.abs(before))


def test_embedded_emoji_come_back_as_they_were(run_example, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    styles = np.repeat(np.arange(len(emoji32.STYLES)), 10)
    glyphs = np.tile([3, 3, 3, 3, 3, 3, 5, 8, 8, 9], len(emoji32.STYLES))
    glyphs[-3:] = (10, 11, 12)  # six tones of one glyph, one of each other
    glyphs[glyphs == 8] = np.arange(20, 20 + np.sum(glyphs == 8))
    images = rng.integers(0, 256, (len(glyphs), 32, 32, 3), "uint8")
    kinds = glyphs % len(emoji32.KINDS)
    arrays = {"images": images, "groups": glyphs, "labels": kinds, "styles": styles}
    np.savez(tmp_path / "all.npz", label_names=list(emoji32.KINDS), **arrays)
    run_example("embed_emoji.py", tmp_path / "all.npz", "--out", tmp_path)
    monkeypatch.setattr(emoji32, "FOLDER", tmp_path)
    kept = np.flatnonzero(~np.isin(np.arange(len(glyphs)) % 10, (1, 3, 5)))
    order = kept[np.lexsort((kept, glyphs[kept], styles[kept]))]
    expected = (images, glyphs, kinds, styles)
    for found, original in zip(emoji32.read_sheets(), expected, strict=True):
        np.testing.assert_array_equal(found, original[order])
