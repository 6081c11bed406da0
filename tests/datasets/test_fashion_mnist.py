import gzip
import struct

import numpy as np
import pytest

from keras_vqvae2 import datasets
from keras_vqvae2.datasets import fashion_mnist
from keras_vqvae2.datasets.image_data import ImageData


def _write_idx(path, array):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Ten training and three test images of the true size; six of the ten train."""
    monkeypatch.setattr(fashion_mnist, "NUM_TRAIN", 6)
    random = np.random.default_rng(0)
    for prefix, count in (("train", 10), ("t10k", 3)):
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        _write_idx(tmp_path / f"{prefix}-images-idx3-ubyte.gz", images)
        labels = np.arange(count, dtype=np.uint8)
        _write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte.gz", labels)
    return tmp_path


def test_images_are_padded_and_split(folder):
    splits = {
        split: datasets.load("fashion_mnist", split, data_dir=folder)
        for split in ("train", "validation", "test")
    }
    assert [data.labels.tolist() for data in splits.values()] == [
        [0, 1, 2, 3, 4, 5],
        [6, 7, 8, 9],
        [0, 1, 2],
    ]
    raw = gzip.decompress((folder / "train-images-idx3-ubyte.gz").read_bytes())[16:]
    raw = np.frombuffer(raw, np.uint8).reshape(10, 28, 28)
    images = splits["validation"].images
    assert images.shape == (4, 32, 32, 1)
    np.testing.assert_array_equal(images[:, 2:30, 2:30, 0], raw[6:])
    assert images.astype(int).sum() == raw[6:].astype(int).sum()


def test_the_true_files(shared_data):
    data = datasets.load("fashion_mnist", "validation", data_dir=shared_data / "fashion-mnist")
    assert data.images.shape == (5000, 32, 32, 1)
    assert data.label_names[9] == "Ankle boot"
    assert np.bincount(data.labels, minlength=10).min() > 400


def test_a_missing_file_is_named(folder):
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    datasets.load("fashion_mnist", "train", data_dir=folder)
    with pytest.raises(ValueError, match=r"`data_dir` must .*without t10k-labels-idx1-ubyte.gz"):
        datasets.load("fashion_mnist", "test", data_dir=folder)


@pytest.mark.parametrize(
    "corrupt",
    [
        lambda content: content[:-20],
        lambda content: b"no gzip at all",
        lambda content: b"",
        lambda content: content[:100] + b"\0" * 50 + content[150:],
        lambda content: gzip.compress(gzip.decompress(content)[:-1]),
        lambda content: gzip.compress(b"\0\0\x08\x01" + gzip.decompress(content)[4:]),
        lambda content: gzip.compress(b"\0\0"),
    ],
)
def test_a_corrupt_file_is_named(folder, corrupt):
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(corrupt(path.read_bytes()))
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz is not"):
        datasets.load("fashion_mnist", "train", data_dir=folder)


def test_without_files_it_comes_by_tensorflow_datasets(monkeypatch):
    def load_tfds(name, split):
        assert (name, split) == ("fashion_mnist", "train[55000:]")
        return ImageData.from_arrays(np.ones((5, 28, 28, 1), "uint8"), np.arange(5))

    monkeypatch.setattr(fashion_mnist, "load_tfds", load_tfds)
    data = datasets.load("fashion_mnist", "validation")
    assert (data.images.shape, data.name, data.split) == (
        (5, 32, 32, 1),
        "fashion_mnist",
        "validation",
    )


def test_without_files_and_network_the_error_says_what_to_do(monkeypatch):
    def load_tfds(name, split):
        raise ValueError("no network")

    monkeypatch.setattr(fashion_mnist, "load_tfds", load_tfds)
    with pytest.raises(ValueError, match=r"no network\n.*`data_dir` names the folder"):
        datasets.load("fashion_mnist")
