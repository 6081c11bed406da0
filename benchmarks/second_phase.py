"""Let the decoder of a preset learn on, its codes fixed, by several losses, and judge its images.

    python benchmarks/second_phase.py emoji32 --start before.keras --write docs/quality.md

The losses: the squared error of the signal; that of the image, whose pixels end at black and
white; and either beside a perceptual term, how far the features of an image and of its
reconstruction lie apart, each of length one at a pixel (Zhang et al. 2018, "The Unreasonable
Effectiveness of Deep Features as a Perceptual Metric", section 3, without its learned weights).
The features are those of a small network that learned the kinds of the training images, of another
architecture and seed than the judges. All decoders learn from the same batches, a tenth of the
codes replaced by near neighbours. `before.keras` is a generator whose signal is cut at black and
white: of one that is bent there, signal and image are all but the same.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from keras import ops
from sweep import JUDGES, SETS, Judges
from tables import markdown_of, write_block

import keras_vqvae2 as kv
from keras_vqvae2.evaluation import nyquist_ratio, train_classifier
from keras_vqvae2.ops import pixels_to_signal, to_uint8

LOSSES = {  # whether the error is that of the image, and the weight of the perceptual term
    "error of the signal": (False, 0.0),
    "error of the image": (True, 0.0),
    "error of the image, perceptual term 0.05": (True, 0.05),
    "error of the image, perceptual term 0.3": (True, 0.3),
    "error of the signal, perceptual term 0.05": (False, 0.05),
}
FEATURES = ("first", "second", "third")


def build_network(image_shape, num_classes):
    """Build the perceptual network: a strided convolution after each of its three features."""
    images = keras.Input(image_shape)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    for filters, name in zip((24, 48, 96), FEATURES, strict=True):
        x = keras.layers.Conv2D(filters, 3, padding="same", activation="gelu", name=name)(x)
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="gelu")(x)
        x = keras.layers.Dropout(0.1)(x)
    x = keras.layers.GlobalMaxPooling2D()(x)
    return keras.Model(images, keras.layers.Dense(num_classes)(x))


class SecondPhase(kv.VQVAE2):
    """A VQ-VAE-2 whose loss may look at clipped pixels and at features of the `network`."""

    clipped, perceptual, network = False, 0.0, None

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the loss of a batch, a scalar."""
        signal, target = y_pred["signal"], pixels_to_signal(x)
        # The gradient passes the clipping, or a pixel on the wrong side would stay there.
        shown = signal + ops.stop_gradient(ops.clip(signal, -1.0, 1.0) - signal)
        loss = ops.mean(ops.square((shown if self.clipped else signal) - target))
        if self.perceptual:
            features = (
                self.network((image + 1.0) * 127.5, training=False) for image in (shown, target)
            )
            apart = [
                ops.mean(ops.sum(ops.square(_unit(a) - _unit(b)), axis=-1))
                for a, b in zip(*features, strict=True)
            ]
            loss += self.perceptual * sum(apart) / len(apart)
        return loss


def _unit(features):
    """Features of length one at each pixel."""
    return features / (ops.norm(features, axis=-1, keepdims=True) + 1e-3)


def learn_on(vqvae, batches, clipped, perceptual, epochs):
    """Return a copy of a VQ-VAE-2 whose decoder has learned on."""
    keras.utils.set_random_seed(0)
    copy = SecondPhase.from_config(vqvae.get_config())
    copy.set_weights(vqvae.get_weights())
    copy.clipped, copy.perceptual = clipped, perceptual
    copy.fix_codes(replaced=0.1)
    schedule = keras.optimizers.schedules.CosineDecay(5e-4, epochs * len(batches))
    copy.compile(keras.optimizers.Adam(schedule))
    copy.fit(batches, epochs=epochs, verbose=2)
    return copy


def row(title, vqvae, judges, test, codes, sampled):
    """A row of the table: errors and scores of reconstructions, and scores of samples."""
    images, pixels = test.images[:], vqvae.decode(codes)
    vectors = [q.embed_codes(c) for q, c in zip(vqvae.quantizers, codes, strict=True)]
    signal = vqvae.decoder.predict(vectors, verbose=0)
    original = nyquist_ratio(images)
    ratios = [nyquist_ratio(one) / original for one in (signal, pixels)]
    cells = {
        "loss": title,
        "MSE": f"{np.square((pixels - images) / 127.5).mean():.4f}",
        "Nyquist ratio, of originals': signal, pixels": f"{ratios[0]:.2f}, {ratios[1]:.2f}",
    }
    for what, decoded in (("reconstructions", pixels), ("samples", vqvae.decode(sampled))):
        scores = judges.scores(ops.convert_to_numpy(to_uint8(decoded)), test.labels)
        for name, digits in (("distance", 2), ("recognised", 3)):
            both = [f"{scores[judge + name]:.{digits}f}" for judge in JUDGES]
            cells[f"{what}: {name}"] = ", ".join(both)
    print(cells, flush=True)
    return cells


def main():
    """Train and judge each loss, print the table, and write it where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=SETS)
    parser.add_argument("--start", help="generator to go on from, by default the preset")
    parser.add_argument("--data-dir", type=Path, help="folder of Fashion-MNIST's IDX files")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--write", type=Path, help="Markdown file with the markers of the table")
    parser.add_argument("--limit", type=int, help="images of each split, for a try")
    arguments = parser.parse_args()
    name, slice_ = arguments.name, f"[:{arguments.limit}]" if arguments.limit else ""
    train, test = (
        kv.datasets.load(name, f"{split}{slice_}", data_dir=arguments.data_dir)
        for split in ("train", "test")
    )
    options = {"epochs": 12, "seed": 2, "flip": True, "shift": 2, "build": build_network}
    classifier = train_classifier(train.images[:], train.labels, train.num_classes, **options)
    outputs = [classifier.get_layer(layer).output for layer in FEATURES]
    SecondPhase.network = keras.Model(classifier.input, outputs, trainable=False)

    model = kv.ImageGenerator.from_preset(arguments.start or name)
    codes = model.vqvae.encode(test.images[:])
    sampled = model.prior.sample(len(test), labels=test.labels, seed=0, **model.sampling)
    scored = Judges.of(name, test), test, codes, sampled
    batches = kv.ImageBatches(train, 64, shuffle=True, seed=0, flip=True, shift=1)
    rows = [row("before", model.vqvae, *scored)]
    for title, loss in LOSSES.items():
        rows.append(row(title, learn_on(model.vqvae, batches, *loss, arguments.epochs), *scored))
    text = markdown_of(rows)
    print(text)
    if arguments.write:
        write_block(arguments.write, text, f"second phase {name}")


if __name__ == "__main__":
    main()
