"""The parts of a run as its config describes them: its data and its models."""

import keras_vqvae2 as kv
from keras_vqvae2 import files
from keras_vqvae2.cli.config import Config, flat
from keras_vqvae2.cli.progress import console

SPLITS = ("train", "validation")
# What a stage leaves behind depends on these parts: it can be taken up again with the same only.
FIXED = {"vqvae2": ("data", "splits", "vqvae"), "prior": ("prior", "average", "codes")}
# But for what changes no result.
FREE = {"workers"}
# Of more classes, as of numbers that are no classes at all, a prior learns by none unless asked to.
MOST_CLASSES = 1_000
# The guidance of samples where a config has none: a small prior's are recognised as often as real
# images by then.
GUIDANCE = 4.0
# The command that leaves the model of a stage.
COMMANDS = {"vqvae": "train-vqvae", "prior": "train-prior"}


def begin(config, title, needs=(), is_chief=True):
    """Start a command: check what it builds on, seed the backend, say what is being done.

    It writes nothing: a command saves the config when all its inputs have turned out well.

    Args:
        config: `Config`.
        title: what is being done.
        needs: the stages that must be trained, "vqvae" and "prior".
        is_chief: whether this process writes the run's files; others leave that to the chief.

    Raises:
        ValueError: if a stage is missing, or the run has one of another architecture.

    Example:

    ```python
    begin(config, "Stage 1: the VQ-VAE-2 learns the images")
    ```
    """
    require(config, *needs)
    if is_chief and config.file.exists():
        _check_fixed(config, Config.load(config.file))
    import keras

    keras.utils.set_random_seed(config.seed)
    console().rule(title)


def require(config, *stages):
    """Refuse to go on without some trained stages.

    Args:
        config: `Config`.
        *stages: "vqvae", "prior".

    Raises:
        ValueError: if one is missing; it names the command that trains it.
    """
    for stage in stages:
        _file(config, stage)


def _file(config, stage):
    """The file of a trained stage, or an error that names the command that makes it."""
    file = {"vqvae": config.vqvae_file, "prior": config.prior_file}[stage]
    if not file.exists():
        raise ValueError(
            f"{file} is missing: run `keras-vqvae2 {COMMANDS[stage]} --run-dir {config.run_dir}` "
            "first."
        )
    return file


def _check_fixed(config, saved):
    """Refuse to mix two architectures in one run."""
    for folder, parts in FIXED.items():
        folder = config.run_dir / folder
        if not folder.exists():
            continue
        for part in parts:
            before, now = (flat({part: each[part]}) for each in (saved, config))
            for name in now:
                if name not in FREE and now[name] != before[name]:
                    raise ValueError(
                        f"`{name}` must stay {before[name]!r}: {folder} was trained so. "
                        "Take another run directory, or remove that folder. "
                        f"Received: {name}={now[name]!r}"
                    )


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
    name = dict(config.splits).get(split, split)
    return kv.datasets.load(split=name, data_dir=config.data_dir, **config.data)


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
    with_labels = config.codes.with_labels is not False
    options = {"with_labels": with_labels, **options}
    return kv.CodeBatches(config.codes_dir / split, config.batch_size, **options)


def learns_classes(config, num_classes):
    """Return whether a prior is to learn the codes of each class.

    Args:
        config: `Config`.
        num_classes: how many classes the data has; None for none.
    """
    if config.codes.with_labels is None:
        return num_classes is not None and 2 <= num_classes <= MOST_CLASSES
    return config.codes.with_labels


def check_learned_codes(directory, fingerprint):
    """Refuse to go on with a prior, or a search for one, that has learned codes of other weights.

    Args:
        directory: folder of the prior.
        fingerprint: of the codes, see `CodeBatches`.

    Returns:
        A function without arguments that marks the folder with the fingerprint.

    Raises:
        ValueError: if the folder is marked with another fingerprint.

    Example:

    ```python
    mark = check_learned_codes(config.prior_dir, codes.fingerprint)
    ```
    """
    file = directory / "codes_fingerprint.txt"
    if file.exists() and file.read_text() != fingerprint:
        raise ValueError(
            f"The prior in {directory} has learned codes of other weights. "
            "Remove that folder to train it anew."
        )

    def mark():
        directory.mkdir(parents=True, exist_ok=True)
        files.write_text(file, fingerprint)

    return mark


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

    file = _file(config, stage)
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


def frequent_classes(config, generator):
    """Return the classes of a run's training codes, the most frequent first.

    Args:
        config: `Config`.
        generator: the run's `ImageGenerator`.

    Returns:
        int array `[num_classes]`; in their own order where no codes tell; empty without classes.

    Example:

    ```python
    most_frequent, *_ = frequent_classes(config, load_generator(config))
    ```
    """
    import numpy as np

    frequencies = np.zeros(generator.num_classes or 0)
    if len(frequencies) and (config.codes_dir / "train").exists():
        codes = load_codes(config, "train")
        for index in range(len(codes) if codes.num_classes else 0):
            frequencies += np.bincount(codes[index][1], minlength=len(frequencies))
    return np.argsort(-frequencies, kind="stable")


def one_label(priors, count, label):
    """Return the class of images that are all of one.

    Args:
        priors: the `HierarchicalPrior`, which knows the names of its classes.
        count: how many images.
        label: name or number of the class.

    Returns:
        int32 array `[count]`.

    Raises:
        ValueError: if the label is not known, or the prior is unconditional.

    Example:

    ```python
    one_label(priors, count=64, label="flag")
    ```
    """
    import numpy as np

    if priors.num_classes is None:
        raise ValueError(
            "`label` must be left out: the prior was trained without --conditional. "
            f"Received: label={label!r}"
        )
    names = priors.label_names or ()
    numbers = [str(number) for number in range(priors.num_classes)]
    for known in (names, numbers):
        if label in known:
            return np.full(count, list(known).index(label), np.int32)
    raise ValueError(
        f"`label` must be one of {', '.join(names) or f'0 to {priors.num_classes - 1}'}. "
        f"Received: label={label!r}"
    )


def spread(data, count):
    """Return the places of some of a dataset's images, evenly spread: neighbours are often alike.

    Args:
        data: what has a length.
        count: how many at most.

    Returns:
        int array `[count]`.

    Example:

    >>> spread("abcdefghi", 3)
    array([0, 4, 8])
    """
    import numpy as np

    return np.linspace(0, len(data) - 1, min(count, len(data))).astype(int)


def save_picture(path, picture):
    """Write a picture, and say so.

    Args:
        path: of the file, in the run's folder or where the user wants it.
        picture: uint8 `[H, W, C]`.
    """
    from keras_vqvae2 import drawing

    drawing.save(path, picture)
    console().print(f"wrote {path}", markup=False)
