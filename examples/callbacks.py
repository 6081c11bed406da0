"""Watch both stages in TensorBoard, and end each at its best epoch, by callbacks of `fit`.

    python examples/callbacks.py 20 3000    # epochs of each stage, training images
    tensorboard --logdir logs

Keras's own callbacks and this package's go together: all are given to `fit`.
"""

import sys

import keras
from keras.callbacks import CSVLogger, EarlyStopping, ReduceLROnPlateau, TensorBoard

import keras_vqvae2 as kv

epochs, limit = map(int, [*sys.argv[1:], *(20, 3000)[len(sys.argv) - 1 :]])
keras.utils.set_random_seed(0)
images = kv.datasets.load("emoji32", "train").images[:limit]
validation = kv.datasets.load("emoji32", "validation").images[:limit]


class TellUsage(keras.callbacks.Callback):
    """One of your own: what `fit` logs is in `logs`, of validation data with `val_` before it."""

    def on_epoch_end(self, epoch, logs=None):
        print(
            f"codes in use: {logs['val_top_usage']:.0%} top, {logs['val_bottom_usage']:.0%} bottom"
        )


def common(stage, monitor):
    """Keras's callbacks of either stage; `monitor` is what is to become small."""
    return [
        TensorBoard(f"logs/{stage}"),
        CSVLogger(f"logs/{stage}.csv"),
        ReduceLROnPlateau(monitor, factor=0.5, patience=2, mode="min"),
        EarlyStopping(monitor, patience=5, mode="min", restore_best_weights=True),
    ]


vqvae = kv.VQVAE2(image_shape=(32, 32, 3), filters=64, embedding_dim=32, num_embeddings=128)
vqvae.compile(optimizer=keras.optimizers.Adam(1e-3))
vqvae.fit(
    images,
    epochs=epochs,
    validation_data=validation,
    callbacks=[
        *common("vqvae", "val_reconstruction_mse"),
        kv.callbacks.ReconstructionImages("logs/vqvae", validation[:16]),
        kv.callbacks.CodebookUsage("logs/vqvae", validation[:256]),
        TellUsage(),
    ],
)

prior = kv.HierarchicalPrior.from_vqvae(vqvae, filters=64, num_blocks=6, dropout=0.1)
prior.compile(optimizer=keras.optimizers.Adam(1e-3))
prior.fit(
    vqvae.encode(images),
    epochs=epochs,
    validation_data=(vqvae.encode(validation),),
    callbacks=[
        *common("prior", "val_bits_per_code"),
        kv.callbacks.SampleImages("logs/prior", vqvae, num_samples=16, every=2),
    ],
)
