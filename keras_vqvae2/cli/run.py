"""A run: what a command needs before it begins, and the run's images and codes."""

import keras_vqvae2 as kv
from keras_vqvae2 import files
from keras_vqvae2.cli.config import Config, flat
from keras_vqvae2.cli.progress import console

SPLITS = ("train", "validation")
# What a stage leaves behind depends on these parts: it can be taken up again with the same only.
FIXED = {"vqvae2": ("data", "splits", "vqvae"), "prior": ("prior", "average", "codes")}
# But for what changes no result.
FREE = {"workers"}
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
        stage_file(config, stage)


def stage_file(config, stage):
    """Return the file of a trained stage.

    Args:
        config: `Config`.
        stage: "vqvae" or "prior".

    Returns:
        `pathlib.Path`.

    Raises:
        ValueError: if there is none; it names the command that makes it.
    """
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
