"""Search for hyperparameters by KerasTuner: the spaces of both stages, and the search itself."""

from keras_vqvae2.tuning.command import Search, tune
from keras_vqvae2.tuning.guarded import GuardedHyperModel
from keras_vqvae2.tuning.priors import HyperHierarchicalPrior, HyperPixelCNN
from keras_vqvae2.tuning.search import TUNERS, make_tuner, role
from keras_vqvae2.tuning.trials import TrialRecord, draw_trials, read_trials, trials_table
from keras_vqvae2.tuning.vqvae2 import HyperVQVAE2

__all__ = [
    "TUNERS",
    "GuardedHyperModel",
    "HyperHierarchicalPrior",
    "HyperPixelCNN",
    "HyperVQVAE2",
    "Search",
    "TrialRecord",
    "draw_trials",
    "make_tuner",
    "read_trials",
    "role",
    "trials_table",
    "tune",
]
