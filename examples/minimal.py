"""Both stages in memory by `compile` and `fit`. Options: epochs of each stage, training images."""

import sys

import keras

import keras_vqvae2 as kv

epochs, limit = map(int, [*sys.argv[1:], *(20, 3000)[len(sys.argv) - 1 :]])
images = kv.datasets.load("emoji32", "train").images[:limit]
validation = kv.datasets.load("emoji32", "validation").images[:limit]


def stop_at_best_of(monitor):
    """A callback that ends a training and takes the weights of its best epoch."""
    return keras.callbacks.EarlyStopping(monitor, mode="min", patience=5, restore_best_weights=True)


vqvae = kv.VQVAE2(image_shape=(32, 32, 3), filters=64, embedding_dim=32, num_embeddings=128)
vqvae.compile(optimizer="adam")
stop = stop_at_best_of("val_reconstruction_mse")
vqvae.fit(images, epochs=epochs, validation_data=validation, callbacks=[stop])

priors = kv.HierarchicalPrior.from_vqvae(vqvae, filters=64, num_blocks=6, dropout=0.1)
priors.compile(optimizer="adam")
codes, validation_codes = vqvae.encode(images), vqvae.encode(validation)
stop = stop_at_best_of("val_bits_per_code")
priors.fit(codes, epochs=epochs, validation_data=(validation_codes,), callbacks=[stop])

kv.ImageGenerator(vqvae, priors).save("emoji32.keras")
