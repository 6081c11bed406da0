"""The three stages on the embedded emoji: learn the images, learn their codes, generate."""

import argparse
from pathlib import Path

import keras
import numpy as np

import keras_vqvae2 as kv
from keras_vqvae2 import drawing

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--epochs", type=int, default=30, help="epochs of each stage at most")
parser.add_argument("--filters", type=int, default=64, help="channels of all networks")
parser.add_argument("--limit", type=int, help="take so many training images only")
parser.add_argument("--out", type=Path, default=Path("runs/example"), help="folder of all files")
arguments = parser.parse_args()

keras.utils.set_random_seed(
    0
)  # the first weights; the datasets and samples have seeds of their own

# Stage 1: the VQ-VAE-2 learns the images.
train = kv.datasets.load("emoji32", "train").images[: arguments.limit]
validation = kv.datasets.load("emoji32", "validation").images[: arguments.limit]
vqvae = kv.VQVAE2(
    image_shape=train.shape[1:],
    filters=arguments.filters,
    embedding_dim=32,
    num_embeddings=128,
)
vqvae.compile(optimizer=keras.optimizers.Adam(1e-3))
batches = kv.ImageBatches(train, batch_size=64, shuffle=True, seed=0)
vqvae.fit(batches, epochs=arguments.epochs, validation_data=validation)

# Between the stages: the codes go to disk, those of the training images in several versions.
folder = arguments.out / "codes"
kv.extract_codes(vqvae, train, folder / "train", passes=4, flip=True, shift=2)
kv.extract_codes(vqvae, validation, folder / "validation")
codes = kv.CodeBatches(folder / "train", batch_size=64, shuffle=True, seed=0, vqvae=vqvae)
validation_codes = kv.CodeBatches(folder / "validation", batch_size=64, vqvae=vqvae)

# Stage 2: the prior learns the codes, until the validation likelihood no longer improves.
priors = kv.HierarchicalPrior.from_vqvae(
    vqvae, filters=arguments.filters, num_blocks=6, dropout=0.1
)
priors.compile(optimizer=keras.optimizers.Adam(1e-3))
stop = keras.callbacks.EarlyStopping(
    "val_bits_per_code", mode="min", patience=5, restore_best_weights=True
)
priors.fit(codes, epochs=arguments.epochs, validation_data=validation_codes, callbacks=[stop])

# Stage 3: images from the prior on the left, from random codes on the right.
generator = kv.ImageGenerator(vqvae, priors)
samples = drawing.grid(generator.generate(64, seed=0))
random = drawing.grid(generator.generate_random(64, seed=0))
drawing.save(arguments.out / "samples.png", np.concatenate([samples, random], axis=1))
generator.save(arguments.out / "emoji32.keras")
print(f"wrote {arguments.out / 'samples.png'}")
