import json

import numpy as np
import pytest
from tiny_models import randomize

from keras_vqvae2 import datasets
from keras_vqvae2.evaluation import frechet_distance, load_extractor, score_samples
from keras_vqvae2.evaluation.report import score_sentences
from keras_vqvae2.models import VQVAE2, HierarchicalPrior, ImageGenerator

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def scored():
    vqvae = randomize(
        VQVAE2((32, 32, 3), filters=8, num_residual_blocks=0, embedding_dim=4, num_embeddings=8)
    )
    prior = HierarchicalPrior.from_vqvae(vqvae, filters=8, num_blocks=1, num_classes=34)
    model = ImageGenerator(vqvae, randomize(prior))
    train, test = (datasets.load("emoji32", split) for split in ("train", "test"))
    reference = test.take(np.arange(0, 900, 15), "test, some")
    held_out = test.take(np.arange(7, 900, 30), "test, others")
    arguments = (model, reference, held_out, train.take(np.arange(0, 6000, 20)))
    judges = {"extractor": load_extractor("emoji32"), "second": load_extractor("emoji32_second")}
    scores, samples, neighbours = score_samples(
        *arguments, **judges, num_sets=3, num_classified=64, seed=3
    )
    assert neighbours.shape == (30,)
    with pytest.raises(ValueError, match="`num_sets` must part the 30 images .* num_sets=4"):
        score_samples(*arguments, **judges, num_sets=4)
    return model, reference, held_out, scores, samples


def test_real_images_come_out_best_and_all_is_recorded(scored):
    _, _, held_out, scores, samples = scored
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
        "held_out": "emoji32/test, others",
    }
    assert scores["extractor"] == {
        "name": "emoji32",
        "checksum": load_extractor("emoji32").checksum,
    }
    json.dumps(scores)


def test_the_samples_are_those_of_the_seed_and_the_held_out_classes(scored):
    model, _, held_out, _, samples = scored
    np.testing.assert_array_equal(model.generate(30, labels=held_out.labels, seed=3), samples)


@pytest.mark.parametrize("judge", ["emoji32", "emoji32_second"])
def test_each_judge_scores_each_of_the_disjoint_sets(scored, judge):
    _, reference, held_out, scores, samples = scored
    found = scores if judge == "emoji32" else scores["second"]
    extractor = load_extractor(judge)
    assert found["extractor"] == {"name": judge, "checksum": extractor.checksum}
    target = extractor.features(reference.images)
    distances, right = [], []
    for start in (0, 10, 20):
        part = samples[start : start + 10]
        distances.append(frechet_distance(target, extractor.features(part)))
        guesses = extractor.classifier.predict(part, verbose=0).argmax(axis=-1)
        right.append(np.mean(guesses == held_out.labels[start : start + 10]))
    for name, values in (("frechet_distance", distances), ("recognised", right)):
        np.testing.assert_allclose(found[name]["samples"], np.mean(values), rtol=1e-4)
        spread = (min(values), max(values))
        np.testing.assert_allclose(found["spread"][name]["samples"], spread, rtol=1e-4)
    sentences = " ".join(score_sentences(scores))
    assert "Scores are means over 3 sets" in sentences
    assert "By emoji32_second, of another architecture, samples lie" in sentences
