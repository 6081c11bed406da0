import keras
import numpy as np
import pytest
from tiny_models import randomize

from keras_vqvae2 import VQVAE2, HierarchicalPrior, ImageGenerator
from keras_vqvae2.evaluation import build_classifier, class_likelihood, class_recognition

NUM_CLASSES = 3


def generator(label_dropout):
    vqvae = VQVAE2((8, 8, 3), filters=4, embedding_dim=2, num_embeddings=4, num_residual_blocks=0)
    prior = HierarchicalPrior.from_vqvae(
        vqvae, filters=4, num_blocks=1, num_classes=NUM_CLASSES, label_dropout=label_dropout
    )
    for number, model in enumerate((vqvae, prior)):
        randomize(model, seed=number)
    return ImageGenerator(vqvae, prior)


@pytest.fixture(scope="module")
def model():
    return generator(0.1)


def test_the_likelihood_of_a_class_is_that_of_bayes(model):
    images = model.generate(4, labels=[0, 1, 2, 0], seed=0)
    labels = np.array([0, 1, 2, 2])
    codes = model.vqvae.encode(images)
    expected = sum(model.prior.log_prob(codes, labels)) - sum(model.prior.log_prob(codes, None))
    np.testing.assert_allclose(class_likelihood(model)(images, labels), expected, rtol=1e-5)


def test_recognition_is_the_log_probability_of_the_class(model):
    classifier = build_classifier((8, 8, 3), NUM_CLASSES, filters=2, features=4)
    images = model.generate(4, labels=0, seed=0)
    labels = np.array([0, 1, 2, 2])
    logits = keras.ops.convert_to_numpy(classifier(images, training=False)).astype("float64")
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    expected = np.log(probabilities[np.arange(4), labels])
    np.testing.assert_allclose(class_recognition(classifier)(images, labels), expected, rtol=1e-4)


def test_the_best_of_several_candidates_scores_highest(model):
    score_fn, labels = class_likelihood(model), np.arange(6) % NUM_CLASSES
    tries = [model.generate(6, labels=labels, seed=5 + c * 2**32) for c in range(4)]
    scores = np.stack([score_fn(images, labels) for images in tries])
    best = model.generate(6, labels=labels, seed=5, candidates=4, score_fn=score_fn)
    np.testing.assert_allclose(score_fn(best, labels), scores.max(axis=0), rtol=1e-5)


def test_what_cannot_be_scored_is_refused(model):
    with pytest.raises(ValueError, match="`model` must have a prior by class, trained with"):
        class_likelihood(generator(0.0))
    images = np.zeros((2, 8, 8, 3), "uint8")
    for labels in (None, np.array([0, -1])):
        with pytest.raises(ValueError, match="`labels` must be given to be scored by"):
            class_likelihood(model)(images, labels)
