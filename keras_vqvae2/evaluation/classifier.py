"""Small classifiers of images: judges of samples, and sources of features."""

import keras
import numpy as np

from keras_vqvae2 import checks
from keras_vqvae2.datasets import ImageBatches, ImageData

FEATURES = "features"  # name of the last hidden layer


def build_classifier(image_shape, num_classes, filters=32, features=128, dropout=0.3):
    """Build a convolutional classifier, untrained.

    Three strided convolutions, a hidden layer named "features", and the logits.

    Args:
        image_shape: `(H, W, C)`.
        num_classes: how many classes.
        filters: channels of the first convolution; each further one has twice as many.
        features: size of the hidden layer.
        dropout: rate before the hidden layer and after it, in [0, 1).

    Returns:
        `keras.Model` of images `[B, H, W, C]`, pixels in [0, 255], to logits `[B, num_classes]`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> build_classifier((32, 32, 1), 10).output_shape
    (None, 10)
    """
    images, x = _scaled(image_shape, filters)
    for level in range(3):
        x = keras.layers.Conv2D(filters * 2**level, 3, strides=2, padding="same")(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.Flatten()(x)
    return _classifier(images, x, num_classes, features, dropout)


def build_second_classifier(image_shape, num_classes, filters=16, features=128, dropout=0.3):
    """Build a classifier of another architecture, untrained: what two judges say is no one's whim.

    Three pairs of normalized convolutions, each followed by max pooling, an average over what is
    left of the image, a hidden layer named "features", and the logits.

    Args:
        image_shape: `(H, W, C)`.
        num_classes: how many classes.
        filters: channels of the first convolutions; each further pair has twice as many.
        features: size of the hidden layer.
        dropout: rate before the hidden layer and after it, in [0, 1).

    Returns:
        `keras.Model` of images `[B, H, W, C]`, pixels in [0, 255], to logits `[B, num_classes]`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> build_second_classifier((32, 32, 1), 10).output_shape
    (None, 10)
    """
    images, x = _scaled(image_shape, filters, least=8)
    for level in range(3):
        for _ in range(2):
            x = keras.layers.Conv2D(filters * 2**level, 3, padding="same", use_bias=False)(x)
            x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
        x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return _classifier(images, x, num_classes, features, dropout)


def _scaled(image_shape, filters, least=1):
    """The input of images, and what scales it to [-1, 1]."""
    shape = checks.sizes("image_shape", image_shape, "HWC")
    if min(shape[:2]) < least:
        raise ValueError(
            f"`image_shape` must be of at least {least}x{least} pixels. "
            f"Received: image_shape={image_shape}"
        )
    checks.positive_int("filters", filters)
    images = keras.Input(shape, name="images")
    return images, keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)


def _classifier(images, x, num_classes, features, dropout):
    """The model of images to logits, by a hidden layer on `x`, what convolutions made of them."""
    num_classes = checks.positive_int("num_classes", num_classes)
    features = checks.positive_int("features", features)
    dropout = checks.fraction("dropout", dropout)
    x = keras.layers.Dropout(dropout)(x)
    x = keras.layers.Dense(features, activation="relu", name=FEATURES)(x)
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(images, keras.layers.Dense(num_classes, name="logits")(x))


def train_classifier(
    images,
    labels,
    num_classes,
    *,
    epochs=8,
    seed=0,
    flip=False,
    shift=0,
    build=build_classifier,
):
    """Train a classifier on images, with Adam and a cosine decay.

    Args:
        images: uint8 array `[N, H, W, C]`.
        labels: int array `[N]`.
        num_classes: how many classes.
        epochs: passes over the images.
        seed: of the weights and the order; it sets Keras's global seed.
        flip: whether half of the images are mirrored.
        shift: by how many pixels an image may move.
        build: what builds it: `build_classifier` or `build_second_classifier`.

    Returns:
        The trained `keras.Model`.

    Example:

    ```python
    classifier = train_classifier(data.images, data.labels, data.num_classes)
    accuracy(classifier, test.images, test.labels)
    ```
    """
    keras.utils.set_random_seed(seed)
    data = ImageData.from_arrays(images, labels)
    batches = ImageBatches(
        data, 128, shuffle=True, seed=seed, flip=flip, shift=shift, with_labels=True
    )
    model = build(data.image_shape, num_classes)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, epochs * len(batches))),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    callbacks = [batches.epoch_callback()]
    model.fit(batches, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)
    return model


def accuracy(classifier, images, labels):
    """Return the part of images that a classifier takes for their class.

    Args:
        classifier: `keras.Model` of images to logits.
        images: array `[N, H, W, C]`, pixels in [0, 255].
        labels: int array `[N]`.

    Returns:
        Float in [0, 1].

    Raises:
        ValueError: if images or labels are not the classifier's.

    Example:

    ```python
    accuracy(classifier, samples, labels)
    ```
    """
    checks.instance("classifier", classifier, keras.Model)
    images = checks.images(images, classifier.input_shape[1:])
    labels = checks.labels(labels, classifier.output_shape[-1], len(images))
    logits = classifier.predict(images, batch_size=256, verbose=0)
    return float(np.mean(logits.argmax(axis=-1) == labels))
