import json

import numpy as np
import pytest
from tiny_models import randomize

from keras_vqvae2 import datasets
from keras_vqvae2.evaluation import load_extractor, score_samples
from keras_vqvae2.models import VQVAE2, HierarchicalPrior, ImageGenerator


@pytest.fixture(scope="module")
def scored():
    vqvae = randomize(
        VQVAE2((32, 32, 3), filters=8, num_residual_blocks=0, embedding_dim=4, num_embeddings=8)
    )
    prior = HierarchicalPrior.from_vqvae(vqvae, filters=8, num_blocks=1, num_classes=9)
    model = ImageGenerator(vqvae, randomize(prior))
    train = datasets.load("emoji32", "train[:300]")
    reference, held_out = (
        datasets.load("emoji32", split) for split in ("test[:60]", "test[60:90]")
    )
    arguments = (model, reference, held_out, train, load_extractor("emoji32"))
    scores, samples, neighbours = score_samples(*arguments, num_classified=64, seed=3)
    assert neighbours.shape == (30,)
    return model, held_out, scores, samples


def test_real_images_come_out_best_and_all_is_recorded(scored):
    _, held_out, scores, samples = scored
    assert samples.shape == held_out.images.shape
    distances = scores["frechet_distance"]
    assert set(distances) == {"real", "reconstructions", "samples", "random_codes"}
    assert min(distances, key=distances.get) == "real"
    assert max(scores["coverage"], key=scores["coverage"].get) == "real"
    assert scores["recognised"]["real"] > scores["recognised"]["samples"]
    accuracy = scores["classification_accuracy"]
    assert accuracy["num_images"] == 64
    assert accuracy["real"] > accuracy["samples"]
    recorded = {key: scores[key] for key in ("num_samples", "num_reference", "seed", "held_out")}
    assert recorded == {
        "num_samples": 30,
        "num_reference": 60,
        "seed": 3,
        "held_out": "emoji32/test[60:90]",
    }
    assert scores["extractor"] == {
        "name": "emoji32",
        "checksum": load_extractor("emoji32").checksum,
    }
    json.dumps(scores)


def test_the_samples_are_those_of_the_seed_and_the_held_out_classes(scored):
    model, held_out, _, samples = scored
    np.testing.assert_array_equal(model.generate(30, labels=held_out.labels, seed=3), samples)
