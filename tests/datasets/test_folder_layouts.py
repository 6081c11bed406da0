"""Folders as people have them: each is read as an independent walk reads it, or is refused."""

import contextlib
import os
import shutil
import tempfile
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_vqvae2 import datasets
from keras_vqvae2.datasets.splits import SPLITS, split_of

MEANINGS = {
    **dict.fromkeys(("train", "Train", "TRAINING", "train_set", "train2017"), "train"),
    **dict.fromkeys(("val", "valid", "Validation", "dev"), "validation"),
    **dict.fromkeys(("test", "Testing"), "test"),
}
NAMES = ["cat", "dog", "Überholer", "bullet_train", "a b", "v1.png", *MEANINGS]
HIDDEN = [".git", "__MACOSX", "@eaDir", "$RECYCLE.BIN", ".ipynb_checkpoints"]
PICTURES = ["1.png", "2.PNG", "é.png", "10.pgm"]
OTHERS = ["notes.txt", "3.heic", "4", ".5.png", "Thumbs.db"]
IMAGES = {}


def picture(file):
    """Write a picture whose only pixel tells it from all others."""
    number = len(IMAGES)
    Image.fromarray(np.full((1, 1), number, "uint8")).save(file)
    IMAGES[number] = file


@contextlib.contextmanager
def folder():
    """A folder of its own for each example; fixtures serve all examples of a test at once."""
    IMAGES.clear()
    path = Path(tempfile.mkdtemp())
    try:
        yield path
    finally:
        shutil.rmtree(path)


def names(*others):
    return st.sampled_from([*NAMES, *HIDDEN, *others])


files = st.lists(st.sampled_from([*PICTURES, *OTHERS]), max_size=3, unique=True)
leaves = st.fixed_dictionaries({"files": files, "folders": st.just({})})
# Mostly trees that are meant well: the same classes in each split.
classes = st.dictionaries(names(), leaves, min_size=1, max_size=3)
trees = st.one_of(
    st.fixed_dictionaries({"files": files, "folders": classes}),
    st.fixed_dictionaries(
        {
            "files": st.lists(st.sampled_from(OTHERS), max_size=2, unique=True),
            "folders": st.dictionaries(
                names(), st.fixed_dictionaries({"files": files, "folders": classes}), max_size=3
            ),
        }
    ),
    st.builds(
        lambda splits, inner: {"files": [], "folders": dict.fromkeys(splits, inner)},
        st.lists(st.sampled_from(list(MEANINGS)), min_size=1, max_size=3, unique=True),
        st.fixed_dictionaries({"files": st.just([]), "folders": classes}),
    ),
)


def build(path, tree, links):
    path.mkdir(exist_ok=True)
    for name in tree["files"]:
        if name in OTHERS:
            (path / name).write_bytes(b"no picture")
        else:
            picture(path / name)
    for name, inner in tree["folders"].items():
        if links and len(name) % 2:  # some lie elsewhere
            elsewhere = Path(tempfile.mkdtemp(dir=links))
            build(elsewhere / "x", inner, links)
            (path / name).symlink_to(elsewhere / "x")
        else:
            build(path / name, inner, links)


def walk(root):
    """All pictures of a folder as `{path: number}`, by another way than the package's."""
    found = {}
    for base, folders, here in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if name not in HIDDEN]
        for name in here:
            if name in PICTURES:
                file = Path(base, name)
                found[file.relative_to(root).parts] = int(np.asarray(Image.open(file))[0, 0])
    return found


def expected(root):
    """`{split: {number: label name}}`, or None where the folders leave a doubt."""
    found = walk(root)
    tops = {name for name in os.listdir(root) if (root / name).is_dir()} - set(HIDDEN)
    inner = {}
    for parts in found:
        for depth in range(1, len(parts) - 1):
            inner.setdefault(parts[:depth], set()).add(parts[depth])
    for below in inner.values():
        meant = [MEANINGS[name] for name in below if name in MEANINGS]
        if len(meant) == len(below) or len(set(meant)) > 1:
            return None  # splits below classes
    splits = {name: MEANINGS[name] for name in tops if name in MEANINGS}
    if not splits:
        result = {split: {} for split in SPLITS}
        for parts, number in found.items():
            result[split_of("/".join(parts))][number] = parts[:-1]
        whole = [{n: p for rows in result.values() for n, p in rows.items()}]
    else:
        if len(set(splits.values())) < len(splits):
            return None  # two names of one split
        if any(parts[0] not in splits for parts in found):
            return None  # pictures beside the splits
        result = {split: {} for split in splits.values()}
        for parts, number in found.items():
            result[splits[parts[0]]][number] = parts[1:-1]
        whole = result.values()
    kinds = []
    for rows in whole:
        if len({bool(folders) for folders in rows.values()}) > 1:
            return None  # pictures beside classes
    for split, rows in result.items():
        kinds.append({folders[0] for folders in rows.values() if folders})
        top = root / {s: n for n, s in splits.items()}.get(split, "")
        kinds[-1] = kinds[-1] and kinds[-1] | {
            n for n in os.listdir(top) if (top / n).is_dir() and n not in HIDDEN
        }
    every = {f[0] for rows in result.values() for f in rows.values() if f}
    if any(kind and not every <= kind for kind in kinds):
        return None  # other classes
    name = lambda folders: unicodedata.normalize("NFC", folders[0]) if folders else None  # noqa: E731
    return {split: {n: name(f) for n, f in rows.items()} for split, rows in result.items()}


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(trees, st.booleans())
def test_a_folder_is_read_as_a_walk_reads_it_or_refused(tree, linked):
    with folder() as path, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = path / "root"
        build(root, tree, path if linked else None)
        truth = expected(root)
        for split in SPLITS:
            if truth is None or not truth.get(split):
                with pytest.raises(ValueError, match="Received"):
                    datasets.load(root, split)
                continue
            data = datasets.load(root, split)
            labels = [None] * len(data)
            if data.labels is not None:
                labels = [data.label_names[label] for label in data.labels]
            found = dict(zip(data.images[:].ravel().tolist(), labels, strict=True))
            assert found == truth[split]
            assert len(data) == len(found)


def tree(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        picture(root / path)
    return root


@pytest.fixture(autouse=True)
def _counted_from_zero():
    IMAGES.clear()


@pytest.mark.parametrize(
    ("one", "two"),
    [("train", "test"), ("Train", "TEST"), ("training_set", "test-set"), ("train2017", "val2017")]
    + [("seg_train", "seg_test"), ("trainA", "testA"), ("training", "dev"), ("Train Data", "eval")],
)
def test_splits_are_known_as_people_name_them(tmp_path, one, two):
    tree(tmp_path, f"{one}/cat/1.png", f"{one}/dog/1.png", f"{two}/cat/1.png", f"{two}/dog/1.png")
    for hidden in ("__MACOSX", "@eaDir", "$Recycle.Bin", ".git"):
        tree(tmp_path, f"{hidden}/1.png", f"{one}/{hidden}/1.png", f"{one}/cat/{hidden}/1.png")
    (tmp_path / "train.csv").write_text("")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train = datasets.load(tmp_path)
    assert train.images[:].ravel().tolist() == [0, 1]
    assert (train.labels.tolist(), train.label_names) == ([0, 1], ("cat", "dog"))
    other = "validation" if two[0] in "vde" else "test"
    assert datasets.load(tmp_path, other).images[:].ravel().tolist() == [2, 3]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (
            ["train/a/1.png", "test/a/1.png", "unlabeled/1.png"],
            "'test', 'train' beside 'unlabeled'",
        ),
        (["train/a/1.png", "cover.png"], "the splits 'train' beside 'cover.png'"),
        (["bus/1.png", "train/1.png", "car/1.png"], "the splits 'train' beside 'bus', 'car'"),
        (["val/1.png", "validation/1.png"], "'val', 'validation', all of which mean validation"),
        (["Train/1.png", "train/1.png"], "'Train', 'train', all of which mean train"),
        (["trainA/1.png", "trainB/1.png"], "'trainA', 'trainB', all of which mean train"),
        (["train/n01/images/1.png", "val/images/1.png"], "train without 'images'; validation wi"),
        (["train/a/1.png", "test/A/1.png"], "train without 'A'; test without 'a'"),
        (["train/a/1.png", "train/b/1.png", "test/a/1.png"], "test without 'b'"),
        (["train/a/1.png", "train/2.png"], "class sub-folders all or none. Received: 2.png"),
        (["bottle/train/good/1.png", "bottle/test/bad/1.png"], "'test', 'train' in bottle"),
        (["bottle/ground_truth/1.png", "bottle/train/1.png", "bottle/test/1.png"], "in bottle"),
        (["archive/data/train/a/1.png", "archive/data/val/a/1.png"], "in archive/data"),
        (["train/train/1.png", "test/test/1.png"], "'test' in test"),
    ],
)
def test_what_would_be_a_guess_is_refused(tmp_path, paths, message):
    tree(tmp_path, *paths)
    for split in SPLITS:
        with pytest.raises(ValueError, match=message):
            datasets.load(tmp_path, split)


def test_a_split_without_classes_is_unlabelled(tmp_path):
    tree(tmp_path, "train/a/1.png", "train/b/1.png", "test/1.png", "test/2.png")
    train, test = (datasets.load(tmp_path, split) for split in ("train", "test"))
    assert train.labels.tolist() == [0, 1]
    assert test.labels is test.label_names is test.num_classes is None
    with pytest.raises(ValueError, match="`split` must join splits that all have labels"):
        datasets.load(tmp_path, "train+test")


def test_a_class_may_be_called_as_a_split_is(tmp_path):
    tree(tmp_path, "train/bus/1.png", "train/train/1.png", "val/bus/1.png", "val/train/1.png")
    assert datasets.load(tmp_path, "validation").label_names == ("bus", "train")


def test_links_are_followed_and_broken_ones_told(tmp_path):
    tree(tmp_path, "store/x/1.png", "store/2.png", "set/train/cat/1.png")
    train = tmp_path / "set" / "train"
    (train / "dog").symlink_to(tmp_path / "store" / "x")
    (train / "eel").symlink_to("nowhere")
    (train / "cat" / "2.png").symlink_to(tmp_path / "store" / "2.png")
    (train / "cat" / "3.png").symlink_to("3.png")  # itself
    with pytest.warns(UserWarning, match="lead nowhere, train/cat/3.png, train/eel"):
        data = datasets.load(tmp_path / "set")
    assert data.label_names == ("cat", "dog")
    assert data.images[:].ravel().tolist() == [2, 1, 0]


def test_links_without_an_end_are_refused(tmp_path):
    tree(tmp_path, "set/cat/1.png", "other/1.png")
    (tmp_path / "set" / "dog").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "back").symlink_to(tmp_path / "set")
    with pytest.raises(ValueError, match="must hold no link to a folder that it lies in.*back"):
        datasets.load(tmp_path / "set")


def test_what_is_left_out_is_told_once(tmp_path):
    tree(tmp_path, *(f"train/{name}/{i}.png" for i in range(30) for name in ("cat", "dog")))
    (tmp_path / "train" / "eel").mkdir()
    for i in range(3):
        (tmp_path / "train" / "cat" / f"{i}.HEIC").write_bytes(b"")
        (tmp_path / "train" / "dog" / f"{i}").write_bytes(b"")
    (tmp_path / "train" / "dog" / "a.jxl").write_bytes(b"")
    with pytest.warns(UserWarning, match="Left out") as told:
        datasets.load(tmp_path, "train[:50%]")
    (message,) = (str(warning.message) for warning in told)
    for part in ("3 files with the suffix .heic", "1 file with the suffix .jxl"):
        assert part in message
    assert "3 files without a suffix" in message
    assert "class folders without pictures, eel of train" in message
    assert told[0].filename == __file__


@pytest.mark.parametrize("suffix", [".jfif", ".pgm", ".avif", ".jp2", ".tga", ".ico", ".dib"])
def test_every_format_that_pillow_decodes_is_read(tmp_path, suffix):
    from keras_vqvae2.datasets.decoding import picture_suffixes

    if suffix not in picture_suffixes():
        pytest.skip(f"this pillow decodes no {suffix}")
    pixels = np.full((16, 32, 3), 200, "uint8")
    if suffix == ".pgm":
        pixels = pixels[:, :, 0]
    (tmp_path / "train").mkdir()
    for name in (f"1{suffix}", f"2{suffix.upper()}"):
        Image.fromarray(pixels).save(tmp_path / "train" / name, sizes=[(32, 16)])
    data = datasets.load(tmp_path)
    assert data.images[:].shape == (2, 16, 32, 1 if suffix == ".pgm" else 3)
    np.testing.assert_allclose(data.images[:].astype(int), 200, atol=3)


def test_names_that_are_no_text_are_read(tmp_path):
    picture(tmp_path / "1.png")
    content = (tmp_path / "1.png").read_bytes()
    for number in range(30):
        with open(os.fsencode(tmp_path) + b"/\xff%d.png" % number, "wb") as file:
            file.write(content)
    assert sum(len(datasets.load(tmp_path, split)) for split in SPLITS) == 31


def test_one_accent_written_in_two_ways_is_one_class(tmp_path):
    for split, form in (("train", "NFC"), ("val", "NFD")):
        tree(tmp_path, f"{split}/{unicodedata.normalize(form, 'café')}/1.png")
    assert datasets.load(tmp_path, "validation").label_names == ("café",)
