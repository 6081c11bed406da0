"""What the trainings of both stages, and extraction between them, have in common."""

import click

from keras_vqvae2.cli.interruption import after_the_step
from keras_vqvae2.cli.progress import console

# Of the images of a batch, TensorBoard shows a few.
SHOWN_IMAGES = 16

distribute = click.option(
    "--distribute", help="Share the work: mirrored, multiworker or data-parallel."
)


def share(kind, connect=True):
    """Take part in work of several devices or processes; the chief alone speaks.

    Args:
        kind: of `processes.start`, or None.
        connect: whether the processes are to be connected; extraction goes without.

    Returns:
        `processes.Workers`.

    Raises:
        ValueError: if the kind is not known, or does not fit backend or environment.
    """
    from keras_vqvae2.distribution import processes

    workers = processes.start(kind) if connect else processes.apart(kind)
    console().quiet = not workers.is_chief
    return workers


def epochs_of(steps, batches):
    """Return how many epochs come nearest to a number of steps.

    Args:
        steps: of the whole training.
        batches: what has the length of an epoch.

    Returns:
        int, at least 1.

    Example:

    >>> epochs_of(1200, range(100))
    12
    """
    return max(1, round(steps / len(batches)))


def adam(config, rate, steps, **options):
    """Return the optimizer of a training.

    Args:
        config: `Config`.
        rate: the learning rate, at first if the config lets it fall.
        steps: of the whole training.
        **options: of `keras.optimizers.Adam`.

    Returns:
        `keras.optimizers.Adam`.
    """
    import keras

    if config.cosine_decay:
        # A short training has most to learn by far: with a rate that falls from the first step on
        # it learns less in as many. A warm-up to where it starts from is what holds it.
        held = min(int(config.steady * steps), steps - 1)
        rate = keras.optimizers.schedules.CosineDecay(
            rate, steps - held, warmup_target=rate if held else None, warmup_steps=held
        )
    return keras.optimizers.Adam(rate, **options)


def fit(config, model, batches, directory, *, workers, **options):
    """Train a model of a run; a signal ends it after the step, when its state is saved.

    Args:
        config: `Config`.
        model: compiled model.
        batches: `ImageBatches` or `CodeBatches`.
        directory: folder of the checkpoints.
        workers: `processes.Workers`.
        **options: of `fit_resumable`.

    Returns:
        A list of dicts: the logs of every epoch so far.
    """
    from keras_vqvae2.training.resume import fit_resumable

    with after_the_step(workers) as interrupted:
        return fit_resumable(
            model,
            batches,
            directory,
            workers=workers,
            checkpoint_steps=config.checkpoint_steps,
            interrupted=interrupted,
            **options,
        )


def save_model(model, file, workers):
    """Save a trained model, which all workers may then load.

    Args:
        model: Keras model.
        file: path that ends with `.keras`.
        workers: `processes.Workers`; the chief alone writes.
    """
    from keras_vqvae2 import files
    from keras_vqvae2.distribution.processes import peers

    if workers.is_chief:
        files.write_archive(file, model.save)
    with peers(workers):
        workers.wait()


def collapse_message(levels):
    """Return what is to be said of the collapsed ones among some levels.

    Args:
        levels: list of `LevelUsage`.

    Returns:
        A few sentences; empty if none has collapsed.
    """
    names = [level.name for level in levels if level.collapsed]
    if not names:
        return ""
    return (
        f"Collapsed: {', '.join(names)}. So few of its codes are in use that a prior has next to "
        "nothing to learn there. Train stage 1 longer, or with fewer levels or codes; "
        "--allow-collapse trains the prior all the same."
    )
