"""The models of a run as its config describes them, untrained and trained."""

import keras_vqvae2 as kv
from keras_vqvae2 import files
from keras_vqvae2.cli.run import COMMANDS, stage_file

# Of more classes, as of numbers that are no classes at all, a prior learns by none unless asked to.
MOST_CLASSES = 1_000
# The guidance of samples where a config has none: a small prior's are recognised nearly as often as
# real images by then.
GUIDANCE = 5.0


def learns_classes(config, num_classes):
    """Return whether a prior is to learn the codes of each class.

    Args:
        config: `Config`.
        num_classes: how many classes the data has; None for none.
    """
    if config.codes.with_labels is None:
        return num_classes is not None and 2 <= num_classes <= MOST_CLASSES
    return config.codes.with_labels


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
    return kv.VQVAE2(image_shape, **config.vqvae)


def build_prior(config, vqvae, num_classes, label_names=None):
    """Build the model of stage 2, untrained.

    Args:
        config: `Config`.
        vqvae: the `VQVAE2` whose codes it is to learn.
        num_classes: how many classes the data has; used if `learns_classes`.
        label_names: their names, or None.

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
    conditional = learns_classes(config, num_classes)
    if conditional and num_classes is None:
        raise ValueError(
            f"`conditional` needs labels, and {config.data.name} has none. "
            "Received: conditional=True"
        )
    options = dict(config.prior)
    by_level = "num_attention_blocks"  # A level that the config leaves out has none.
    options[by_level] += (0,) * (vqvae.num_levels - len(options[by_level]))
    if len(options["dropout"]) == 1:
        (options["dropout"],) = options["dropout"]
    if conditional:
        options |= {"num_classes": num_classes, "label_names": label_names}
    else:
        options["label_dropout"] = 0.0
    return kv.HierarchicalPrior.from_vqvae(vqvae, **options)


def load_vqvae(config):
    """Load the trained model of stage 1.

    Args:
        config: `Config`.

    Returns:
        `VQVAE2`.

    Raises:
        ValueError: if stage 1 is missing, or its file is damaged.

    Example:

    ```python
    load_vqvae(Config.load("runs/emoji32/config.json"))
    ```
    """
    return _load_model(config, "vqvae")


def load_prior(config):
    """Load the trained model of stage 2.

    Args:
        config: `Config`.

    Returns:
        `HierarchicalPrior`.

    Raises:
        ValueError: if stage 2 is missing, or its file is damaged.

    Example:

    ```python
    load_prior(Config.load("runs/emoji32/config.json"))
    ```
    """
    return _load_model(config, "prior")


def _load_model(config, stage):
    from keras_vqvae2.files.model_files import load_model

    file = stage_file(config, stage)
    try:
        files.check_archive(file)
    except files.DamagedFileError as error:
        raise ValueError(
            f"{error} Remove it and run `keras-vqvae2 {COMMANDS[stage]} --run-dir "
            f"{config.run_dir}`, which makes it again of the last checkpoint."
        ) from error
    return load_model(file)


def load_generator(config):
    """Load both trained models as one, which samples as the config says.

    Args:
        config: `Config`.

    Returns:
        `ImageGenerator`.

    Raises:
        ValueError: if a stage is missing, or the prior cannot be sampled so.
    """
    vqvae, prior = load_vqvae(config), load_prior(config)
    sampling = {name: value for name, value in dict(config.sampling).items() if value is not None}
    if prior.labels_optional:
        sampling.setdefault("guidance", GUIDANCE)
    return kv.ImageGenerator(vqvae, prior, sampling)
