"""The search space of stage 1."""

import math

import keras_tuner

from keras_vqvae2 import checks
from keras_vqvae2.datasets import ImageBatches
from keras_vqvae2.evaluation.report import LevelUsage
from keras_vqvae2.models import VQVAE2
from keras_vqvae2.tuning.guarded import GuardedHyperModel


class HyperVQVAE2(GuardedHyperModel):
    """A search space of `VQVAE2`s and of how they are trained.

    | searched | values |
    |---|---|
    | `filters` | 32, 64, 128 |
    | `num_residual_blocks` | 1 to 3 |
    | `embedding_dim` | 16, 32, 64 |
    | `num_embeddings` | 64, 128, 256, 512 |
    | `decay` | 0.95, 0.99, 0.995 |
    | `commitment_cost` | 0.1 to 1, by its logarithm |
    | `learning_rate` | 3e-4 to 3e-3, by its logarithm |
    | `batch_size` | 32, 64, 128 |
    | `flip`, `shift` | yes or no; 0 to 2 pixels |

    | objective | better | what it is on the validation images |
    |---|---|---|
    | `val_reconstruction_mse` | small | mean squared error of the signal in [-1, 1] |
    | `val_codebook_usage` | large | share of the codes in use, of the level that uses least |
    | `val_rate_distortion` | small | that error + `tradeoff` * bits an image dimension |

    The rate is what the codes cost without a prior, the entropy of each level's codes:
    `sum_l(H_l * W_l * log2(perplexity_l)) / (H * W * C)`, also logged as `val_bits_per_dim`. What a
    prior learns about them lowers it.

    A trial fails if a level has collapsed at its end, as `report.LevelUsage` says; one that ends
    before `collapse_epochs`, as in the first rounds of Hyperband, may still recover.

    Args:
        image_shape: `(H, W, C)`.
        num_levels: `L`, of every trial.
        collapse_epochs: epochs from which on a collapsed level fails a trial.
        tradeoff: error that one bit an image dimension is worth, in `val_rate_distortion`.
        **kwargs: of `GuardedHyperModel`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> import keras_tuner
    >>> space = HyperVQVAE2(image_shape=(16, 16, 3), max_parameters=2_000_000)
    >>> model = space.build(keras_tuner.HyperParameters())
    >>> model.filters, model.code_shapes
    (32, ((2, 2), (4, 4)))
    >>> space.objective("val_codebook_usage").direction
    'max'
    """

    def __init__(self, image_shape, *, num_levels=2, collapse_epochs=5, tradeoff=0.1, **kwargs):
        super().__init__(**kwargs)
        self.image_shape = checks.sizes("image_shape", image_shape, "HWC")
        self.num_levels = checks.positive_int("num_levels", num_levels)
        self.collapse_epochs = checks.non_negative_int("collapse_epochs", collapse_epochs)
        self.tradeoff = checks.number("tradeoff", tradeoff, "be at least 0", lambda x: x >= 0)

    @property
    def objectives(self):
        """The table of objectives as a dictionary."""
        return {
            "val_reconstruction_mse": "min",
            "val_codebook_usage": "max",
            "val_rate_distortion": "min",
        }

    def architecture(self, hp):
        """Return the searched arguments of `VQVAE2`; see `GuardedHyperModel.architecture`."""
        return {
            "filters": hp.Choice("filters", [32, 64, 128]),
            "num_residual_blocks": hp.Int("num_residual_blocks", 1, 3),
            "embedding_dim": hp.Choice("embedding_dim", [16, 32, 64]),
            "num_embeddings": hp.Choice("num_embeddings", [64, 128, 256, 512]),
            "decay": hp.Choice("decay", [0.95, 0.99, 0.995]),
            "commitment_cost": hp.Float("commitment_cost", 0.1, 1.0, sampling="log"),
        }

    def training(self, hp):
        """Return the searched options of `ImageBatches`; see `GuardedHyperModel.training`."""
        return {
            "batch_size": hp.Choice("batch_size", [32, 64, 128]),
            "flip": hp.Boolean("flip"),
            "shift": hp.Int("shift", 0, 2),
        }

    def make_model(self, architecture):
        """Return the `VQVAE2` of a dictionary of arguments, not compiled."""
        return VQVAE2(self.image_shape, num_levels=self.num_levels, **architecture)

    def datasets(self, data, validation_data, training):
        """Return the batches of a trial.

        Args:
            data: `ImageData`, an array `[N, H, W, C]`, or a pair `(images, labels)`.
            validation_data: the same.
            training: dictionary of options of `ImageBatches`.

        Returns:
            `ImageBatches` to train on, shuffled and augmented, and to validate on.
        """
        return (
            ImageBatches(data, shuffle=True, seed=self.execution_seed or 0, **training),
            ImageBatches(validation_data, training["batch_size"]),
        )

    def measures(self, model, logs):
        """Return the usage, the rate and the rate-distortion sum of the validation images."""
        if "val_reconstruction_mse" not in logs:  # An epoch that was not validated.
            return {}
        bits = sum(
            math.prod(shape) * math.log2(logs[f"val_{level}_perplexity"])
            for level, shape in zip(model.level_names, model.code_shapes, strict=True)
        )
        rate = bits / math.prod(self.image_shape)
        return {
            "val_codebook_usage": min(logs[f"val_{level}_usage"] for level in model.level_names),
            "val_bits_per_dim": rate,
            "val_rate_distortion": logs["val_reconstruction_mse"] + self.tradeoff * rate,
        }

    def check_result(self, model, epochs, logs):
        """Fail the trial if a level has collapsed; see `GuardedHyperModel.check_result`."""
        if epochs < self.collapse_epochs:
            return
        for name, shape, size in zip(
            model.level_names, model.code_shapes, model.num_embeddings, strict=True
        ):
            level = LevelUsage(
                name, shape, size, logs[f"val_{name}_usage"], logs[f"val_{name}_perplexity"]
            )
            if level.collapsed:
                raise keras_tuner.errors.FailedTrialError(
                    f"Collapsed: {name} has a perplexity of {level.perplexity:.1f} "
                    f"with {size} codes."
                )
