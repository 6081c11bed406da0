"""The command `extract-codes`, between the stages: the codes of the images go to disk."""

import time

import keras_vqvae2 as kv
from keras_vqvae2.cli.fitting import collapse_message, distribute, share
from keras_vqvae2.cli.flags import config_command
from keras_vqvae2.cli.progress import console, progress, tell
from keras_vqvae2.cli.run import SPLITS, begin, load_codes, load_split, require
from keras_vqvae2.cli.run_lock import locked
from keras_vqvae2.cli.run_models import load_vqvae
from keras_vqvae2.cli.tables import usage_table

# Between looks for the shards of other workers.
POLL_SECONDS = 0.5


@config_command("extract-codes", "--run-dir runs/photos --code-passes 4 --flip")
@distribute
def command(config, distribute):
    """Write the codes of the images to disk; goes on where an earlier call stopped."""
    require(config, "vqvae")  # before anything is imported that takes its time
    with locked(config, share(distribute, connect=False)) as workers:
        extract_codes(config, workers)
    tell(config, config.codes_dir, "train-prior")


def extract_codes(config, workers=None):
    """Write the codes of the images to disk, going on after a kill.

    Args:
        config: `Config`.
        workers: `processes.Workers`, each of which writes a part of the shards.

    Returns:
        A list of `LevelUsage` of the training codes, coarse to fine.

    Raises:
        ValueError: if stage 1 is missing, or the codes on disk are of other weights.
    """
    from keras_vqvae2.datasets import CodeManifest
    from keras_vqvae2.distribution.processes import Workers

    workers = workers or Workers()
    title = "The codes of the images go to disk"
    begin(config, title, needs=("vqvae",), is_chief=workers.is_chief)
    vqvae = load_vqvae(config)
    data = {split: load_split(config, split) for split in SPLITS}
    passes = pass_options(config)
    if workers.is_chief:
        config.save()
    for split in SPLITS:
        folder = config.codes_dir / split
        options = passes if split == "train" else {}
        with progress(f"codes of {split}") as update:
            kv.extract_codes(
                vqvae, data[split], folder, progress=update, part=workers.place, **options
            )
            # By the files, not by a connection: a worker may be killed and start again meanwhile.
            while not CodeManifest.load(folder).complete:
                time.sleep(POLL_SECONDS)
    levels = kv.evaluation.level_usage(load_codes(config, "train"))
    console().print(usage_table(levels))
    if message := collapse_message(levels):
        from rich.panel import Panel

        console().print(Panel(message, title="Collapse", style="bold red"))
    return levels


def pass_options(config):
    """Return the options of the passes over the training images, checked.

    Args:
        config: `Config`.

    Returns:
        Dictionary of arguments of `datasets.extract_codes`.

    Raises:
        ValueError: if they contradict one another.
    """
    from keras_vqvae2.datasets.extraction import augmentation_of_passes

    options = {**config.passes, **config.augmentation, "seed": config.seed}
    augmentation_of_passes(**options)
    return options
