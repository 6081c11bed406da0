import sys

import numpy as np
import pytest
from fake_vqvae import random_images

from keras_vqvae2 import datasets
from keras_vqvae2.datasets import tfds as module

tfds = pytest.importorskip("tensorflow_datasets")
# TensorFlow Datasets reads ArrayRecord files without TensorFlow, but writes them with it.
pytestmark = pytest.mark.tensorflow_only

IMAGES = random_images(12, (6, 8, 3))


class TinyPictures(tfds.core.GeneratorBasedBuilder):
    """Twelve images to train with, and three of another size."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "kind": tfds.features.ClassLabel(names=["even", "odd"]),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "kind"),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(IMAGES), "test": self._generate_examples(None)}

    def _generate_examples(self, images):
        if images is None:
            images = [np.zeros((4, 4 + i, 3), "uint8") for i in range(3)]
        for i, image in enumerate(images):
            yield i, {"image": image, "kind": i % 2}


class OwnKeys(tfds.core.GeneratorBasedBuilder):
    """Images and labels under keys of their own, some without names."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "img": tfds.features.Image(shape=(6, 8, 3)),
            "mask": tfds.features.Image(shape=(6, 8, 1)),
            "fine_label": np.int64,
            "coarse_label": tfds.features.ClassLabel(names=["low", "high"]),
            "label": tfds.features.Text(),
            "box": tfds.features.Tensor(shape=(4,), dtype=np.int32),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(name) for name in ("train", "test")}

    def _generate_examples(self, name):
        for i, image in enumerate(IMAGES):
            yield (
                f"{name}{i}",
                {
                    "img": image,
                    "mask": image[:, :, :1],
                    "fine_label": i,
                    "coarse_label": i // 6,
                    "label": "a",
                    "box": [0, 0, 1, 1],
                },
            )


class TinyNumbers(tfds.core.GeneratorBasedBuilder):
    """No images."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict({"number": np.int32})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"number": 3}


@pytest.fixture(scope="module", params=["array_record", "tfrecord"])
def data_dir(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    for builder in (TinyPictures, OwnKeys):
        builder(data_dir=folder, file_format=request.param).download_and_prepare()
    return folder


def test_images_and_labels_are_those_of_the_dataset(data_dir):
    data = datasets.load("tiny_pictures", data_dir=data_dir)
    assert len(data) == 12
    assert data.label_names == ("even", "odd")
    rows_of = {image.tobytes(): row for row, image in enumerate(IMAGES)}
    rows = [rows_of[image.tobytes()] for image in data.images[:]]  # it shuffles when it prepares
    assert sorted(rows) == list(range(12))
    assert data.labels.tolist() == [row % 2 for row in rows]


def test_slices_are_splits(data_dir):
    whole = datasets.load("tiny_pictures", "train", data_dir=data_dir)
    part = datasets.load("tiny_pictures", "train[75%:]", data_dir=data_dir)
    np.testing.assert_array_equal(part.images[:], whole.images[9:])


def test_slices_are_joined(data_dir):
    whole = datasets.load(
        "own_keys", "train", data_dir=data_dir, image_key="img", label_key="fine_label"
    )
    part = datasets.load(
        "own_keys",
        "train[-25%:]+test[:2]",
        data_dir=data_dir,
        image_key="img",
        label_key="fine_label",
    )
    assert len(part) == 5
    np.testing.assert_array_equal(part.images[:3], whole.images[9:])
    np.testing.assert_array_equal(part.labels[:3], whole.labels[9:])


def test_labels_without_names_and_other_keys(data_dir):
    def load(**keys):
        return datasets.load("own_keys", data_dir=data_dir, **keys)

    rows_of = {image.tobytes(): row for row, image in enumerate(IMAGES)}
    data = load(image_key="img", label_key="fine_label")
    rows = [rows_of[image.tobytes()] for image in data.images[:]]
    assert data.labels.tolist() == rows
    assert data.label_names is None
    assert data.num_classes == 12
    data = load(image_key="img", label_key="coarse_label")
    assert data.labels.tolist() == [row // 6 for row in rows]
    assert data.label_names == ("low", "high")
    assert load(image_key="mask", label_key="fine_label").image_shape == (6, 8, 1)


def test_labels_are_not_dropped_in_silence(data_dir):
    with pytest.warns(UserWarning, match="without labels.*'label'.*fine_label, coarse_label"):
        data = datasets.load("own_keys", data_dir=data_dir, image_key="img")
    assert data.labels is None


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "`image_key` must name an image of own_keys: img, mask. Received: .*='image'"),
        ({"image_key": "box"}, "`image_key` must name an image of own_keys.* Received: .*='box'"),
        ({"image_key": "img", "label_key": "x"}, "`label_key` must .*: fine_label, coa.*='x'"),
        ({"image_key": "img", "label_key": "box"}, "`label_key` must name an integer.*='box'"),
        ({"image_key": "img", "label_key": "label"}, "`label_key` must name an integ.*='label'"),
    ],
)
def test_wrong_keys_are_refused(data_dir, keys, message):
    with pytest.raises(ValueError, match=message):
        datasets.load("own_keys", data_dir=data_dir, **keys)


@pytest.mark.parametrize("split", ["train[:200%]", "train[", "train[5]", "train+", "all[:5%]", ""])
def test_another_syntax_is_refused(data_dir, split):
    with pytest.raises(ValueError, match="`split` must be one that .*Received: split="):
        datasets.load("tiny_pictures", split, data_dir=data_dir)


def test_sizes_that_differ_need_image_size(data_dir):
    data = datasets.load("tiny_pictures", "test", data_dir=data_dir)
    with pytest.raises(ValueError, match="`image_size="):
        data.images[:]
    data = datasets.load("tiny_pictures", "test", data_dir=data_dir, image_size=(4, 4))
    assert data.images[:].shape == (3, 4, 4, 3)


def test_an_unknown_split_is_refused(data_dir):
    with pytest.raises(ValueError, match="`split` must be one that .*train, test.*'train\\[:90"):
        datasets.load("tiny_pictures", "validation", data_dir=data_dir)


def test_images_are_kept_in_no_memory(data_dir):
    data = datasets.load("tiny_pictures", data_dir=data_dir)
    assert not isinstance(data.images.items, list)


def test_a_dataset_is_prepared_with_random_access(tmp_path):
    data = datasets.load("tiny_pictures", data_dir=tmp_path)
    assert list(tmp_path.rglob("*.array_record-*"))
    assert not isinstance(data.images.items, list)


@pytest.mark.parametrize("name", ["no_such_dataset", "./no/such/folder", ""])
def test_an_unknown_name_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match=rf"`name` must be emoji32, .*Received: name='{name}'"):
        datasets.load(name, data_dir=tmp_path)


def test_a_dataset_without_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`name` must be a dataset whose input is an image"):
        datasets.load("tiny_numbers", data_dir=tmp_path)


def test_a_failed_download_says_so(tmp_path, monkeypatch):
    def fail(self):
        raise ConnectionError("no route")

    monkeypatch.setattr(TinyPictures, "download_and_prepare", fail)
    with pytest.raises(ValueError, match="needs a network the first time: ConnectionError: no rou"):
        datasets.load("tiny_pictures", data_dir=tmp_path)


def test_without_tensorflow_datasets_the_other_names_are_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ValueError, match="where TensorFlow Datasets is not installed"):
        module.load_tfds("cifar10", "train")
