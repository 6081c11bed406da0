"""Models that the tests share; makes `gradients` and `tiny_models` importable."""

import functools
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from tiny_models import randomize, tell_images_apart

from keras_vqvae2.models import VQVAE2, HierarchicalPrior, ImageGenerator, PixelCNN

# 2x3 grids of 3 codes: 729 of them.
VARIANTS = {
    "unconditional": {},
    "labels": {"num_classes": 3},
    "context": {"context_shape": (1, 3), "context_num_embeddings": 2},
    "both": {"num_classes": 3, "context_shape": (2, 1), "context_num_embeddings": 2},
    "best wiring": {
        "num_classes": 3,
        "context_shape": (1, 3),
        "context_num_embeddings": 2,
        "two_stream": True,
        "num_attention_blocks": 1,
        "num_heads": 2,
        "num_conditioning_blocks": 1,
    },
}


@functools.cache
def build_variant(name):
    """A tiny PixelCNN of a kind, and a function that gives conditions for `size` grids."""
    model = PixelCNN((2, 3), 3, filters=8, num_blocks=2, embedding_dim=4, **VARIANTS[name])

    def condition(size, seed=0):
        rng = np.random.default_rng(seed)
        result = {}
        if model.num_classes:
            result["labels"] = rng.integers(0, 3, size)
        if model.context_shape:
            result["context"] = rng.integers(0, 2, (size, *model.context_shape))
        return result

    return randomize(model, seed=3), condition


@pytest.fixture(params=list(VARIANTS))
def variant(request):
    return build_variant(request.param)


@pytest.fixture
def conditional():
    return build_variant("both")


@pytest.fixture(scope="session")
def images():
    """24 of the embedded emoji at a quarter of their size, `[24, 8, 8, 3]`."""
    from keras_vqvae2 import datasets

    return datasets.load("emoji32", "train").images[:96:4, ::4, ::4]


@pytest.fixture(scope="session")
def trained(images):
    """A VQ-VAE-2 of grids 1x1 and 2x2, two codes a level, trained for some epochs."""
    keras.utils.set_random_seed(0)
    model = VQVAE2((8, 8, 3), filters=8, num_residual_blocks=1, embedding_dim=4, num_embeddings=2)
    model.compile(optimizer=keras.optimizers.Adam(1e-2), metrics=["mae"])
    model.history = model.fit(images, epochs=6, batch_size=8, verbose=0)
    return model


@pytest.fixture(scope="session")
def vqvae():
    """As `trained`, but of random weights large enough that each image tells its codes."""
    model = VQVAE2((8, 8, 3), filters=8, num_residual_blocks=1, embedding_dim=4, num_embeddings=2)
    return tell_images_apart(model)


@pytest.fixture(scope="session")
def generator(vqvae):
    """An unconditional generator of 2 * 16 possible images."""
    prior = HierarchicalPrior.from_vqvae(vqvae, filters=8, num_blocks=1)
    return ImageGenerator(vqvae, randomize(prior))


@pytest.fixture(scope="session")
def class_generator(vqvae):
    """A generator of three classes."""
    prior = HierarchicalPrior.from_vqvae(vqvae, filters=8, num_blocks=1, num_classes=3)
    return ImageGenerator(vqvae, randomize(prior, seed=1))
