"""A folder of pictures becomes a generator of such pictures; its sub-folders are the classes.

    python examples/own_folder.py photos 64 30    # the folder, pixels of a side, epochs of a stage

It writes `my_reconstructions.png`, `my_samples.png` and `my_model.keras`, a file for `from_preset`.
"""

import sys

import keras

import keras_vqvae2 as kv
from keras_vqvae2 import drawing

folder, size, epochs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
keras.utils.set_random_seed(0)

# Splits are the folders train/ and validation/, or by a hash of each file's path.
train, validation = (
    kv.datasets.load(folder, split, image_size=(size, size), skip_damaged=True)
    for split in ("train", "validation")
)
print(f"{len(train)} and {len(validation)} pictures, of the classes {train.label_names}")

# Stage 1: pictures to codes and back. They are decoded a batch at a time, mirrored at random.
vqvae = kv.VQVAE2(train.image_shape, filters=64, embedding_dim=32, num_embeddings=128)
vqvae.compile(optimizer=keras.optimizers.Adam(1e-3))
vqvae.fit(
    kv.ImageBatches(train, batch_size=32, shuffle=True, seed=0, flip=True),
    epochs=epochs,
    validation_data=kv.ImageBatches(validation, batch_size=32),
)

# Stage 2: which codes go together. With few pictures it ends early, at its best epoch.
kv.extract_codes(vqvae, train, "my_codes/train", passes=4, flip=True)
kv.extract_codes(vqvae, validation, "my_codes/validation")
prior = kv.HierarchicalPrior.from_vqvae(
    vqvae,
    filters=64,
    num_blocks=6,
    dropout=0.2,
    num_classes=train.num_classes,
    label_names=train.label_names,
)
prior.compile(optimizer=keras.optimizers.Adam(1e-3))
prior.fit(
    kv.CodeBatches("my_codes/train", 32, shuffle=True, seed=0, vqvae=vqvae),
    epochs=epochs,
    validation_data=kv.CodeBatches("my_codes/validation", 32, vqvae=vqvae),
    callbacks=[
        keras.callbacks.EarlyStopping(
            "val_bits_per_code", mode="min", patience=5, restore_best_weights=True
        )
    ],
)

# Stage 3: new pictures, of each class in turn; and pictures never seen beside what codes keep.
model = kv.ImageGenerator(vqvae, prior)
few = validation.images[:16]
drawing.save("my_reconstructions.png", drawing.pairs(few, model.reconstruct(few)))
labels = None if train.num_classes is None else [i % train.num_classes for i in range(64)]
drawing.save("my_samples.png", drawing.grid(model.generate(64, labels=labels, seed=0)))
model.save("my_model.keras")
