"""Exports for other engines, each run where neither this package, nor Keras, nor TensorFlow is."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_models import randomize, tell_images_apart

from keras_vqvae2 import VQVAE2, HierarchicalPrior, ImageGenerator

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.long]

FORMATS = ("onnx", "openvino", "litert")
SIZES = (1, 5)
ENGINES = Path(__file__).parents[1] / "run_engines.py"
EXAMPLE = Path(__file__).parents[2] / "examples" / "onnx_runtime.py"

# Before it a script can import neither of them.
HIDING = "import sys; sys.modules.update(dict.fromkeys(['keras', 'keras_vqvae2', 'tensorflow']))"


def inputs_of(signature, size):
    """Random inputs as `signatures.json` describes them; an option has one row for all."""
    rng = np.random.default_rng(size)
    inputs = {}
    for key, given in signature["inputs"].items():
        shape = (size, *given["shape"][1:])
        if key == "labels":
            inputs[key] = rng.integers(-1, 3, size).astype("int32")
        elif "default" in given:
            inputs[key] = np.array([given["default"]], given["dtype"])
        elif key.startswith("uniforms"):
            inputs[key] = rng.random(shape, dtype="float32")
        else:
            inputs[key] = rng.integers(0, 7 if "codes" in key else 256, shape, given["dtype"])
    return inputs


def answers_of(models, folder):
    """What the engines answer, of models by their names: `(kind, format) -> {signature, ...}`."""
    asked = {}
    for kind, model in models.items():
        for format in FORMATS:
            model.export(folder / kind / format, format=format)
            described = json.loads((folder / kind / format / "signatures.json").read_text())
            for name, signature in described.items():
                for size in SIZES:
                    for key, value in inputs_of(signature, size).items():
                        asked[f"{kind}/{format}/{name}/{size}/{key}"] = value
    np.savez(folder / "inputs.npz", **asked)
    command = [sys.executable, ENGINES, folder]
    subprocess.run(command, check=True, timeout=300)
    outputs = np.load(folder / "outputs.npz")

    def get(*start):
        start = "/".join(map(str, start)) + "/"
        given = {key[len(start) :]: x for key, x in asked.items() if key.startswith(start)}
        return given, {
            key[len(start) :]: outputs[key] for key in outputs.files if key.startswith(start)
        }

    return get


@pytest.fixture(scope="module")
def vqvaes():
    """Of two levels and of one, each with images that tell their codes apart."""
    options = {"filters": 8, "num_residual_blocks": 0, "embedding_dim": 4, "num_embeddings": 7}
    two = VQVAE2((16, 8, 3), **options)
    one = VQVAE2((8, 8, 1), num_levels=1, **options)
    return {"two": tell_images_apart(two), "one": tell_images_apart(one)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="module")
def vqvae_answers(vqvaes, folder):
    return answers_of(vqvaes, folder)


@pytest.fixture(scope="module")
def generator(vqvaes):
    options = {"filters": 8, "num_blocks": 1, "num_classes": 3, "label_dropout": 0.1}
    prior = randomize(HierarchicalPrior.from_vqvae(vqvaes["two"], **options), seed=2)
    return ImageGenerator(vqvaes["two"], prior, sampling={"guidance": 3.0, "top_p": 0.9})


@pytest.fixture(scope="module")
def generator_answers(generator, folder):
    return answers_of({"generator": generator}, folder)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["two", "one"])
@pytest.mark.parametrize("format", FORMATS)
def test_images_are_encoded_and_decoded_as_by_the_model(vqvaes, vqvae_answers, kind, format, size):
    model = vqvaes[kind]
    given, codes = vqvae_answers(kind, format, "encode", size)
    assert codes.keys() == ({"codes_top", "codes_bottom"} if model.num_levels == 2 else {"codes_0"})
    for found, expected in zip(codes.values(), model.encode(given["images"])[::-1], strict=True):
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, expected)
    given, decoded = vqvae_answers(kind, format, "decode", size)
    assert_close_images(decoded["images"], model.decode(tuple(given.values())))
    given, again = vqvae_answers(kind, format, "reconstruct", size)
    assert_close_images(again["reconstructions"], model.decode(model.encode(given["images"])))


def assert_close_images(images, expected):
    assert images.dtype == np.uint8
    assert np.abs(images.astype("float32") - expected).max() <= 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("format", FORMATS)
def test_images_are_sampled_as_by_the_model(generator, generator_answers, format, size):
    given, sampled = generator_answers("generator", format, "sample_from_noise", size)
    noise = (given["uniforms_top"], given["uniforms_bottom"])
    expected, log_prob = generator.sample_from_noise(noise, labels=given["labels"])
    assert_close_images(sampled["images"], expected)
    np.testing.assert_allclose(sampled["log_prob"], log_prob, rtol=1e-4)
    # So far apart are images of other codes.
    again = generator.vqvae.encode(sampled["images"])
    for found, wanted in zip(again, generator.vqvae.encode(expected), strict=True):
        np.testing.assert_array_equal(found, wanted)
    given, scored = generator_answers("generator", format, "log_prob", size)
    expected = generator.log_prob(given["images"], labels=given["labels"])
    np.testing.assert_allclose(scored["log_prob"], expected, rtol=1e-4)


def test_the_example_samples_without_this_package(generator, generator_answers, folder):
    script = f"{HIDING}; import runpy; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    out = folder / "pictures.png"
    command = [sys.executable, "-c", script, str(EXAMPLE), str(folder / "generator" / "onnx")]
    flags = ["--seed=7", "--label=1", "--num-samples=4", f"--out={out}"]
    subprocess.run([*command, *flags], check=True, timeout=300)
    images = generator.generate(4, labels=1, seed=7)
    rows = np.concatenate([np.concatenate(row, axis=1) for row in np.split(images, 2)])
    assert_close_images(np.asarray(Image.open(out)), rows)


@pytest.mark.parametrize(
    ("format", "name", "message"),
    [
        ("ONNX", "1", "`format` must be one of 'tf_saved_model', 'onnx', 'openvino', 'litert'"),
        (["onnx"], "1", "`format` must be one of"),
        ("torch", "1", "Received: format='torch': the graph .* is TensorFlow's"),
        ("onnx", "", "`path` must not exist"),
        ("onnx", "vqvae.onnx", "`path` must name a folder, in which each signature becomes a file"),
        ("litert", "vqvae.tflite", "`path` must name a folder"),
    ],
)
def test_what_cannot_be_written_is_refused(vqvaes, tmp_path, format, name, message):
    with pytest.raises(ValueError, match=message):
        vqvaes["one"].export(tmp_path / name, format=format)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", FORMATS)
def test_half_precision_stays_with_tensorflow(tmp_path, format):
    model = VQVAE2((8, 8, 1), 4, num_residual_blocks=0, num_levels=1, dtype="mixed_bfloat16")
    with pytest.raises(ValueError, match="for a model that computes in bfloat16"):
        model.export(tmp_path / "1", format=format)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("format", "package"), [("onnx", "tf2onnx"), ("openvino", "openvino")])
def test_a_missing_package_is_named(vqvaes, tmp_path, monkeypatch, format, package):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = rf"needs the package {package}: pip install 'keras-vqvae2\[{format}\]'"
    with pytest.raises(ModuleNotFoundError, match=message):
        vqvaes["one"].export(tmp_path / "1", format=format)
    assert not list(tmp_path.iterdir())


def test_signatures_are_described(vqvae_answers, folder):
    for format in FORMATS:
        described = json.loads((folder / "one" / format / "signatures.json").read_text())
        assert described.keys() == {"encode", "decode", "reconstruct"}
        assert described["decode"] == {
            "inputs": {"codes_0": {"shape": [None, 2, 2], "dtype": "int32", "rule": "in [0, 7)"}},
            "outputs": {"images": {"shape": [None, 8, 8, 1], "dtype": "uint8"}},
        }
