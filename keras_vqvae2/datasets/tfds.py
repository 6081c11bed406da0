"""Any image dataset of TensorFlow Datasets, with random access where its files allow it."""

import functools
import warnings

import numpy as np

from keras_vqvae2.datasets.decoding import fit_pixels
from keras_vqvae2.datasets.image_data import ImageData, LazyImages
from keras_vqvae2.datasets.tfrecords import TFRecords


def load_tfds(name, split, data_dir=None, image_size=None, image_key=None, label_key=None):
    """Load a split of a dataset of TensorFlow Datasets, prepared on disk the first time.

    It is prepared as ArrayRecord files, which give random access and are read without TensorFlow.
    Files that an earlier `tfds.load` has prepared as TFRecord are used as they are, see
    `TFRecords`. An image is read and decoded each time it is asked for, labels are kept.

    Args:
        name: of the dataset, with a config if it has some: `"cifar10"`, `"cats_vs_dogs:4.0.1"`.
        split: of the dataset, or a slice of one: `"train[:90%]"`.
        data_dir: folder where TensorFlow Datasets keeps its files; None for its default.
        image_size: `(H, W)` to centre-crop and resize to; None if all images have one size.
        image_key: name of the image in an example; None for the dataset's own input, or `"image"`.
        label_key: name of the label, an integer with or without names; None for the dataset's own
            target, or `"label"`. A warning tells of labels under other names.

    Returns:
        `ImageData` with `LazyImages`.

    Raises:
        ValueError: if the dataset, the split or a key is unknown, or it cannot be prepared.
    """
    builder = _prepared_builder(name, data_dir)
    image_key, label_key = _keys(builder, name, image_key, label_key)
    items, parse, labels = _read(builder, name, split, image_key, label_key)
    if not len(items):
        raise ValueError(f"`split` must hold at least one image. Received: split={split!r}")
    decode = functools.partial(_decode, parse=parse, image_key=image_key, image_size=image_size)
    return ImageData(
        images=LazyImages(items, decode, decode(items[0]).shape),
        labels=labels,
        label_names=_label_names(builder, label_key),
        name=name,
        split=split,
    )


def _prepared_builder(name, data_dir):
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ValueError(
            "`name` must be emoji32, fashion_mnist, folder or the path of a folder where "
            f"TensorFlow Datasets is not installed. Received: name={name!r}"
        ) from error
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except ValueError as error:  # not found, or no name at all
        raise ValueError(
            "`name` must be emoji32, fashion_mnist, folder, the path of a folder or a dataset of "
            f"TensorFlow Datasets. Received: name={name!r}"
        ) from error
    if builder.is_prepared():
        return builder
    builder = tfds.builder(name, data_dir=data_dir, file_format="array_record")
    try:
        builder.download_and_prepare()
    except Exception as error:  # whatever a dataset's own download code raises
        raise ValueError(
            f"TensorFlow Datasets could not prepare {name!r}, which needs a network the first "
            f"time: {type(error).__name__}: {error}"
        ) from error
    return builder


def _keys(builder, name, image_key, label_key):
    """The keys of the image and, if there is one, the label in an example."""
    import tensorflow_datasets as tfds

    features = dict(builder.info.features)
    images = [key for key, kind in features.items() if isinstance(kind, tfds.features.Image)]
    labels = [key for key, kind in features.items() if _is_label(kind)]
    if not images:
        raise ValueError(
            "`name` must be a dataset whose input is an image. "
            f"Received: name={name!r} with {features}"
        )
    own_image, own_label = (builder.info.supervised_keys or ("image", "label"))[:2]
    image_key, wanted = image_key or own_image, label_key or own_label
    if image_key not in images:
        raise ValueError(
            f"`image_key` must name an image of {name}: {', '.join(images)}. "
            f"Received: image_key={image_key!r}"
        )
    if wanted in labels:
        return image_key, wanted
    if label_key is not None:
        raise ValueError(
            f"`label_key` must name an integer of each example of {name}: "
            f"{', '.join(labels) or 'there is none'}. Received: label_key={label_key!r}"
        )
    if labels or wanted in features:
        warnings.warn(
            f"The images of {name} are loaded without labels: there are no integers under "
            f"{wanted!r}. `label_key` names others: {', '.join(labels) or 'there are none'}.",
            stacklevel=4,
        )
    return image_key, None


def _is_label(kind):
    """Whether a feature is one integer an example."""
    return getattr(kind, "shape", None) == () and np.issubdtype(
        getattr(kind, "np_dtype", np.object_), np.integer
    )


def _label_names(builder, label_key):
    """The names of the classes; None where the labels are plain integers."""
    names = getattr(builder.info.features[label_key], "names", None) if label_key else None
    return tuple(names) if names else None


def _read(builder, name, split, image_key, label_key):
    """The examples of a split, a function of each to its dictionary, and their labels."""
    import tensorflow_datasets as tfds

    formats = tfds.core.file_adapters.FileFormat
    found, skip = builder.info.file_format, {image_key: tfds.decode.SkipDecoding()}
    if found not in (formats.TFRECORD, *formats.with_random_access()):
        raise ValueError(
            "`name` must be of a dataset prepared as ArrayRecord or TFRecord files. "
            f"Received: name={name!r}, {found.value}"
        )
    try:
        parts = builder.info.splits[split].file_instructions
        if found != formats.TFRECORD:
            items = builder.as_data_source(split=split)
            # Labels are needed at once, images are not.
            undecoded = builder.as_data_source(split=split, decoders=skip)
    except (ValueError, KeyError, NotImplementedError) as error:
        raise ValueError(
            f"`split` must be one that {name} has, {', '.join(builder.info.splits)}, or a slice of "
            f"one such as 'train[:90%]'. Received: split={split!r}"
        ) from error
    parse = dict
    if found == formats.TFRECORD:
        items = TFRecords([(part.filename, part.skip, part.take) for part in parts])
        parse = builder.info.features.deserialize_example_np
        undecoded = (parse(record, decoders=skip) for record in items)
    labels = [item[label_key] for item in undecoded] if label_key else None
    return items, parse, None if labels is None else np.array(labels)


def _decode(item, parse, image_key, image_size):
    pixels = np.asarray(parse(item)[image_key])
    return pixels if image_size is None else fit_pixels(pixels, image_size)
