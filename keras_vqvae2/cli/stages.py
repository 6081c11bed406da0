"""The training stages of a run, each from its config and the files of the stages before.

Each takes `workers`, of `workers.start`, where several devices or processes share the work;
processes share the run directory. The chief alone writes what all of them would write alike.
"""

import time

import keras
from rich.panel import Panel

from keras_vqvae2.callbacks import CodebookUsage, ReconstructionImages, SampleImages
from keras_vqvae2.cli.progress import EpochProgress, console, progress
from keras_vqvae2.cli.results import generate, reconstruct, write_report
from keras_vqvae2.cli.run import (
    SPLITS,
    begin,
    build_prior,
    build_vqvae,
    check_learned_codes,
    example_labels,
    load_codes,
    load_split,
    load_vqvae,
)
from keras_vqvae2.cli.tables import usage_table
from keras_vqvae2.datasets import CodeManifest, ImageBatches, extract_codes
from keras_vqvae2.distribution.processes import Workers, data_options, peers
from keras_vqvae2.evaluation.report import level_usage
from keras_vqvae2.models import HierarchicalPrior
from keras_vqvae2.training.resume import fit_resumable

# Of these, TensorBoard shows a few: a picture an epoch, and the usage on what one batch can use.
SHOWN_IMAGES = 16
# Where the config names no epochs. Steps, so that data sets of any size take the same few minutes.
VQVAE_STEPS = 1200
PRIOR_STEPS = 800
# Between looks for the shards of other workers.
POLL_SECONDS = 0.5
ONE_DEVICE = Workers()


def train_vqvae(config, workers=ONE_DEVICE):
    """Stage 1: train the VQ-VAE-2 on the images, going on from an earlier call.

    Args:
        config: `Config`.
        workers: `workers.Workers`.

    Returns:
        The trained `VQVAE2`, saved as `vqvae2/vqvae2_final.keras`.

    Raises:
        ValueError: if the data cannot be loaded, or the run holds another architecture.
    """
    begin(config, "Stage 1: the VQ-VAE-2 learns the images", workers.is_chief)
    data = {split: load_split(config, split) for split in SPLITS}
    batches = ImageBatches(
        data["train"],
        config.batch_size,
        shuffle=True,
        seed=config.seed,
        flip=config.flip,
        shift=config.shift,
        **data_options(),
    )
    epochs = config.vqvae_epochs or _epochs(VQVAE_STEPS, batches)
    with workers.scope():
        vqvae = build_vqvae(config, data["train"].image_shape)
        rate = _learning_rate(config, config.vqvae_learning_rate, epochs * len(batches))
        vqvae.compile(optimizer=keras.optimizers.Adam(rate))
    shown = {
        "reconstruction_mse": "error {:.4f}".format,
        "val_reconstruction_mse": "validation {:.4f}".format,
        **{f"{name}_usage": f"{name} {{:.0%}}".format for name in vqvae.level_names},
    }
    callbacks = [EpochProgress(shown)]
    if config.tensorboard and workers.is_chief:
        logs = config.run_dir / "logs" / "vqvae2"
        images = data["validation"].images[: config.batch_size]
        callbacks += [
            keras.callbacks.TensorBoard(logs, write_graph=False),
            ReconstructionImages(logs, images[:SHOWN_IMAGES]),
            CodebookUsage(logs, images),
        ]
    options = {
        "validation_data": ImageBatches(data["validation"], config.batch_size, **data_options()),
        "callbacks": callbacks,
        "workers": workers,
    }
    history = fit_resumable(vqvae, batches, config.vqvae_dir, epochs=epochs, **options)
    if config.decoder_epochs:
        with workers.scope():
            vqvae.fix_codes()
            rate = _learning_rate(
                config, config.vqvae_learning_rate / 2, config.decoder_epochs * len(batches)
            )
            vqvae.compile(optimizer=keras.optimizers.Adam(rate))
        # Of the codes as they are after so many epochs, and no other.
        directory = config.vqvae_dir / f"decoder_after_{len(history)}"
        fit_resumable(vqvae, batches, directory, epochs=config.decoder_epochs, **options)
        with workers.scope():
            vqvae.fix_codes(False)
            vqvae.compile(optimizer=keras.optimizers.Adam(config.vqvae_learning_rate))
            vqvae.optimizer.build(vqvae.trainable_variables)
    _save(vqvae, config.vqvae_file, workers)
    return vqvae


def extract(config, workers=ONE_DEVICE):
    """Between the stages: write the codes of the images to disk, going on after a kill.

    Args:
        config: `Config`.
        workers: `workers.Workers`, each of which writes a part of the shards.

    Returns:
        A list of `LevelUsage` of the training codes, coarse to fine.

    Raises:
        ValueError: if stage 1 is missing, or the codes on disk are of other weights.
    """
    begin(config, "The codes of the images go to disk", workers.is_chief)
    vqvae = load_vqvae(config)
    augmentation = {
        "passes": config.code_passes,
        "flip": config.flip,
        "shift": config.shift,
        "noise": config.code_noise,
        "seed": config.seed,
    }
    for split in SPLITS:
        with progress(f"codes of {split}") as update:
            extract_codes(
                vqvae,
                load_split(config, split),
                config.codes_dir / split,
                progress=update,
                part=workers.place,
                **(augmentation if split == "train" else {}),
            )
            # By the files, not by a connection: a worker may be killed and start again meanwhile.
            while not CodeManifest.load(config.codes_dir / split).complete:
                time.sleep(POLL_SECONDS)
    levels = level_usage(load_codes(config, "train"))
    console.print(usage_table(levels))
    if collapsed := [level.name for level in levels if level.collapsed]:
        console.print(Panel(_collapse_message(collapsed), title="Collapse", style="bold red"))
    return levels


def train_prior(config, workers=ONE_DEVICE):
    """Stage 2: train the prior on the codes, going on from an earlier call.

    It ends with the weights of the best validation likelihood.

    Args:
        config: `Config`.
        workers: `workers.Workers`.

    Returns:
        The trained `HierarchicalPrior`, saved as `prior/prior_final.keras`.

    Raises:
        ValueError: if the codes are missing or of other weights, or a level has collapsed.
    """
    begin(config, "Stage 2: the prior learns the codes", workers.is_chief)
    vqvae = load_vqvae(config)
    codes = load_codes(
        config, "train", vqvae=vqvae, shuffle=True, seed=config.seed, **data_options()
    )
    collapsed = [level.name for level in level_usage(codes) if level.collapsed]
    if collapsed and not config.allow_collapse:
        raise ValueError(_collapse_message(collapsed))
    check_learned_codes(config.prior_dir, codes.fingerprint, workers.is_chief)
    epochs = config.prior_epochs or _epochs(PRIOR_STEPS, codes)
    with workers.scope():
        priors = build_prior(config, vqvae, codes.num_classes)
        rate = _learning_rate(config, config.prior_learning_rate, epochs * len(codes))
        ema = {"use_ema": True, "ema_momentum": config.prior_ema} if config.prior_ema else {}
        priors.compile(optimizer=keras.optimizers.Adam(rate, **ema))
    shown = {
        "bits_per_code": "bits a code {:.3f}".format,
        "val_bits_per_code": "validation {:.3f}".format,
        **{f"val_{name}_bits_per_code": f"{name} {{:.3f}}".format for name in vqvae.level_names},
    }
    callbacks = [EpochProgress(shown)]
    if config.prior_ema:
        callbacks.append(keras.callbacks.SwapEMAWeights())  # while it is evaluated
    if config.tensorboard and workers.is_chief:
        logs = config.run_dir / "logs" / "prior"
        labels = example_labels(config, priors.num_classes, SHOWN_IMAGES)
        callbacks += [
            keras.callbacks.TensorBoard(logs, write_graph=False),
            SampleImages(logs, vqvae, SHOWN_IMAGES, labels, seed=config.seed, every=5),
        ]
    fit_resumable(
        priors,
        codes,
        config.prior_dir,
        epochs=epochs,
        validation_data=load_codes(config, "validation", vqvae=vqvae, **data_options()),
        monitor="val_bits_per_code",
        patience=config.patience,
        callbacks=callbacks,
        workers=workers,
    )
    # The best epoch's averages, if there are any, become its weights.
    priors.optimizer.finalize_variable_values(priors.trainable_variables)
    if config.prior_precision != "float32":
        priors = _in_float32(priors)
    _save(priors, config.prior_file, workers)
    return priors


def demo(config, workers=ONE_DEVICE):
    """Run all stages, then draw the pictures and write the report.

    Args:
        config: `Config`.
        workers: `workers.Workers`.

    Returns:
        The report, as `write_report` gives it, to the chief.

    Raises:
        ValueError: if the data cannot be loaded, or a level has collapsed.
    """
    for stage in (train_vqvae, extract, train_prior):
        stage(config, workers)
    report = None
    if workers.is_chief:
        generate(config)
        reconstruct(config)
        report = write_report(config)
    with peers(workers):
        workers.wait()  # A worker that ended would end the chief.
    return report


def _in_float32(priors):
    """The same weights in a prior that computes in float32: cached and plain samples are equal."""
    copy = HierarchicalPrior(
        type(prior).from_config({**prior.get_config(), "dtype": "float32"})
        for prior in priors.level_priors
    )
    copy.set_weights(priors.get_weights())
    copy.compile()
    copy.optimizer.build(copy.trainable_variables)  # which is saved with the model
    return copy


def _save(model, file, workers):
    """Save a trained model, which all workers may then load."""
    if workers.is_chief:
        model.save(file)
    with peers(workers):
        workers.wait()


def _epochs(steps, batches):
    """How many epochs come nearest to a number of steps."""
    return max(1, round(steps / len(batches)))


def _learning_rate(config, rate, steps):
    """The learning rate of a stage of so many steps."""
    return keras.optimizers.schedules.CosineDecay(rate, steps) if config.cosine_decay else rate


def _collapse_message(names):
    return (
        f"Collapsed: {', '.join(names)}. So few of its codes are in use that a prior has next to "
        "nothing to learn there. Train stage 1 longer, or with fewer levels or codes; "
        "--allow-collapse trains the prior all the same."
    )
