"""The search spaces of stage 2: one PixelCNN, or one for each level."""

import math

from keras_vqvae2 import checks
from keras_vqvae2.datasets import CodeBatches
from keras_vqvae2.models import HierarchicalPrior, PixelCNN
from keras_vqvae2.tuning.guarded import GuardedHyperModel


class _HyperPrior(GuardedHyperModel):
    """What is searched of a PixelCNN, whichever grids it stands over."""

    def __init__(self, num_codes, num_classes, image_shape=None, **kwargs):
        super().__init__(**kwargs)
        self.num_codes = num_codes
        self.num_classes = _optional(checks.positive_int, "num_classes", num_classes)
        self.image_shape = _optional(checks.sizes, "image_shape", image_shape, "HWC")

    @property
    def objectives(self):
        """The table of objectives as a dictionary."""
        names = ["val_bits_per_code", *(["val_bits_per_dim"] if self.image_shape else [])]
        return dict.fromkeys(names, "min")

    def architecture(self, hp):
        """Return the searched arguments of a PixelCNN; see `GuardedHyperModel.architecture`."""
        return {
            "filters": hp.Choice("filters", [32, 64, 96, 128]),
            "num_blocks": hp.Int("num_blocks", 2, 8, step=2),
            "dropout": hp.Float("dropout", 0.0, 0.4, step=0.1),
        }

    def training(self, hp):
        """Return the searched size of a batch; see `GuardedHyperModel.training`."""
        return {"batch_size": hp.Choice("batch_size", [32, 64, 128])}

    def datasets(self, data, validation_data, training):
        """Return the data of a trial.

        Args:
            data: what the model's `fit` takes: arrays as they are, or `CodeBatches`, which are
                opened anew, shuffled, with the trial's batch size.
            validation_data: what the model's `fit` takes.
            training: dictionary with `"batch_size"`.

        Returns:
            Data to train on, and to validate on.
        """
        if isinstance(data, CodeBatches):
            data = CodeBatches(
                data.directory,
                training["batch_size"],
                shuffle=True,
                seed=self.execution_seed or 0,
                with_labels=data.with_labels,
            )
        return data, validation_data

    def measures(self, model, logs):
        """Return the bits an image dimension, where the shape of the images is known."""
        if self.image_shape is None or "val_bits_per_code" not in logs:
            return {}
        bits = logs["val_bits_per_code"] * self.num_codes
        return {"val_bits_per_dim": bits / math.prod(self.image_shape)}


def _optional(check, name, value, *rule):
    """The value, checked unless it is None."""
    return None if value is None else check(name, value, *rule)


class HyperPixelCNN(_HyperPrior):
    """A search space of `PixelCNN`s over one grid of codes, and of how they are trained.

    | searched | values |
    |---|---|
    | `filters` | 32, 64, 96, 128 |
    | `num_blocks` | 2, 4, 6, 8 |
    | `dropout` | 0 to 0.4, in steps of 0.1 |
    | `learning_rate` | 3e-4 to 3e-3, by its logarithm |
    | `batch_size` | 32, 64, 128 |

    | objective | better | what it is on the validation codes |
    |---|---|---|
    | `val_bits_per_code` | small | negative log-likelihood of a code, in bits |
    | `val_bits_per_dim` | small | that of a grid over the image's `H * W * C` dimensions |

    Args:
        code_shape: the grid `(H, W)`.
        num_embeddings: `K`, the number of codes.
        context_shape: the grid of the context; None for no context.
        num_classes: the number of class labels; None for no labels.
        context_num_embeddings: the number of codes of the context; None for `num_embeddings`.
        **kwargs: of `GuardedHyperModel`; `image_shape`, `(H, W, C)` of the images that the codes
            stand for, is needed for `val_bits_per_dim`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> import keras_tuner
    >>> space = HyperPixelCNN(code_shape=(4, 4), num_embeddings=16, max_memory=500)
    >>> model = space.build(keras_tuner.HyperParameters())
    >>> model.filters, model.num_blocks
    (32, 2)
    """

    def __init__(
        self,
        code_shape,
        num_embeddings,
        context_shape=None,
        num_classes=None,
        *,
        context_num_embeddings=None,
        **kwargs,
    ):
        self.code_shape = checks.sizes("code_shape", code_shape, "HW")
        super().__init__(math.prod(self.code_shape), num_classes, **kwargs)
        self.num_embeddings = checks.positive_int("num_embeddings", num_embeddings)
        self.context_shape = _optional(checks.sizes, "context_shape", context_shape, "HW")
        self.context_num_embeddings = _optional(
            checks.positive_int, "context_num_embeddings", context_num_embeddings
        )

    def make_model(self, architecture):
        """Return the `PixelCNN` of a dictionary of arguments, not compiled."""
        return PixelCNN(
            self.code_shape,
            self.num_embeddings,
            context_shape=self.context_shape,
            context_num_embeddings=self.context_num_embeddings,
            num_classes=self.num_classes,
            **architecture,
        )


class HyperHierarchicalPrior(_HyperPrior):
    """The search space of `HyperPixelCNN`, with one choice for all levels of a hierarchy.

    The levels of a `HierarchicalPrior` share no weights, and their bits add up, so each could be
    searched alone by a `HyperPixelCNN`. But they are trained by one `fit`: one learning rate, one
    size of a batch, one epoch at which the sum is best. So what is trained together is searched
    together, and the winner's options are those of one training.

    Args:
        code_shapes: grids `(H_l, W_l)` of the levels, coarse to fine.
        num_embeddings: the number of codes, of all levels or one a level.
        num_classes: the number of class labels; None for an unconditional prior.
        **kwargs: `image_shape` as of `HyperPixelCNN`, and those of `GuardedHyperModel`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> import keras_tuner
    >>> space = HyperHierarchicalPrior(((2, 2), (4, 4)), num_embeddings=16)
    >>> model = space.build(keras_tuner.HyperParameters())
    >>> [(prior.filters, prior.num_blocks) for prior in model.level_priors]
    [(32, 2), (32, 2)]
    """

    def __init__(self, code_shapes, num_embeddings, num_classes=None, **kwargs):
        if not isinstance(code_shapes, (tuple, list)) or not code_shapes:
            raise ValueError(
                f"`code_shapes` must be one grid a level. Received: code_shapes={code_shapes!r}"
            )
        self.code_shapes = tuple(checks.sizes("code_shapes", grid, "HW") for grid in code_shapes)
        super().__init__(sum(map(math.prod, self.code_shapes)), num_classes, **kwargs)
        for size in checks.per_level("num_embeddings", num_embeddings, len(code_shapes)):
            checks.positive_int("num_embeddings", size)
        self.num_embeddings = num_embeddings

    def make_model(self, architecture):
        """Return the `HierarchicalPrior` of a dictionary of arguments, not compiled."""
        return HierarchicalPrior.from_code_shapes(
            self.code_shapes, self.num_embeddings, num_classes=self.num_classes, **architecture
        )
