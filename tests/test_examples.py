"""The example scripts run as they are, with the flags that make them small."""

import gzip
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from keras_vqvae2 import VQVAE2, HierarchicalPrior, ImageGenerator, datasets, tuning
from keras_vqvae2.datasets import emoji32

EXAMPLES = Path(__file__).parents[1] / "examples"
MAX_LINES = {
    "callbacks.py": 80,
    "class_conditional.py": 80,
    "completion.py": 80,
    "continue_preset.py": 105,
    "embed_emoji.py": 55,
    "gallery.py": 130,
    "minimal.py": 30,
    "onnx_runtime.py": 80,
    "own_folder.py": 80,
    "pixelcnn_prior_example.py": 65,
    "resume.py": 80,
    "serving_client.py": 90,
    "three_stages.py": 130,
    "torch_data_loader.py": 50,
    "torch_loop.py": 60,
    "train_classifiers.py": 65,
    "train_on_gpu.py": 205,
    "train_presets.py": 180,
    "tuning.py": 40,
    "two_workers.py": 80,
    "vqvae2_in_one_file.py": 250,
}


def test_each_example_is_as_short_as_it_says():
    lines = {path.name: len(path.read_text().splitlines()) for path in EXAMPLES.glob("*.py")}
    assert lines.keys() == MAX_LINES.keys()
    assert all(lines[name] <= limit for name, limit in MAX_LINES.items()), lines


def test_one_page_lists_them_all():
    page = (EXAMPLES.parent / "docs" / "examples.md").read_text()
    assert set(re.findall(r"\(\.\./examples/([^)]+)\)", page)) == MAX_LINES.keys()


@pytest.mark.long
def test_the_three_stages(run_example, tmp_path):
    run_example(
        "pixelcnn_prior_example.py", "--epochs=1", "--filters=8", "--limit=64", f"--out={tmp_path}"
    )
    # Two grids of 8x8 images of 32 pixels, 2 white ones around each, twice enlarged.
    assert Image.open(tmp_path / "samples.png").size == (2 * 2 * (8 * 34 + 2), 2 * (8 * 34 + 2))
    assert len(datasets.CodeBatches(tmp_path / "codes" / "train", 64)) == 4
    model = keras.saving.load_model(tmp_path / "emoji32.keras")
    assert model.image_shape == (32, 32, 3)


@pytest.mark.long
def test_both_stages_by_fit(run_example, tmp_path):
    result = run_example("minimal.py", 1, 16)
    assert "val_bits_per_code" in result["priors"].history.history
    model = keras.saving.load_model(tmp_path / "emoji32.keras")
    images = result["validation"][:2]
    np.testing.assert_array_equal(model.vqvae.encode(images)[0], result["vqvae"].encode(images)[0])


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_folder_becomes_a_generator(run_example, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(16):
        split, kind = (("train", "validation")[number % 4 == 3], ("cats", "dogs")[number // 4 % 2])
        file = tmp_path / "photos" / split / kind / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype="uint8")).save(file)
    result = run_example("own_folder.py", tmp_path / "photos", 16, 1)
    model = ImageGenerator.from_preset(tmp_path / "my_model.keras")
    assert model.label_names == ("cats", "dogs")
    samples = result["drawing"].grid(model.generate(64, labels=["cats", "dogs"] * 32, seed=0))
    drawn = np.asarray(Image.open(tmp_path / "my_samples.png"))
    np.testing.assert_array_equal(drawn[::2, ::2], samples)
    assert (tmp_path / "my_reconstructions.png").exists()


@pytest.mark.long
def test_a_prior_by_class_is_saved_and_completes_and_fills_a_gallery(run_example, tmp_path):
    result = run_example("class_conditional.py", 1, 64)
    assert result["model"].label_names == result["train"].label_names
    assert (tmp_path / "by_style.png").exists()
    run_example("completion.py", "by_style.keras", result["names"][1])
    # Four rows of a picture half erased and four completions, each 34 pixels, twice enlarged.
    assert Image.open(tmp_path / "completions.png").size == (2 * (5 * 34 + 2), 2 * (4 * 34 + 2))
    data = ("--dataset=emoji32", "--label-key=style", "--train-split=test[:5%]")
    run_example("gallery.py", "by_style.keras", *data, "--test-split=test[:5%]")
    pictures = {file.stem for file in (tmp_path / "gallery").glob("*.png")}
    names = ("codes", "samples", "prior", "completions", "sweep", "nearest")
    assert pictures == {f"by_style_{name}" for name in names}


@pytest.mark.long
@pytest.mark.tensorflow_only
def test_both_stages_are_watched(run_example, tmp_path):
    run_example("callbacks.py", 1, 16)
    logs = tmp_path / "logs"
    events = {file.parent.relative_to(logs).as_posix() for file in logs.glob("**/*events*")}
    assert events == {"vqvae", "vqvae/train", "vqvae/validation", "prior/train", "prior/validation"}
    assert len((logs / "prior.csv").read_text().splitlines()) == 2


@pytest.mark.long
def test_a_fit_goes_on_where_it_was(run_example, capsys):
    run_example("resume.py", 1, 16)
    first = capsys.readouterr().out.splitlines()[-1]
    result = run_example("resume.py", 2, 16)
    told = capsys.readouterr().out
    assert first.startswith("epoch 1: ")
    assert first in told
    assert "Epoch 1/2" not in told
    assert len(result["checkpoints"].history) == 2


@pytest.mark.long
@pytest.mark.tensorflow_only
def test_two_workers_train_one_model(tmp_path):
    with socket.socket() as one, socket.socket() as other:
        for end in (one, other):
            end.bind(("localhost", 0))
        addresses = [f"localhost:{end.getsockname()[1]}" for end in (one, other)]
    words = [[sys.executable, EXAMPLES / "two_workers.py", str(i), "1"] for i in range(2)]
    workers = [subprocess.Popen([*each, *addresses], cwd=tmp_path) for each in words]
    assert [worker.wait(timeout=600) for worker in workers] == [0, 0]
    assert keras.saving.load_model(tmp_path / "vqvae.keras").image_shape == (32, 32, 3)


@pytest.mark.long
@pytest.mark.tensorflow_only
def test_the_stages_are_watched(run_example, tmp_path):
    run_example(
        "three_stages.py", "--epochs=2", "--filters=4", "--split=test[:64]", f"--out={tmp_path}"
    )
    names = ("reconstructions", "codes", "samples", "curves")
    assert {file.stem for file in tmp_path.glob("*.png")} == set(names)


@pytest.mark.long
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
def test_a_preset_is_trained_scored_and_exported(run_example, tmp_path, shared_data, monkeypatch):
    monkeypatch.setattr("keras_vqvae2.datasets.fashion_mnist.NUM_TRAIN", 1792)
    few = cut_fashion_mnist(shared_data / "fashion-mnist", tmp_path / "few", train=2048, t10k=600)
    data = ("--data-dir", few)
    run_example("train_presets.py", "fashion_mnist", *data, "--tiny", "--out", tmp_path)
    folder = tmp_path / "keras_vqvae2" / "models" / "presets"
    model = ImageGenerator.from_preset(folder / "fashion_mnist.keras")
    assert model.generate(2, labels=3, seed=0).shape == (2, 32, 32, 1)
    served = tmp_path / "savedmodels" / "fashion_mnist"
    assert (served / "models.config").exists()
    card = (served / "1" / "MODEL_CARD.md").read_text()
    assert "100 images of each kind against 400 of fashion_mnist/test[:400]" in card


def cut_fashion_mnist(source, folder, **counts):
    """Copy the first images of each split, as IDX files; return their folder."""
    folder.mkdir()
    for split, count in counts.items():
        for kind, dimensions in (("images-idx3", 3), ("labels-idx1", 1)):
            name = f"{split}-{kind}-ubyte.gz"
            content = gzip.decompress((source / name).read_bytes())
            head = 4 + 4 * dimensions
            sizes = np.frombuffer(content[4:head], ">u4").copy()
            sizes[0] = count
            kept = content[head : head + int(np.prod(sizes))]
            (folder / name).write_bytes(gzip.compress(content[:4] + sizes.tobytes() + kept))
    return folder


@pytest.mark.long
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
    # A decoder may end in another way while the prior stays what it is.
    sizes = (*sizes[:-1], tmp_path / "cut", "--clipping", "hard", "--prior-epochs", 0)
    run_example("continue_preset.py", "emoji32", "--start", tmp_path / "old", *sizes)
    generator = ImageGenerator.from_preset(tmp_path / "cut" / "emoji32" / "generator.keras")
    assert (vqvae.clipping, generator.vqvae.clipping) == ("soft", "hard")
    for level, other in zip(prior.get_weights(), generator.prior.get_weights(), strict=True):
        np.testing.assert_array_equal(other[: len(level)], level)


@pytest.mark.long
@pytest.mark.tensorflow_only
def test_a_preset_learns_on_in_loops_of_jax(tmp_path):
    vqvae = VQVAE2((32, 32, 3), 8, 0, embedding_dim=4, num_embeddings=8)
    options = {"num_classes": 34, "filters": 8, "num_blocks": 1}
    prior = HierarchicalPrior.from_vqvae(vqvae, label_dropout=0.1, **options)
    ImageGenerator(vqvae, prior).save(tmp_path / "start.keras")
    words = ["--start", tmp_path / "start.keras", "--runs", tmp_path, "--batch-size=8"]
    words += ["--steps=600", "--rate=3e-2", "--flip", "--shift=1", "--warp=0.1", "--hue=0.5"]
    blended = ["--runs", tmp_path / "blended", "--blend", "1", "0"]
    for stage, *other in (["decoder"], ["prior"], ["prior", *blended]):
        script = EXAMPLES / "train_on_gpu.py"
        environment = {**os.environ, "KERAS_BACKEND": "jax"}
        subprocess.run(
            [sys.executable, script, "emoji32", stage, *words, *other], env=environment, check=True
        )
    run, images = tmp_path / "emoji32", datasets.load("emoji32", "test[:64]").images
    found = keras.saving.load_model(run / "vqvae2" / "vqvae2_final.keras")
    codes = vqvae.encode(images)
    for level, other in zip(found.encode(images), codes, strict=True):
        np.testing.assert_array_equal(level, other)
    before, after = (np.mean((model.decode(codes) - images) ** 2) for model in (vqvae, found))
    assert after < 0.8 * before
    found = keras.saving.load_model(run / "prior" / "prior_final.keras")
    before, after = (-np.sum(model.log_prob(codes, labels=-1)) for model in (prior, found))
    assert after < 0.95 * before
    history = json.loads((run / "prior" / "history.json").read_text())
    assert history[-1]["val_bits_per_code"] < history[0]["val_bits_per_code"]
    # One level goes all the way, the other none; with its VQ-VAE-2 it is a whole run.
    run = tmp_path / "blended" / "emoji32"
    found = keras.saving.load_model(run / "prior" / "prior_final.keras")
    for old, new in zip(prior.level_priors[1].weights, found.level_priors[1].weights, strict=True):
        np.testing.assert_array_equal(old, new)
    history = json.loads((run / "prior" / "history.json").read_text())
    assert history[-1]["val_top_bits_per_code"] < history[0]["val_top_bits_per_code"]
    assert history[-1]["kept"]
    assert (run / "vqvae2" / "vqvae2_final.keras").exists()


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
