"""The command `train-prior`, stage 2: a PixelCNN for each level learns the codes."""

import keras_vqvae2 as kv
from keras_vqvae2.cli.fitting import (
    SHOWN_IMAGES,
    adam,
    collapse_message,
    distribute,
    epochs_of,
    fit,
    save_model,
    share,
)
from keras_vqvae2.cli.flags import config_command
from keras_vqvae2.cli.progress import epoch_progress, tell
from keras_vqvae2.cli.run import begin, check_learned_codes, load_codes, require
from keras_vqvae2.cli.run_lock import locked
from keras_vqvae2.cli.run_models import build_prior, load_vqvae

# Where the config names no epochs, as of stage 1.
STEPS = 2200


@config_command(
    "train-prior",
    "--run-dir runs/photos --prior-epochs 30",
    epochs=("prior_epochs",),
    tuned="prior",
)
@distribute
def command(config, distribute):
    """Stage 2: learn the codes; goes on where an earlier call stopped."""
    require(config, "vqvae")  # before anything is imported that takes its time
    with locked(config, share(distribute)) as workers:
        train_prior(config, workers)
    tell(config, config.prior_file, "generate", "evaluate --samples", "export")


def train_prior(config, workers=None):
    """Train the prior on the codes, going on from an earlier call.

    It ends with the weights of the best validation likelihood.

    Args:
        config: `Config`.
        workers: `processes.Workers`, as of `train_vqvae`.

    Returns:
        The trained `HierarchicalPrior`, saved as `prior/prior_final.keras`.

    Raises:
        ValueError: if the codes are missing or of other weights, or a level has collapsed.
    """
    from keras_vqvae2.distribution.processes import Workers, data_options

    workers = workers or Workers()
    title = "Stage 2: the prior learns the codes"
    begin(config, title, needs=("vqvae",), is_chief=workers.is_chief)
    training = config.prior_training
    vqvae = load_vqvae(config)
    shared = {"vqvae": vqvae, **data_options()}
    drawn = {"shuffle": True, "seed": config.seed, "balance": config.codes.balance}
    codes = load_codes(config, "train", **drawn, **shared)
    validation = load_codes(config, "validation", **shared)
    message = collapse_message(kv.evaluation.level_usage(codes))
    if message and not training.allow_collapse:
        raise ValueError(message)
    mark = check_learned_codes(config.prior_dir, codes.fingerprint)
    epochs = training.epochs or epochs_of(STEPS, codes)
    with workers.scope():
        priors = build_prior(config, vqvae, codes.num_classes, codes.manifest.label_names)
        use_ema = config.average.ema_momentum > 0
        steps = epochs * len(codes)
        rate = training.learning_rate
        priors.compile(adam(config, rate, steps, use_ema=use_ema, **config.average))
    if workers.is_chief:
        config.save()
        mark()
    fit(
        config,
        priors,
        codes,
        config.prior_dir,
        epochs=epochs,
        validation_data=validation,
        monitor="val_bits_per_code",
        patience=training.patience,
        callbacks=_callbacks(config, vqvae, priors, workers),
        workers=workers,
    )
    # The best epoch's averages, if there are any, become its weights.
    priors.optimizer.finalize_variable_values(priors.trainable_variables)
    if config.prior.dtype != "float32":
        priors = _in_float32(priors)
    save_model(priors, config.prior_file, workers)
    return priors


def _callbacks(config, vqvae, priors, workers):
    import keras
    import numpy as np

    shown = {
        "bits_per_code": "bits a code {:.3f}".format,
        "val_bits_per_code": "validation {:.3f}".format,
        **{f"val_{name}_bits_per_code": f"{name} {{:.3f}}".format for name in vqvae.level_names},
    }
    callbacks = [epoch_progress(shown)]
    if priors.optimizer.use_ema:
        callbacks.append(keras.callbacks.SwapEMAWeights())  # while it is evaluated
    if config.tensorboard and workers.is_chief:
        logs = config.run_dir / "logs" / "prior"
        labels = None  # unless it learns classes: they take turns
        if priors.num_classes is not None:
            labels = np.arange(SHOWN_IMAGES) % priors.num_classes
        callbacks += [
            keras.callbacks.TensorBoard(logs, write_graph=False),
            kv.callbacks.SampleImages(logs, vqvae, SHOWN_IMAGES, labels, seed=config.seed, every=5),
        ]
    return callbacks


def _in_float32(priors):
    """The same weights in a prior that computes in float32: cached and plain samples are equal."""
    levels = [
        type(prior).from_config({**prior.get_config(), "dtype": "float32"})
        for prior in priors.level_priors
    ]
    copy = kv.HierarchicalPrior(levels, priors.label_names)
    copy.set_weights(priors.get_weights())
    copy.compile()
    copy.optimizer.build(copy.trainable_variables)  # which is saved with the model
    return copy
