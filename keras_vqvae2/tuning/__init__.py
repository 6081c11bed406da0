"""Search for hyperparameters by KerasTuner: the spaces of both stages, and the search itself."""

from keras_vqvae2.tuning.guarded import GuardedHyperModel
from keras_vqvae2.tuning.hyper_priors import HyperHierarchicalPrior, HyperPixelCNN
from keras_vqvae2.tuning.hyper_vqvae2 import HyperVQVAE2
from keras_vqvae2.tuning.search import TUNERS, SearchFailed, make_tuner, role
from keras_vqvae2.tuning.trials import TrialRecord, draw_trials, read_trials, trials_table

__all__ = [
    "TUNERS",
    "GuardedHyperModel",
    "HyperHierarchicalPrior",
    "HyperPixelCNN",
    "HyperVQVAE2",
    "SearchFailed",
    "TrialRecord",
    "draw_trials",
    "make_tuner",
    "read_trials",
    "role",
    "trials_table",
]
