"""Watch the three stages learn: the pictures of docs/three_stages.md, of one small training.

    python examples/three_stages.py --out docs/images/three_stages

After epochs 1, 2, 4, 8 and so on the same images are reconstructed, and later the same seeds
sampled. It takes some minutes of one core; matplotlib draws the curves.
"""

import argparse
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_vqvae2 as kv
from keras_vqvae2 import drawing

KINDS = ("person", "flag", "square sign", "hand", "face", "clock", "heart", "person in action")
SHOWN_CODES = 64
SCALE = 2

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=16, help="of each stage")
parser.add_argument("--filters", type=int, default=64, help="channels of all networks")
parser.add_argument("--split", default="train[:50%]", help="training images")
parser.add_argument("--out", type=Path, default=Path("three_stages"), help="folder of the pictures")
arguments = parser.parse_args()
keras.utils.set_random_seed(0)


class Watch(keras.callbacks.Callback):
    """Keeps what `draw()` gives after epochs 1, 2, 4, 8 and so on, as rows of a picture."""

    def __init__(self, draw, rows):
        super().__init__()
        self.draw, self.rows = draw, rows

    def on_epoch_end(self, epoch, logs=None):
        number = epoch + 1
        if number & (number - 1) == 0:  # a power of two
            self.rows[f"epoch {number}"] = self.draw()


def save(name, rows, heads=()):
    """Write rows of images with their names."""
    images = np.concatenate(list(rows.values())).repeat(SCALE, axis=1).repeat(SCALE, axis=2)
    drawing.save(
        arguments.out / f"{name}.png", drawing.named_rows(images, rows, heads=heads), scale=1
    )


train = kv.datasets.load("emoji32", arguments.split)
validation = kv.datasets.load("emoji32", "validation")
labels = [train.label_names.index(kind) for kind in KINDS]
# The third of each kind: the first are the plainest.
unseen = np.stack([validation.images[np.flatnonzero(validation.labels == n)[2]] for n in labels])

# Stage 1: images to codes and back.
vqvae = kv.VQVAE2(train.image_shape, arguments.filters, embedding_dim=32, num_embeddings=128)
vqvae.compile(optimizer=keras.optimizers.Adam(1e-3))
rows = {"original": unseen}
first = vqvae.fit(
    kv.ImageBatches(train, 64, shuffle=True, seed=0),
    epochs=arguments.epochs,
    validation_data=kv.ImageBatches(validation, 64),
    callbacks=[Watch(lambda: keras.ops.convert_to_numpy(vqvae(unseen)), rows)],
    verbose=2,
)
save("reconstructions", rows)

# The fine codes, each alone: all of its grid is that code, and the coarse codes those of white.
codes = vqvae.encode(train.images)
counts = np.bincount(codes[-1].ravel(), minlength=vqvae.num_embeddings[-1])
often = np.argsort(-counts, kind="stable")[:SHOWN_CODES].astype("int32")
white = vqvae.encode(np.full((len(often), *train.image_shape), 255, "uint8"))
same = np.broadcast_to(often[:, None, None], white[-1].shape)
alone = keras.ops.convert_to_numpy(vqvae.decode((*white[:-1], same)))
drawing.save(arguments.out / "codes.png", drawing.grid(alone, columns=16))

# Stage 2: a prior over the codes; stage 3 after each epoch: codes drawn from it, and decoded.
prior = kv.HierarchicalPrior.from_vqvae(
    vqvae,
    filters=arguments.filters,
    num_blocks=6,
    num_classes=train.num_classes,
    label_dropout=0.1,
    dropout=0.1,
)
prior.compile(optimizer=keras.optimizers.Adam(1e-3))
model = kv.ImageGenerator(vqvae, prior, {"guidance": 3.0, "top_p": 0.9})
rows = {"random codes": model.generate_random(len(labels), seed=0)}
second = prior.fit(
    codes,
    train.labels,
    epochs=arguments.epochs,
    validation_data=(vqvae.encode(validation.images), validation.labels),
    callbacks=[Watch(lambda: model.generate(len(labels), labels=labels, seed=0), rows)],
    verbose=2,
)
save("samples", rows)

# The curves of both trainings.
figure, axes = plt.subplots(1, 3, figsize=(12, 3.2), layout="constrained")
curves = [
    (first, "squared error", ["reconstruction_mse", "val_reconstruction_mse"]),
    (first, "perplexity, of 128 codes", [f"{name}_perplexity" for name in vqvae.level_names]),
    (second, "bits a code", ["bits_per_code", "val_bits_per_code"]),
]
for axis, (history, title, names) in zip(axes, curves, strict=True):
    for name in names:
        epochs = range(1, len(history.history[name]) + 1)
        axis.plot(epochs, history.history[name], marker=".", label=name)
    axis.set(title=title, xlabel="epoch", ylim=(0, None))
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend()
figure.savefig(arguments.out / "curves.png", dpi=90)
