"""The options of a run, in parts named for what they configure.

The fields of a part are the arguments of what it is passed on to: `VQVAE2(image_shape,
**config.vqvae)`. Each is a flag of the command line too, under its own name or that given here.
"""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Part(BaseModel):
    """A group of options, which `**part` passes on whole."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)
    flag_form: ClassVar[str] = "{}"  # of the fields that name no flag of their own

    def keys(self) -> Iterable[str]:
        """Return the names of the options."""
        return type(self).model_fields

    def __getitem__(self, name: str) -> Any:
        return self.model_dump()[name]


def option(default: Any, help: str, flag: str | None = None, **rules: Any) -> Any:
    """Return a field of a part.

    Args:
        default: of the field.
        help: what the command line says of it.
        flag: that sets it, with underscores; None for that of the part's `flag_form`.
        **rules: of `pydantic.Field`.

    Returns:
        `pydantic.fields.FieldInfo`.
    """
    return Field(default, description=help, json_schema_extra={"flag": flag}, **rules)


def _repeated(times: int) -> BeforeValidator:
    """Takes a number for a tuple of so many of it, and a list, as JSON has it, for a tuple."""

    def convert(value: Any) -> Any:
        value = (value,) * times if isinstance(value, (int, float)) else value
        return tuple(value) if isinstance(value, list) else value

    return BeforeValidator(convert)


Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0)]


class DataOptions(Part, title="Data"):
    """Of `datasets.load`."""

    name: str = option(
        "emoji32",
        "emoji32, fashion_mnist, a folder of images, or a name of TensorFlow Datasets.",
        "dataset",
    )
    image_size: Annotated[tuple[Positive, Positive] | None, _repeated(2)] = option(
        None, "Height and width to crop and resize to: folders, TensorFlow Datasets."
    )
    image_key: str | None = option(None, "Name of the image in TensorFlow Datasets, as 'img'.")
    label_key: str | None = option(
        None, "Name of the label there, as 'fine_label'; of emoji32 kind, group or style."
    )
    skip_damaged: bool = option(False, "Leave out damaged pictures of a folder, and list them.")
    workers: Positive | None = option(
        None, "Threads that decode pictures of a folder; by default as many as there are cores."
    )


class Splits(Part, title="Data"):
    """Which splits of the dataset are which."""

    flag_form = "{}_split"
    train: str = option("train", "Split to learn from.")
    validation: str = option(
        "validation", "Split to judge by, as 'train[90%:]' beside 'train[:90%]'."
    )


class AugmentationOptions(Part, title="Data"):
    """Of `ImageBatches` and `extract_codes`."""

    flip: bool = option(False, "Mirror training images at random.")
    shift: Count = option(0, "Move training images by up to so many pixels.")


class PassOptions(Part, title="Data"):
    """Of `extract_codes` alone."""

    flag_form = "code_{}"
    noise: Share = option(
        0.0, "Noise, in grey levels of 255, on the images of all passes but the first."
    )
    passes: Positive = option(
        1, "Passes over the augmented training images whose codes stage 2 learns."
    )


class QuantizerOptions(Part, title="VQ-VAE-2"):
    """Of each `VectorQuantizer`."""

    flag_form = "codebook_{}"
    metric: str = option("cosine", "The nearest code's: or euclidean.")
    gradient: str = option("straight_through", "What passes the quantizers backwards: or rotation.")


class VQVAEOptions(Part, title="VQ-VAE-2"):
    """Of `VQVAE2`."""

    filters: Positive = option(64, "Channels of the features.")
    num_residual_blocks: Count = option(2, "Residual blocks in a stack.")
    residual_filters: Positive | None = option(32, "Channels inside a residual block.")
    num_levels: Positive = option(2, "Levels of codes.")
    embedding_dim: Positive = option(64, "Length of a code vector.")
    num_embeddings: Positive = option(256, "Codes in each codebook.")
    decay: Share = option(0.99, "Decay of the codebooks' moving averages.")
    commitment_cost: Share = option(0.25, "Weight of the commitment loss.")
    condition_on_coarser: bool = option(
        True, "Quantize what a finer level adds to the decoded coarser ones."
    )
    reconstruction_loss: str = option(
        "mse", "mse, l1, or discretized_logistic for a likelihood of pixels."
    )
    upsampling: str = option("nearest", "How decoders upsample: nearest, subpixel or transposed.")
    clipping: str = option("soft", "How pixels end at black and white: soft, or hard.")
    quantizer_options: QuantizerOptions


class VQVAETraining(Part, title="VQ-VAE-2"):
    """Of stage 1."""

    epochs: Positive | None = option(
        None, "Epochs of stage 1; left out, enough for about 1,450 steps.", "vqvae_epochs"
    )
    decoder_epochs: Count = option(
        1, "Epochs after those in which the decoder learns alone, of fixed codes."
    )
    decoder_replaced: Share = option(
        0.1,
        "Share of the codes that near neighbours stand for meanwhile, as of a prior's near misses.",
    )
    learning_rate: Share = option(2e-3, "Learning rate of stage 1 (Adam).", "vqvae_learning_rate")


class PriorOptions(Part, title="Prior"):
    """Of `HierarchicalPrior`."""

    flag_form = "prior_{}"
    filters: Positive = option(64, "Channels of each PixelCNN.")
    num_blocks: Positive = option(6, "Gated blocks of each PixelCNN.", "prior_blocks")
    dropout: Annotated[tuple[Share, ...], _repeated(1)] = option(
        (0.1,), "Dropout in each PixelCNN; a config may have one a level, coarse to fine."
    )
    two_stream: bool = option(
        False, "Two streams in each PixelCNN: no blind spot, twice the weights."
    )
    num_attention_blocks: Annotated[tuple[Count, ...], _repeated(1)] = option(
        (2,),
        "Causal attention layers among the blocks of the coarsest level.",
        "prior_attention_blocks",
    )
    num_conditioning_blocks: Count = option(
        2,
        "Residual blocks on the coarser codes that a PixelCNN is given.",
        "prior_conditioning_blocks",
    )
    label_smoothing: Share = option(0.0, "Share of the training target spread over all codes.")
    label_dropout: Share = option(
        0.1, "Of a prior by class: share of the labels left out, so that samples can be guided."
    )
    rematerialize: bool = option(
        False,
        "Train a long prior in less memory and more time: what gradients need is computed again.",
    )
    dtype: str = option(
        "float32",
        "Of the training: or mixed_bfloat16. The saved prior is float32.",
        "prior_precision",
    )


class CodeOptions(Part, title="Prior"):
    """Of `CodeBatches`."""

    with_labels: bool | None = option(
        None, "Learn the codes of each class; left out, if there are 2 to 1,000.", "conditional"
    )
    balance: float = option(
        0.0, "Above 0: images of rare classes are drawn more often; 1: all alike.", ge=0, le=1
    )


class AverageOptions(Part, title="Prior"):
    """Of the prior's optimizer: the average that it keeps of the weights."""

    ema_momentum: Share = option(
        0.0, "Momentum of a moving average of the weights, which is what is kept.", "prior_ema"
    )


class PriorTraining(Part, title="Prior"):
    """Of stage 2."""

    epochs: Positive | None = option(
        None, "Epochs of stage 2 at most; left out, enough for about 2,200 steps.", "prior_epochs"
    )
    learning_rate: Share = option(2e-3, "Learning rate of stage 2 (Adam).", "prior_learning_rate")
    patience: Positive = option(
        5, "Epochs without a better validation likelihood that end stage 2."
    )
    allow_collapse: bool = option(False, "Train the prior of a collapsed level too.")


class SamplingOptions(Part, title="Samples"):
    """Of `generate` and `complete`, and what is recommended with an exported model."""

    temperature: float = option(1.0, "Below 1: the likelier codes more often.", gt=0)
    top_k: Positive | None = option(None, "Draw among the k likeliest codes only.")
    top_p: float | None = option(0.9, "Draw among the likeliest codes up to this sum.", gt=0, le=1)
    guidance: Share | None = option(
        None, "Above 1: the class clearer. Left out, 4 of a prior by class with label dropout."
    )
