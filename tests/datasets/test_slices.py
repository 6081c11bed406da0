import numpy as np
import pytest
from fake_vqvae import random_images
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from keras_vqvae2 import datasets
from keras_vqvae2.datasets.emoji32 import read_sheets
from keras_vqvae2.datasets.slices import parse_slices, spread

ARRAY = random_images(20, (2, 3, 1))


@given(
    st.one_of(st.none(), st.integers(-25, 25)),
    st.one_of(st.none(), st.integers(-25, 25)),
)
def test_slices_in_images_are_those_of_an_array(start, stop):
    text = f"train[{'' if start is None else start}:{'' if stop is None else stop}]"
    if start is stop is None:
        return
    expected = ARRAY[start:stop]
    if len(expected) == 0:
        with pytest.raises(ValueError, match="`split` must hold at least one image. Received: "):
            datasets.load(ARRAY, text)
        return
    data = datasets.load((ARRAY, np.arange(20)), text)
    np.testing.assert_array_equal(data.images, expected, strict=True)
    np.testing.assert_array_equal(data.labels, np.arange(20)[start:stop])
    assert data.split == text


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("train[:80%]", range(16)),
        ("train[-10%:]", range(18, 20)),
        ("train[10%:20%]", range(2, 4)),
        ("train[12.5%:]", range(2, 20)),  # 2.5 rounds to the even number, as in TensorFlow Datasets
        (" train[ 90% : ] ", range(18, 20)),
        ("train[1_0:]", range(10, 20)),
        ("train[:10%] + train[95%:]", [0, 1, 19]),
        ("train", range(20)),
    ],
)
def test_slices_in_percent_and_joined(text, rows):
    np.testing.assert_array_equal(datasets.load(ARRAY, text).images, ARRAY[list(rows)])


@pytest.mark.parametrize(
    "text",
    ["train[", "train[]", "train[:]", "train[5]", "train[5%]", "train[1:2:3]", "train[:10%:]"]
    + ["train[:200%]", "train[10:50%]", "train[:1.5]", "train[a:b]", "train+", "", "train[:5]x"]
    + ["train(:5)", "train[:50 percent]", "train[--5:]", "train[_:]", "train[%:]", "a b"],
)
def test_another_syntax_is_refused_with_the_rule(text):
    for name in (ARRAY, "emoji32"):
        with pytest.raises(ValueError, match=r"`split` must be .*'train\[10%:20%\]'.* Received: "):
            datasets.load(name, text)


@pytest.mark.parametrize("split", [None, 3, ("train", "test")])
def test_a_split_that_is_no_text_is_refused(split):
    with pytest.raises(ValueError, match="`split` must be a string. Received: split="):
        datasets.load("emoji32", split)


def test_options_of_other_datasets_are_refused():
    for option in ({"image_key": "img"}, {"label_key": "y"}, {"skip_damaged": True}):
        (name,) = option
        for source in ("fashion_mnist", ARRAY):
            with pytest.raises(ValueError, match=f"`{name}` must be (None|False) for .* Received"):
                datasets.load(source, **option)
    with pytest.raises(ValueError, match="`image_size` must be None for arrays"):
        datasets.load(ARRAY, image_size=(4, 4))


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=40),
    st.floats(0, 100),
)
def test_a_share_is_of_each_class_and_its_rest_is_the_rest(labels, percent):
    places = spread(np.sort(labels))
    assert sorted(places) == list(range(len(labels)))
    for text in (f"train[:{percent:f}%]+train[{percent:f}%:]",):
        first, rest = (part.rows(places) for part in parse_slices(text))
    assert sorted([*first, *rest]) == list(range(len(labels)))
    assert len(first) == round(len(labels) * float(f"{percent:f}") / 100)
    for label in set(labels):
        count = labels.count(label)
        # Ranks of an even spread lie within a step of it for each class.
        taken = np.sum(np.sort(labels)[first] == label)
        assert abs(taken - count * len(first) / len(labels)) <= 4


@pytest.mark.parametrize("percent", [10, 50, 90])
def test_a_share_of_the_emoji_parts_no_glyph(percent):
    splits = ("train", f"train[:{percent}%]", f"train[{percent}%:]")
    whole, first, rest = (datasets.load("emoji32", s, label_key="group") for s in splits)
    assert len(first) + len(rest) == len(whole)
    # A glyph has up to 12 images, and of each kind the last one counts as a whole.
    assert abs(len(first) / len(whole) - percent / 100) < 0.015
    glyphs_of = {}
    for image, glyph in zip(*read_sheets()[:2], strict=True):
        glyphs_of.setdefault(bytes(image), set()).add(glyph)
    one, other = (set().union(*(glyphs_of[bytes(i)] for i in x.images)) for x in (first, rest))
    assert not one & other
    share = np.bincount(first.labels, minlength=9) / np.bincount(whole.labels, minlength=9)
    np.testing.assert_allclose(share, percent / 100, atol=0.1)


@pytest.mark.parametrize("layout", ["train/{}/{}.png", "train/{1}.png"])
def test_a_share_of_a_folder_has_all_classes(tmp_path, layout):
    for number in range(40):
        file = tmp_path / layout.format(("cat", "dog")[number // 30], f"{number:02}")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (1, 1), number).save(file)
    first, rest = (datasets.load(tmp_path, s) for s in ("train[:90%]", "train[90%:]"))
    found = [data.images[:].ravel().tolist() for data in (first, rest)]
    assert sorted(found[0] + found[1]) == list(range(40))
    assert [len(rows) for rows in found] == [36, 4]
    assert found[0] == sorted(found[0])
    if rest.labels is not None:
        assert rest.labels.tolist() == [0, 0, 0, 1]
    assert rest.split == "train[90%:]"
    with pytest.raises(ValueError, match=r"such as 'train\[-10%:\]': train. Received: split='val"):
        datasets.load(tmp_path, "validation[:5]")


def test_fashion_mnist_is_sliced_in_its_own_order(shared_data):
    folder = shared_data / "fashion-mnist"
    whole = datasets.load("fashion_mnist", "test", data_dir=folder)
    part = datasets.load("fashion_mnist", "test[90%:]", data_dir=folder)
    np.testing.assert_array_equal(part.images, whole.images[9000:])
    both = datasets.load("fashion_mnist", "test[:5]+validation[-5:]", data_dir=folder)
    assert len(both) == 10
