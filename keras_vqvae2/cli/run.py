"""The parts of a run as its config describes them: its data and its models."""

import keras
import numpy as np

from keras_vqvae2.cli.config import FIXED, Config
from keras_vqvae2.cli.progress import console
from keras_vqvae2.datasets import CodeBatches, load
from keras_vqvae2.models import VQVAE2, HierarchicalPrior

SPLITS = ("train", "validation")


def begin(config, title, is_chief=True):
    """Start a stage: check and save the config, seed the backend, say what is being done.

    Args:
        config: `Config`.
        title: what is being done.
        is_chief: whether this process writes the run's files; others leave that to the chief.

    Raises:
        ValueError: if the run has a trained stage of another architecture.

    Example:

    ```python
    begin(config, "Stage 1: the VQ-VAE-2 learns the images")
    ```
    """
    if is_chief and config.file.exists():
        saved = Config.load(config.file)
        for stage, names in FIXED.items():
            folder = config.run_dir / stage
            for name in names if folder.exists() else ():
                if getattr(saved, name) != getattr(config, name):
                    raise ValueError(
                        f"`{name}` must stay {getattr(saved, name)!r}: {folder} was trained so. "
                        "Take another run directory, or remove that folder. "
                        f"Received: {name}={getattr(config, name)!r}"
                    )
    if is_chief:
        config.save()
    keras.utils.set_random_seed(config.seed)
    console.rule(title)


def load_split(config, split):
    """Load the images of a split.

    Args:
        config: `Config`.
        split: "train" or "validation", of which the config says which split of the dataset that is;
            or a split of the dataset by its own name.

    Returns:
        `ImageData`.

    Raises:
        ValueError: if the dataset or the split is not known.

    Example:

    ```python
    load_split(Config(), "validation").image_shape  # (32, 32, 3)
    ```
    """
    names = {"train": config.train_split, "validation": config.validation_split}
    size = config.image_size and (config.image_size, config.image_size)
    name = names.get(split, split)
    return load(config.dataset, name, data_dir=config.data_dir, image_size=size)


def load_codes(config, split, **options):
    """Open the codes of a split.

    Args:
        config: `Config`.
        split: "train" or "validation".
        **options: further arguments of `CodeBatches`.

    Returns:
        `CodeBatches`.

    Raises:
        ValueError: if the codes are missing, incomplete or of other weights.

    Example:

    ```python
    load_codes(config, "train", shuffle=True, seed=config.seed)
    ```
    """
    return CodeBatches(
        config.codes_dir / split, config.batch_size, with_labels=config.conditional, **options
    )


def check_learned_codes(directory, fingerprint, writes=True):
    """Refuse to go on with a prior, or a search for one, that has learned codes of other weights.

    Args:
        directory: folder of the prior; made, and marked with the fingerprint, if there is none.
        fingerprint: of the codes, see `CodeBatches`.
        writes: whether this process marks the folder; others leave that to the chief.

    Raises:
        ValueError: if the folder is marked with another fingerprint.

    Example:

    ```python
    check_learned_codes(config.prior_dir, codes.fingerprint)
    ```
    """
    file = directory / "codes_fingerprint.txt"
    if file.exists() and file.read_text() != fingerprint:
        raise ValueError(
            f"The prior in {directory} has learned codes of other weights. "
            "Remove that folder to train it anew."
        )
    if writes:
        directory.mkdir(parents=True, exist_ok=True)
        file.write_text(fingerprint)


def build_vqvae(config, image_shape):
    """Build the model of stage 1, untrained.

    Args:
        config: `Config`.
        image_shape: `(H, W, C)`.

    Returns:
        `VQVAE2`.

    Raises:
        ValueError: if the strides do not divide the image, or a field is out of its range.

    Example:

    ```python
    build_vqvae(Config.create("tiny"), (32, 32, 3)).summary()
    ```
    """
    return VQVAE2(
        image_shape=image_shape,
        filters=config.filters,
        num_residual_blocks=config.num_residual_blocks,
        residual_filters=config.residual_filters,
        num_levels=config.num_levels,
        embedding_dim=config.embedding_dim,
        num_embeddings=config.num_embeddings,
        decay=config.decay,
        commitment_cost=config.commitment_cost,
        condition_on_coarser=config.condition_on_coarser,
        reconstruction_loss=config.reconstruction_loss,
        quantizer_options={"metric": config.codebook_metric, "gradient": config.codebook_gradient},
    )


def build_prior(config, vqvae, num_classes):
    """Build the model of stage 2, untrained.

    Args:
        config: `Config`.
        vqvae: the `VQVAE2` whose codes it is to learn.
        num_classes: how many classes the data has; used if the config says `conditional`.

    Returns:
        `HierarchicalPrior`.

    Raises:
        ValueError: if the config says `conditional` and there are no classes.

    Example:

    ```python
    config = Config.create("tiny")
    priors = build_prior(config, build_vqvae(config, (32, 32, 3)), num_classes=None)
    ```
    """
    if config.conditional and num_classes is None:
        raise ValueError(
            f"`conditional` needs labels, and {config.dataset} has none. Received: conditional=True"
        )
    return HierarchicalPrior.from_vqvae(
        vqvae,
        filters=config.prior_filters,
        num_blocks=config.prior_blocks,
        num_classes=num_classes if config.conditional else None,
        dropout=config.prior_dropout,
        two_stream=config.prior_two_stream,
        num_attention_blocks=(config.prior_attention_blocks, *[0] * (vqvae.num_levels - 1)),
        num_conditioning_blocks=config.prior_conditioning_blocks,
        label_smoothing=config.prior_label_smoothing,
        dtype=config.prior_precision,
    )


def load_vqvae(config):
    """Load the trained model of stage 1.

    Args:
        config: `Config`.

    Returns:
        `VQVAE2`.

    Raises:
        ValueError: if stage 1 is missing.

    Example:

    ```python
    load_vqvae(Config.load("runs/emoji32/config.json"))
    ```
    """
    return _load_model(config.vqvae_file, "train-vqvae")


def load_prior(config):
    """Load the trained model of stage 2.

    Args:
        config: `Config`.

    Returns:
        `HierarchicalPrior`.

    Raises:
        ValueError: if stage 2 is missing.

    Example:

    ```python
    load_prior(Config.load("runs/emoji32/config.json"))
    ```
    """
    return _load_model(config.prior_file, "train-prior")


def example_labels(config, num_classes, count, label=None):
    """Return the classes of images to generate.

    Args:
        config: `Config`.
        num_classes: of the prior; None if it is unconditional.
        count: how many images.
        label: name or number of the class of all; by default the classes take turns.

    Returns:
        int32 array `[count]`, or None for an unconditional prior.

    Raises:
        ValueError: if the label is not known, or the prior is unconditional.

    Example:

    ```python
    example_labels(config, num_classes=9, count=64, label="Flags")
    ```
    """
    if label is None:
        return None if num_classes is None else np.arange(count, dtype=np.int32) % num_classes
    if num_classes is None:
        raise ValueError(
            "`label` must be left out: the prior was trained without --conditional. "
            f"Received: label={label!r}"
        )
    names = load_split(config, "validation").label_names or ()
    numbers = [str(number) for number in range(num_classes)]
    for known in (names, numbers):
        if label in known:
            return np.full(count, list(known).index(label), np.int32)
    raise ValueError(
        f"`label` must be one of {', '.join(names) or f'0 to {num_classes - 1}'}. "
        f"Received: label={label!r}"
    )


def _load_model(file, command):
    if not file.exists():
        raise ValueError(
            f"{file} is missing: run `keras-vqvae2 {command} --run-dir {file.parents[1]}` first."
        )
    return keras.saving.load_model(file)
