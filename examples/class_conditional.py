"""A prior by class, and guidance: images of the class that is asked for.

    python examples/class_conditional.py 10 4000    # epochs, training images

The codes are those of the preset `emoji32`, so that stage 2 alone is trained, on the emoji's four
styles in place of their kinds. It writes `by_style.png` and `by_style.keras`.
"""

import sys

import keras
import numpy as np

import keras_vqvae2 as kv
from keras_vqvae2 import drawing

epochs, limit = map(int, [*sys.argv[1:], *(10, 4000)[len(sys.argv) - 1 :]])
keras.utils.set_random_seed(0)
train, validation = (
    kv.datasets.load("emoji32", split, label_key="style") for split in ("train", "validation")
)
chosen = np.random.default_rng(0).permutation(len(train))[:limit]  # they lie style by style
images, labels = train.images[chosen], train.labels[chosen]

vqvae = kv.VQVAE2.from_preset("emoji32")
prior = kv.HierarchicalPrior.from_vqvae(
    vqvae,
    filters=64,
    num_blocks=6,
    num_classes=train.num_classes,
    label_names=train.label_names,
    # One label of ten is withheld: so the prior learns images of any class too, which it takes to
    # be guided, and which -1 or None asks for.
    label_dropout=0.1,
    dropout=0.1,
)
prior.compile(optimizer=keras.optimizers.Adam(1e-3))
prior.fit(
    vqvae.encode(images),
    labels,
    epochs=epochs,
    batch_size=64,
    validation_data=(vqvae.encode(validation.images[:limit]), validation.labels[:limit]),
)

# What is saved is drawn with guidance from now on, unless a call says otherwise.
model = kv.ImageGenerator(vqvae, prior, sampling={"guidance": 2.0})
model.save("by_style.keras")
names = list(train.label_names)
samples = model.generate(8 * len(names), labels=np.repeat(names, 8), seed=0)
drawing.save("by_style.png", drawing.named_rows(samples, names))

# How much likelier an image is as one of its own style than as one of the next.
few = validation.images[:32], validation.labels[:32]
own, other = (model.log_prob(few[0], (few[1] + step) % len(names)) for step in (0, 1))
print(f"as of its own style an image is likelier by {np.mean(own - other):.1f} nats")
