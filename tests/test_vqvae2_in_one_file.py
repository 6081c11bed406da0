"""The example that writes the architecture out in one file computes what the library does."""

import functools
import importlib.util
import re
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from gradients import gradient
from PIL import Image
from tiny_models import every_grid, pearson, randomize, tell_images_apart

from keras_vqvae2 import VQVAE2, PixelCNN, VectorQuantizer

FILE = Path(__file__).parents[1] / "examples" / "vqvae2_in_one_file.py"
# The same float32 numbers, added up in another order.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def one_file():
    spec = importlib.util.spec_from_file_location(FILE.stem, FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def quantizers(one_file):
    """That of the file and the library's, with the same state and without restarts."""
    options = {"num_embeddings": 12, "embedding_dim": 3, "decay": 0.7, "commitment_cost": 0.5}
    pair = (
        one_file.VectorQuantizer(**options),
        VectorQuantizer(**options, kmeans_iterations=0, restart_threshold=0.0),
    )
    pair[0].restart_threshold = 0.0
    rng = np.random.default_rng(0)
    counts, sums = rng.uniform(0.1, 3.0, 12), rng.normal(size=(12, 3))
    for quantizer in pair:
        quantizer.build((None, 3, 5, 3))
        quantizer.counts.assign(counts)
        quantizer.sums.assign(sums)
    return pair


def test_the_codebook_follows_as_the_librarys_does(quantizers):
    rng = np.random.default_rng(1)
    for step in range(4):
        x = rng.normal(loc=0.3 * step, size=(4, 3, 5, 3)).astype("float32")
        found, expected = (quantizer(x, training=True) for quantizer in quantizers)
        np.testing.assert_array_equal(found["codes"], expected["codes"])
        for key in ("quantized", "commitment_loss"):
            np.testing.assert_allclose(found[key], expected[key], **CLOSE)
        for state in ("counts", "sums", "codebook"):
            np.testing.assert_allclose(*(getattr(q, state) for q in quantizers), **CLOSE)


def test_the_encoder_learns_as_by_the_librarys_quantizer(quantizers):
    rng = np.random.default_rng(1)
    x, weights = rng.normal(size=(2, 4, 3, 5, 3)).astype("float32")

    def objective(quantizer, x):
        outputs = quantizer(x)
        return keras.ops.sum(outputs["quantized"] * weights) + keras.ops.sum(
            outputs["commitment_loss"]
        )

    gradients = [gradient(functools.partial(objective, q), x) for q in quantizers]
    np.testing.assert_allclose(*gradients, **CLOSE)


def test_codes_that_nothing_chooses_start_at_vectors_of_the_batch(one_file):
    quantizer = one_file.VectorQuantizer(8, 2)
    x = np.random.default_rng(0).normal(size=(4, 3, 3, 2)).astype("float32")
    chosen = set(np.ravel(quantizer(x, training=True)["codes"]))
    codebook = keras.ops.convert_to_numpy(quantizer.codebook)
    fresh = [codebook[code] for code in range(8) if code not in chosen]
    assert len(fresh) == 7
    for vector in fresh:
        # A division by a count of about 0.05, smoothed by 1e-5: some 1e-4 of the vector.
        assert np.abs(x.reshape(-1, 2) - vector).max(axis=1).min() < 1e-3


def test_the_vqvae_computes_what_the_librarys_does(one_file):
    sizes = {"filters": 8, "num_embeddings": 7, "embedding_dim": 4}
    ours = tell_images_apart(VQVAE2((16, 16, 3), upsampling="transposed", clipping="hard", **sizes))
    found = one_file.VQVAE2(**sizes)
    images = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype="uint8")
    found(images)
    parts = [
        *(f"{level}_{part}" for level in ("top", "bottom") for part in ("encoder", "projection")),
        *("top_decoder", "bottom_decoder"),
    ]
    for name in parts:
        source = ours.decoder if "decoder" in name else ours.encoder
        copy(source.get_layer(name), getattr(found, name))
    for quantizer in ours.quantizers:
        target = getattr(found, quantizer.name)
        target.counts.assign(np.array(quantizer.counts))
        target.sums.assign(np.array(quantizer.sums))
    expected, outputs = ours.training_graph(images), found(images)
    np.testing.assert_allclose(outputs["signal"], expected["signal"], **CLOSE)
    losses = [np.asarray(loss) for loss in expected["commitment_losses"]]
    np.testing.assert_allclose(outputs["commitment_loss"], sum(losses), **CLOSE)
    codes = ours.encode(images)
    np.testing.assert_array_equal(outputs["top_codes"], codes[0])
    np.testing.assert_array_equal(outputs["bottom_codes"], codes[1])
    np.testing.assert_allclose(found.decode(*codes), expected["signal"], **CLOSE)
    assert all(len(np.unique(grid)) > 1 for grid in codes)


def copy(source, target):
    """Give a layer the weights of one that has as many; 1x1 convolutions may be dense layers."""
    for value, weight in zip(source.weights, target.weights, strict=True):
        # By way of NumPy: on JAX an array must not be that of two variables.
        weight.assign(np.array(value).reshape(weight.shape))


def copy_masked(source, target):
    """Give a masked convolution the taps that the library keeps, and something at the others."""
    taps, bias = (np.array(value) for value in source.weights)
    kernel = np.ones(target.kernel.shape, "float32")
    kernel.reshape(-1, *taps.shape[1:])[: len(taps)] = taps
    target.kernel.assign(kernel)
    target.bias.assign(bias)


def layers_of(model, kind):
    """The layers of a kind in the order in which they were made, which numbers their names."""
    layers = [layer for layer in model.layers if type(layer) is kind]
    return sorted(layers, key=lambda layer: int((re.findall(r"_(\d+)$", layer.name) or ["0"])[0]))


def build_both(one_file, code_shape=(4, 6), num_embeddings=5, **condition):
    """A PixelCNN of the file and one of the library with the same weights."""
    sizes = {"num_embeddings": num_embeddings, "filters": 8, "num_blocks": 2}
    ours = randomize(PixelCNN(code_shape, **sizes, **condition))
    found = one_file.pixelcnn(code_shape, **sizes, **condition)
    known = {
        layer.name: layer for model in (ours.conditioner, ours) if model for layer in model.layers
    }
    blocks = [known["block_0"], known["block_1"]]
    dense = [
        part for block in blocks for part in (block.reduce, block.project, block.expand) if part
    ]
    sources = {
        keras.layers.Embedding: [
            known[name] for name in ("embed_context", "embed_labels", "embed") if name in known
        ],
        keras.layers.Dense: [*dense, known["hidden"], known["to_logits"]],
        one_file.MaskedConv2D: [known["input_conv"], *(block.masked_conv for block in blocks)],
    }
    for kind, layers in sources.items():
        for source, target in zip(layers, layers_of(found, kind), strict=True):
            (copy_masked if kind is one_file.MaskedConv2D else copy)(source, target)
    return found, ours


@pytest.mark.parametrize(
    "condition",
    [{}, {"num_classes": 3}, {"context_shape": (2, 3), "num_classes": 3}],
    ids=["unconditional", "labels", "context and labels"],
)
def test_the_prior_computes_what_the_librarys_does(one_file, condition):
    found, ours = build_both(one_file, **condition)
    rng = np.random.default_rng(0)
    inputs = {x.name: rng.integers(0, 3, (8, *x.shape[1:])) for x in ours.inputs}
    np.testing.assert_allclose(found(inputs), ours(inputs), **CLOSE)


def test_the_prior_sees_only_what_comes_before(one_file):
    prior, _ = build_both(one_file)
    codes = np.repeat(np.random.default_rng(0).integers(0, 4, (1, 24)), 25, axis=0)
    # In grid `n` of 24 the code at position `n` is another; the last grid is as it was.
    codes[range(24), range(24)] += 1
    logits = np.asarray(prior({"codes": codes.reshape(25, 4, 6)})).reshape(25, 24, 5)
    changed = (logits[:-1] != logits[-1]).any(axis=-1)
    assert not np.tril(changed).any()
    # The code to the left is seen, that above too.
    left, above = np.arange(24).reshape(4, 6)[:, :-1], np.arange(18)
    assert changed[left, left + 1].all()
    assert changed[above, above + 6].all()


def test_samples_have_the_frequencies_that_the_logits_give(one_file):
    prior, ours = build_both(one_file, (2, 2), 2)
    codes = one_file.sample(prior, 2000, np.random.default_rng(0))
    grids = every_grid((2, 2), 2)
    observed = (codes[:, None] == grids).all(axis=(2, 3)).sum(axis=0)
    assert pearson(observed, np.exp(ours.log_prob(grids).astype("float64"))) > 0.01


@pytest.mark.long
def test_the_script_draws_what_it_learned(one_file, tmp_path, monkeypatch):
    # Most of the time of a tiny run goes into tracing the blocks.
    for name, sizes in {"VQVAE2": {}, "pixelcnn": {"num_blocks": 1}}.items():
        build = functools.partial(getattr(one_file, name), filters=8, **sizes)
        monkeypatch.setattr(one_file, name, build)
    out = tmp_path / "picture.png"
    monkeypatch.setattr(sys, "argv", [FILE.name, "--epochs=1", "--limit=36", f"--out={out}"])
    one_file.main()
    picture = np.asarray(Image.open(out))
    assert picture.shape == (6 * 32, 16 * 32, 3)
    # Each sample is an image of its own.
    samples = picture[64:].reshape(4, 32, 16, 32, 3).swapaxes(1, 2).reshape(64, -1)
    assert len(np.unique(samples, axis=0)) == 64
