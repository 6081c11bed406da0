"""How good generated images are: distances of features, and judgement by classifiers."""

from keras_vqvae2.evaluation.classifier import accuracy, build_classifier, train_classifier
from keras_vqvae2.evaluation.distances import frechet_distance, nearest, precision_recall
from keras_vqvae2.evaluation.extractors import FeatureExtractor, load_extractor
from keras_vqvae2.evaluation.scores import score_samples

__all__ = [
    "FeatureExtractor",
    "accuracy",
    "build_classifier",
    "frechet_distance",
    "load_extractor",
    "nearest",
    "precision_recall",
    "score_samples",
    "train_classifier",
]
