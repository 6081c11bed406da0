"""Fashion-MNIST, from its IDX files or through TensorFlow Datasets."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from keras_vqvae2.datasets.image_data import ImageData
from keras_vqvae2.datasets.splits import check_split
from keras_vqvae2.datasets.tfds import load_tfds

LABEL_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
NUM_TRAIN = 55_000  # of the 60,000 training images; the others validate
PADDING = 2  # pixels of background on each side: 28 -> 32


def load_fashion_mnist(split, data_dir=None):
    """Load a split of Fashion-MNIST, padded to 32x32x1.

    Args:
        split: `"train"` (the first 55,000 training images), `"validation"` (the last 5,000) or
            `"test"` (10,000).
        data_dir: folder of the four IDX files, `train-images-idx3-ubyte.gz` and so on; None gets
            the images by TensorFlow Datasets, over the network the first time.

    Returns:
        `ImageData` in memory.

    Raises:
        ValueError: if a file is missing or corrupt, or the download fails.
    """
    check_split(split)
    images, labels = _from_tfds(split) if data_dir is None else _from_idx(split, Path(data_dir))
    padding = ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0))
    return ImageData.from_arrays(
        np.pad(images, padding),
        labels,
        label_names=LABEL_NAMES,
        name="fashion_mnist",
        split=split,
    )


def _from_tfds(split):
    part = {"train": f"train[:{NUM_TRAIN}]", "validation": f"train[{NUM_TRAIN}:]", "test": "test"}
    try:
        data = load_tfds("fashion_mnist", part[split])
    except ValueError as error:
        raise ValueError(
            f"{error}\nWithout a network, `data_dir` names the folder of the four IDX files. "
            "Received: data_dir=None"
        ) from error
    return data.images[:], data.labels


def _from_idx(split, folder):
    prefix = "t10k" if split == "test" else "train"
    images = _read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", rank=3)
    labels = _read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", rank=1)
    part = {"train": slice(NUM_TRAIN), "validation": slice(NUM_TRAIN, None), "test": slice(None)}
    return images[part[split], :, :, None], labels[part[split]]


def _read_idx(path, rank):
    """Read a gzipped IDX file of unsigned bytes.

    The format: two zero bytes, the type (8: unsigned byte), the rank, each size as a big-endian
    32-bit integer, then the values.
    """
    if not path.is_file():
        raise ValueError(
            "`data_dir` must hold the four IDX files of Fashion-MNIST. "
            f"Received: data_dir={str(path.parent)!r}, without {path.name}"
        )
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not a complete gzip file: {error}") from error
    header = 4 + 4 * rank
    shape = tuple(np.frombuffer(content[4:header], ">u4").tolist())
    if content[:4] != bytes([0, 0, 8, rank]) or len(content) != header + math.prod(shape):
        raise ValueError(
            f"{path} is not an IDX file of unsigned bytes with rank {rank}. Received: first bytes "
            f"{content[:4].hex()}, sizes {shape}, {len(content)} bytes"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
