import itertools

import numpy as np
import pytest

from keras_vqvae2 import datasets
from keras_vqvae2.datasets.emoji32 import FILE
from keras_vqvae2.datasets.splits import SPLITS


@pytest.fixture(scope="module")
def splits():
    return {split: datasets.load("emoji32", split) for split in SPLITS}


@pytest.fixture(scope="module")
def original():
    with np.load(FILE) as file:
        return {name: file[name] for name in file.files}


def test_each_image_lies_in_one_split(splits, original):
    assert sum(len(data) for data in splits.values()) == len(original["images"]) == 3781
    together = np.concatenate([data.images for data in splits.values()])
    assert sorted(map(bytes, together)) == sorted(map(bytes, original["images"]))


def test_nothing_straddles_splits(splits, original):
    groups_of = {}  # some pictures stand for several emoji, such as one flag of two islands
    for image, group in zip(original["images"], original["groups"], strict=True):
        groups_of.setdefault(bytes(image), set()).add(int(group))
    pictures = {split: set(map(bytes, data.images)) for split, data in splits.items()}
    groups = {split: set().union(*map(groups_of.get, pictures[split])) for split in SPLITS}
    for one, other in itertools.combinations(SPLITS, 2):
        assert not pictures[one] & pictures[other]
        assert not groups[one] & groups[other]


def test_the_splits_have_about_the_sizes_promised(splits):
    sizes = np.array([len(splits[split]) for split in SPLITS]) / 3781
    # Groups have up to 26 images, hence a percent or two of chance.
    np.testing.assert_allclose(sizes, [0.85, 0.075, 0.075], atol=0.02)


def test_the_split_does_not_change(splits):
    assert [len(splits[split]) for split in SPLITS] == [3261, 277, 243]


def test_images_keep_their_labels(splits, original):
    for data in splits.values():
        assert data.labels.dtype == np.int32
        assert data.label_names == tuple(original["label_names"])
        label_of = dict(zip(map(bytes, original["images"]), original["labels"], strict=True))
        same = [label_of[bytes(i)] == n for i, n in zip(data.images, data.labels, strict=True)]
        assert np.mean(same) > 0.99  # but for pictures that stand for two emoji
        assert set(data.labels) == set(range(9))


def test_the_package_holds_the_data_and_its_licence(shared_data):
    assert FILE.read_bytes() == (shared_data / "emoji32.npz").read_bytes()
    notice = FILE.with_suffix(".LICENSE.txt").read_text()
    assert "Apache License, Version 2.0" in notice
    assert "Google LLC and the Noto Emoji authors" in notice


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="`split` must be one of train, validation, test"):
        datasets.load("emoji32", "valid")
    with pytest.raises(ValueError, match="`image_size` must be None for emoji32"):
        datasets.load("emoji32", image_size=(64, 64))
