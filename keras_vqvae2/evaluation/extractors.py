"""What turns images into the features that their distances are measured in."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_vqvae2 import checks
from keras_vqvae2.datasets import LazyImages, weights_fingerprint
from keras_vqvae2.evaluation.classifier import FEATURES
from keras_vqvae2.files.model_files import load_model

# Classifiers of this project, by `examples/train_classifiers.py`: of each dataset one, and a second
# one of another architecture and seed.
DATASETS = ("emoji32", "fashion_mnist")
SECOND = {name: f"{name}_second" for name in DATASETS}
EMBEDDED = (*DATASETS, *SECOND.values())
INCEPTION = "inception_v3"
# Of any data without an embedded classifier of its own, where Inception's weights cannot be had.
FALLBACK = "emoji32"


@dataclasses.dataclass(frozen=True)
class FeatureExtractor:
    """A network that gives features of images, with what identifies it.

    Scores compare only under the same extractor: its name and checksum belong to every score.

    Attributes:
        name: what it is called in a report.
        model: `keras.Model` of images `[B, H, W, C]`, pixels in [0, 255], to features `[B, F]`.
            Images of another size are resized to its input, grey ones repeated over its channels,
            colours averaged where it takes grey.
        classifier: `keras.Model` of the same images to logits, if it was trained on the classes at
            hand; else None.

    Example:

    >>> extractor = load_extractor("fashion_mnist")
    >>> extractor.features(np.zeros((2, 32, 32, 1), "uint8")).shape
    (2, 128)
    """

    name: str
    model: keras.Model
    classifier: keras.Model | None = None

    @property
    def checksum(self):
        """SHA-256 of the weights."""
        return weights_fingerprint(self.model)

    def features(self, images, batch_size=128):
        """Return the features of images.

        Args:
            images: array `[N, H, W, C]`, pixels in [0, 255], or `datasets.LazyImages`.
            batch_size: images at a time.

        Returns:
            float32 array `[N, F]`.

        Raises:
            ValueError: if the images have another rank, or pixels out of that range.
        """
        if not isinstance(images, LazyImages):  # which are right, and read a batch at a time
            size = np.shape(images)[1:]
            images = checks.images(images, size if len(size) == 3 else ("H", "W", "C"))
        batch_size = checks.positive_int("batch_size", batch_size)
        shape = self.model.input_shape[1:]
        parts = [
            np.asarray(self.model.predict_on_batch(_fit(images[start : start + batch_size], shape)))
            for start in range(0, len(images), batch_size)
        ]
        return np.concatenate(parts)


def load_extractor(name="auto", dataset=None):
    """Load a feature extractor.

    Args:
        name: `"emoji32"`, `"emoji32_second"` or `"fashion_mnist"`, classifiers embedded in the
            package;
            `"inception_v3"`, of `keras.applications`, which may download its weights; a path of a
            `.keras` file or a `keras.Model`, whose outputs are the features; or `"auto"`: the
            embedded classifier of `dataset`, else Inception, else the classifier of emoji.
        dataset: name of the data, for `"auto"`.

    Returns:
        `FeatureExtractor`.

    Raises:
        ValueError: if there is no such extractor, or its weights cannot be had.

    Example:

    >>> load_extractor("auto", "emoji32").name
    'emoji32'
    """
    if isinstance(name, keras.Model):
        return FeatureExtractor(name.name, name)
    if name == "auto":
        if dataset in DATASETS:
            return load_extractor(dataset)
        try:
            return load_extractor(INCEPTION)
        except ValueError:
            return dataclasses.replace(load_extractor(FALLBACK), classifier=None)
    if name in EMBEDDED:
        classifier = load_model(Path(__file__).with_name(f"{name}.keras"))
        hidden = classifier.get_layer(FEATURES).output
        return FeatureExtractor(name, keras.Model(classifier.inputs, hidden), classifier)
    if name == INCEPTION:
        return FeatureExtractor(INCEPTION, _inception())
    if Path(name).suffix == ".keras" and Path(name).is_file():
        return FeatureExtractor(Path(name).stem, load_model(name))
    known = ", ".join(map(repr, ("auto", *EMBEDDED, INCEPTION)))
    raise ValueError(f"`extractor` must be {known}, or a `.keras` file. Received: {name!r}")


def second_of(extractor):
    """Return the embedded extractor of another architecture beside one, or None.

    Args:
        extractor: `FeatureExtractor`. If it knows no classes, the second one knows none either: of
            other images than its own it would recognise nothing.

    Example:

    >>> second_of(load_extractor("emoji32")).name
    'emoji32_second'
    """
    if extractor.name not in SECOND:
        return None
    second = load_extractor(SECOND[extractor.name])
    return dataclasses.replace(second, classifier=None) if extractor.classifier is None else second


def _inception():
    try:
        network = keras.applications.InceptionV3(include_top=False, pooling="avg")
    except Exception as error:  # of the download, whatever the library beneath raises
        raise ValueError(
            f"The weights of InceptionV3 cannot be had: {error}. Received: extractor={INCEPTION!r}"
        ) from error
    images = keras.Input((299, 299, 3), name="images")
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    return keras.Model(images, network(scaled))


def _fit(images, shape):
    """Bring a batch of images to the shape `(H, W, C)` that a network takes."""
    images = np.asarray(images, "float32")
    if images.shape[-1] != shape[-1]:
        images = images.mean(axis=-1, keepdims=True).repeat(shape[-1], axis=-1)
    if images.shape[1:3] != shape[:2]:
        images = ops.image.resize(
            images, shape[:2], interpolation="bilinear", antialias=True, data_format="channels_last"
        )
    return images
