"""A `fit` of your own that may be killed at any time: started again, it goes on exactly.

    python examples/resume.py 20 3000    # epochs in all, training images

Stop it by Ctrl-C or `kill -9` and give the same command: it takes up the last checkpoint, within an
epoch too, and ends with the weights and logs of a run that nobody disturbed.
"""

import sys

import keras

import keras_vqvae2 as kv

epochs, limit = map(int, [*sys.argv[1:], *(20, 3000)[len(sys.argv) - 1 :]])

# The same at each start: seed, model, compile, callbacks, and batches whose order depends on the
# epoch alone, as that of `ImageBatches` and `CodeBatches` does.
keras.utils.set_random_seed(0)
images = kv.datasets.load("emoji32", "train").images[:limit]
validation = kv.datasets.load("emoji32", "validation").images[:limit]
vqvae = kv.VQVAE2(image_shape=(32, 32, 3), filters=64, embedding_dim=32, num_embeddings=128)
vqvae.compile(optimizer=keras.optimizers.Adam(1e-3))

stop = keras.callbacks.EarlyStopping(
    "val_reconstruction_mse", mode="min", patience=5, restore_best_weights=True
)
checkpoints = kv.callbacks.Checkpoints(
    "checkpoints",
    steps=20,  # so much is lost at most
    callbacks=[stop],  # its count and its best weights are kept too
)
vqvae.fit(
    kv.ImageBatches(images, batch_size=64, shuffle=True, seed=0, flip=True),
    epochs=epochs,
    validation_data=validation,
    callbacks=[stop, checkpoints],  # the checkpoints last: they save what the others did
)

# Of all epochs, those of earlier calls too.
for number, logs in enumerate(checkpoints.history, 1):
    print(f"epoch {number}: {logs['val_reconstruction_mse']:.4f}")
vqvae.save("vqvae.keras")
