import itertools

import numpy as np
import pytest

from keras_vqvae2 import datasets
from keras_vqvae2.datasets.emoji32 import FOLDER, KINDS, STYLES
from keras_vqvae2.datasets.splits import SPLITS


@pytest.fixture(scope="module")
def splits():
    return {split: datasets.load("emoji32", split) for split in SPLITS}


@pytest.fixture(scope="module")
def originals(shared_data):
    """The images before they were embedded: from bytes to the glyphs, kinds and styles of each."""
    with np.load(shared_data / "emoji4_32.npz") as file:
        columns = [file[name] for name in ("images", "groups", "labels", "styles")]
        assert file["label_names"].tolist() == list(KINDS)
    found = {}
    for image, *known in zip(*columns, strict=True):
        found.setdefault(bytes(image), set()).add(tuple(map(int, known)))
    return found


def test_each_image_lies_in_one_split(splits):
    assert [len(splits[split]) for split in SPLITS] == [7784, 1022, 917]


def test_images_are_the_originals_with_their_kinds(splits, originals):
    for data in splits.values():
        assert data.labels.dtype == np.int32
        assert data.label_names == tuple(KINDS)
        for image, label in zip(data.images, data.labels, strict=True):
            assert label in {kind for _, kind, _ in originals[bytes(image)]}


def test_no_glyph_straddles_splits(splits, originals):
    pictures = {split: set(map(bytes, data.images)) for split, data in splits.items()}
    glyphs = {
        split: {glyph for image in images for glyph, _, _ in originals[image]}
        for split, images in pictures.items()
    }
    for one, other in itertools.combinations(SPLITS, 2):
        assert not pictures[one] & pictures[other]
        assert not glyphs[one] & glyphs[other]


def test_each_split_holds_each_kind_in_about_its_share(splits):
    counts = np.array([np.bincount(splits[s].labels, minlength=len(KINDS)) for s in SPLITS])
    assert counts.min() >= 4
    common = counts[:, counts.sum(axis=0) >= 200]
    np.testing.assert_allclose(common[1:] / common.sum(axis=0), 0.1, atol=0.05)


def test_labels_may_be_the_groups_of_unicode_or_the_styles(splits, originals):
    for split, data in splits.items():
        grouped = datasets.load("emoji32", split, label_key="group")
        assert grouped.num_classes == len(set(KINDS.values())) == 9
        np.testing.assert_array_equal(grouped.images, data.images)
        for kind, group in zip(data.labels, grouped.labels, strict=True):
            assert grouped.label_names[group] == KINDS[data.label_names[kind]]
        styled = datasets.load("emoji32", split, label_key="style")
        assert styled.label_names == STYLES
        for image, style in zip(styled.images, styled.labels, strict=True):
            assert style in {style for _, _, style in originals[bytes(image)]}


def test_the_package_holds_the_notice_of_every_licence():
    notices = " ".join((FOLDER / "LICENSES.txt").read_text().split())
    for words in (
        "Google LLC and the Noto Emoji authors",
        "Apache License, Version 2.0",
        "Twitter, Inc and other contributors",
        "CC-BY 4.0",
        "Copyright (c) Microsoft Corporation",
        "MIT License",
    ):
        assert words in notices


def test_the_embedded_data_stay_small():
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 10_000_000


def test_what_is_unknown_is_refused():
    with pytest.raises(ValueError, match="`split` must be one of train, validation, test"):
        datasets.load("emoji32", "valid")
    with pytest.raises(ValueError, match="`image_size` must be None for emoji32"):
        datasets.load("emoji32", image_size=(64, 64))
    with pytest.raises(ValueError, match="`label_key` must be one of 'kind', 'group', 'style'"):
        datasets.load("emoji32", label_key="category")
