from .classifier import (
    accuracy,
    build_classifier,
    build_second_classifier,
    train_classifier,
)
from .cost import forward_flops, training_bytes, training_flops
from .distances import frechet_distance, nearest, precision_recall
from .extractors import FeatureExtractor, load_extractor
from .rejection import class_likelihood, class_recognition
from .report import LevelUsage, evaluate, headline_scores, level_usage
from .scores import score_samples
from .spectrum import nyquist_ratio

__all__ = [
    "FeatureExtractor",
    "LevelUsage",
    "accuracy",
    "build_classifier",
    "build_second_classifier",
    "class_likelihood",
    "class_recognition",
    "evaluate",
    "forward_flops",
    "frechet_distance",
    "headline_scores",
    "level_usage",
    "load_extractor",
    "nearest",
    "nyquist_ratio",
    "precision_recall",
    "score_samples",
    "train_classifier",
    "training_bytes",
    "training_flops",
]
