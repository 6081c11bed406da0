"""The command `train-vqvae`, stage 1: a VQ-VAE-2 learns the images."""

import keras_vqvae2 as kv
from keras_vqvae2.cli.fitting import (
    SHOWN_IMAGES,
    adam,
    distribute,
    epochs_of,
    fit,
    save_model,
    share,
)
from keras_vqvae2.cli.flags import config_command
from keras_vqvae2.cli.progress import epoch_progress, tell
from keras_vqvae2.cli.run import SPLITS, begin, load_split
from keras_vqvae2.cli.run_lock import locked
from keras_vqvae2.cli.run_models import build_vqvae

# Where the config names no epochs. Steps, so that data sets of any size take the same few minutes.
STEPS = 1450


@config_command(
    "train-vqvae",
    "--dataset photos --run-dir runs/photos",
    epochs=("vqvae_epochs",),
    tuned="vqvae2",
)
@distribute
def command(config, distribute):
    """Stage 1: learn the images; goes on where an earlier call stopped."""
    with locked(config, share(distribute)) as workers:
        train_vqvae(config, workers)
    tell(config, config.vqvae_file, "reconstruct", "extract-codes")


def train_vqvae(config, workers=None):
    """Train the VQ-VAE-2 on the images, going on from an earlier call.

    Args:
        config: `Config`.
        workers: `processes.Workers`, where several devices or processes share the work; processes
            share the run directory, and the chief alone writes what all of them would write alike.

    Returns:
        The trained `VQVAE2`, saved as `vqvae2/vqvae2_final.keras`.

    Raises:
        ValueError: if the data cannot be loaded, or the run holds another architecture.
    """
    from keras_vqvae2.distribution.processes import Workers, data_options

    workers = workers or Workers()
    begin(config, "Stage 1: the VQ-VAE-2 learns the images", is_chief=workers.is_chief)
    data = {split: load_split(config, split) for split in SPLITS}
    training, shared = config.vqvae_training, data_options()
    batches = kv.ImageBatches(
        data["train"],
        config.batch_size,
        shuffle=True,
        seed=config.seed,
        **config.augmentation,
        **shared,
    )
    epochs = training.epochs or epochs_of(STEPS, batches)
    with workers.scope():
        vqvae = build_vqvae(config, data["train"].image_shape)
        vqvae.compile(adam(config, training.learning_rate, epochs * len(batches)))
    if workers.is_chief:
        config.save()
    options = {
        "validation_data": kv.ImageBatches(data["validation"], config.batch_size, **shared),
        "callbacks": _callbacks(config, vqvae, data["validation"], workers),
        "workers": workers,
    }
    history = fit(config, vqvae, batches, config.vqvae_dir, epochs=epochs, **options)
    if training.decoder_epochs:
        _train_decoder(config, vqvae, batches, len(history), options)
    save_model(vqvae, config.vqvae_file, workers)
    return vqvae


def _train_decoder(config, vqvae, batches, epochs_before, options):
    """Let the decoder learn on while the codes stay as they are."""
    import keras

    training = config.vqvae_training
    epochs, rate = training.decoder_epochs, training.learning_rate
    scope = options["workers"].scope
    with scope():
        vqvae.fix_codes(replaced=training.decoder_replaced)
        vqvae.compile(adam(config, rate / 2, epochs * len(batches)))
    # Of the codes as they are after so many epochs, and no other.
    directory = config.vqvae_dir / f"decoder_after_{epochs_before}"
    fit(config, vqvae, batches, directory, epochs=epochs, **options)
    with scope():
        vqvae.fix_codes(False)
        vqvae.compile(keras.optimizers.Adam(rate))
        vqvae.optimizer.build(vqvae.trainable_variables)


def _callbacks(config, vqvae, validation, workers):
    import keras

    shown = {
        "reconstruction_mse": "error {:.4f}".format,
        "val_reconstruction_mse": "validation {:.4f}".format,
        **{f"{name}_usage": f"{name} {{:.0%}}".format for name in vqvae.level_names},
    }
    callbacks = [epoch_progress(shown)]
    if config.tensorboard and workers.is_chief:
        logs = config.run_dir / "logs" / "vqvae2"
        images = validation.images[: config.batch_size]  # the usage is on what one batch can use
        callbacks += [
            keras.callbacks.TensorBoard(logs, write_graph=False),
            kv.callbacks.ReconstructionImages(logs, images[:SHOWN_IMAGES]),
            kv.callbacks.CodebookUsage(logs, images),
        ]
    return callbacks
