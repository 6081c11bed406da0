"""Let a generator learn on: its decoder to forgive a prior, its prior to do without labels.

    python examples/continue_preset.py fashion_mnist --data-dir fashion-mnist --start old.keras
    python examples/train_presets.py fashion_mnist --data-dir fashion-mnist

A prior trained without `label_dropout` can't be guided. Here it goes on from its weights, with one
more embedding, of "no class", which starts as the mean of the classes', if it has none. Codes stay;
the decoder learns on with a tenth of them replaced by near neighbours, unless the run has one. The
second command draws, scores and embeds both. A killed call goes on where it was; another call may
start from `generator.keras` of the run.
"""

import argparse
from pathlib import Path

import keras
import numpy as np

import keras_vqvae2 as kv

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("name", choices=("emoji32", "fashion_mnist"))
parser.add_argument("--start", help="model to go on from; by default the preset")
parser.add_argument("--data-dir", type=Path, help="folder of Fashion-MNIST's files")
parser.add_argument("--runs", type=Path, default=Path("runs/presets"), help="folder of the runs")
parser.add_argument("--decoder-epochs", type=int, default=4, help="0 leaves it as it is")
parser.add_argument("--decoder-rate", type=float, default=5e-4, help="learning rate at first")
parser.add_argument("--clipping", help="of the decoder, soft or hard; else as before")
parser.add_argument("--prior-epochs", type=int, default=1, help="0 leaves the prior as it is")
parser.add_argument("--prior-rate", type=float, default=5e-4, help="learning rate at first")
parser.add_argument("--dropout", type=float, nargs="+", help="of each level; else as before")
parser.add_argument("--passes", type=int, default=2, help="encodings of an image for the prior")
parser.add_argument("--shift", type=int, default=0, help="pixels that images are moved by")
parser.add_argument("--seed", type=int, default=1, help="of their augmentation")
parser.add_argument("--flip", action="store_true", help="mirror half of the images")
parser.add_argument("--batch-size", type=int, default=128)
parser.add_argument("--limit", type=int, help="images of each split, for a try")
arguments = parser.parse_args()

run = arguments.runs / arguments.name
vqvae_file, prior_file = run / "vqvae2" / "vqvae2_final.keras", run / "prior" / "prior_final.keras"
for file in (vqvae_file, prior_file):
    file.parent.mkdir(parents=True, exist_ok=True)
keras.utils.set_random_seed(0)
slice_ = f"[:{arguments.limit}]" if arguments.limit else ""
data = {
    split: kv.datasets.load(arguments.name, f"{split}{slice_}", data_dir=arguments.data_dir)
    for split in ("train", "validation")
}
preset = kv.ImageGenerator.from_preset(arguments.start or arguments.name)


def learn_on(model, batches, validation, epochs, rate, folder):
    """Train a model at a falling rate, with checkpoints in its folder; in no epochs not at all."""
    if epochs == 0:
        return model.compile()
    schedule = keras.optimizers.schedules.CosineDecay(rate, epochs * len(batches))
    model.compile(keras.optimizers.Adam(schedule))
    callbacks = [kv.callbacks.Checkpoints(folder, steps=200)]
    model.fit(batches, validation_data=validation, epochs=epochs, callbacks=callbacks, verbose=2)


if vqvae_file.exists():
    vqvae = keras.saving.load_model(vqvae_file)
else:
    config = preset.vqvae.get_config()
    config["clipping"] = arguments.clipping or config["clipping"]
    vqvae = type(preset.vqvae).from_config(config)
    vqvae.set_weights(preset.vqvae.get_weights())
    moves = {"shuffle": True, "seed": 0, "flip": arguments.flip, "shift": arguments.shift}
    train = kv.ImageBatches(data["train"], arguments.batch_size, **moves)
    validation = kv.ImageBatches(data["validation"], arguments.batch_size)
    vqvae.fix_codes(replaced=0.1)
    vqvae.compile()
    print("before:", vqvae.evaluate(validation, verbose=0, return_dict=True))
    how = arguments.decoder_epochs, arguments.decoder_rate, run / "vqvae2" / "decoder"
    learn_on(vqvae, train, validation, *how)
    vqvae.fix_codes(False)
    vqvae.save(vqvae_file)


def codes_of(split):
    """Encode a split, and return batches of its codes."""
    augmented = {name: getattr(arguments, name) for name in ("passes", "flip", "shift", "seed")}
    folder, learned = run / "codes" / split, split == "train"
    kv.extract_codes(vqvae, data[split], folder, **{**augmented, "noise": 6.0} if learned else {})
    return kv.CodeBatches(folder, arguments.batch_size, shuffle=learned, seed=0, vqvae=vqvae)


old_levels = preset.prior.level_priors
dropouts = arguments.dropout or [prior.dropout for prior in old_levels]
levels = [
    type(prior).from_config({**prior.get_config(), "label_dropout": 0.1, "dropout": dropout})
    for prior, dropout in zip(old_levels, dropouts, strict=True)
]
prior = kv.HierarchicalPrior(levels, data["train"].label_names)
for old, new in zip(preset.prior.trainable_variables, prior.trainable_variables, strict=True):
    weights = np.asarray(old)
    if old.shape != new.shape:  # the labels' embeddings
        weights = np.concatenate([weights, weights.mean(0, keepdims=True)])
    new.assign(weights)
codes = [codes_of(split) if arguments.prior_epochs else None for split in data]
learn_on(prior, *codes, arguments.prior_epochs, arguments.prior_rate, run / "prior")
prior.save(prior_file)
kv.ImageGenerator(vqvae, prior, preset.sampling).save(run / "generator.keras")
