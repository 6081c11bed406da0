import os

import numpy as np
import pytest
from PIL import Image

from keras_vqvae2 import datasets
from keras_vqvae2.datasets import folder, picture_index


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A folder of twelve pictures, large enough for an index, and what is read of them."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(picture_index, "LEAST_PICTURES", 2)
    root = tmp_path / "pictures"
    root.mkdir()
    for number in range(12):
        save(root / f"{number:02}.png")
    reads = []
    original = folder.picture_header

    def counted(path, decode=False):
        reads.append((os.path.basename(path), decode))
        return original(path, decode)

    monkeypatch.setattr(folder, "picture_header", counted)
    return root, reads


def save(path, side=8, mode="RGB"):
    Image.new(mode, (side, side), 7).save(path)


def load(root, reads, **options):
    """The shape of the images, and what was read to know it."""
    reads.clear()
    shape = datasets.load(root, **options).image_shape
    return shape, sorted(name for name, _ in reads)


def test_a_second_opening_reads_no_header(pictures):
    root, reads = pictures
    shape, read = load(root, reads)
    assert len(read) == 12
    assert load(root, reads) == (shape, [])
    assert picture_index.index_file(root).is_file()


def test_what_has_changed_is_read_again(pictures):
    root, reads = pictures
    load(root, reads)
    save(root / "03.png", mode="L")  # another size
    os.utime(root / "05.png", ns=(1, 1))  # another time
    save(root / "new.png")
    (root / "07.png").unlink()
    assert load(root, reads) == ((8, 8, 3), ["03.png", "05.png", "new.png"])
    assert load(root, reads) == ((8, 8, 3), [])
    save(root / "03.png", side=16)
    with pytest.raises(ValueError, match=r"`image_size=\(H, W\)` must be given.*03\.png"):
        load(root, reads)


def test_what_was_decoded_whole_is_not_decoded_again(pictures):
    root, reads = pictures
    load(root, reads)
    (root / "04.png").write_bytes((root / "04.png").read_bytes()[:45])
    with pytest.warns(UserWarning, match="1 that are damaged"):
        assert len(load(root, reads, skip_damaged=True)[1]) == 12
    with pytest.warns(UserWarning, match="1 that are damaged"):
        assert load(root, reads, skip_damaged=True)[1] == ["04.png"]
    # Of what was decoded the header is known too, and that of the damaged one is intact.
    assert load(root, reads)[1] == ["04.png"]


def test_a_folder_whose_pictures_are_all_damaged_is_refused(pictures):
    root, reads = pictures
    load(root, reads)
    for path in root.iterdir():
        path.write_bytes(b"no picture")
    with (
        pytest.warns(UserWarning, match="12 that are damaged"),
        pytest.raises(ValueError, match="`split` must name a split with images"),
    ):
        load(root, reads, skip_damaged=True)


@pytest.mark.parametrize("damage", ["cut", "gone", "other", "refused"])
def test_a_damaged_index_is_made_again(pictures, damage):
    root, reads = pictures
    expected = load(root, reads)
    file = picture_index.index_file(root)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:100])
    elif damage == "gone":
        file.unlink()
    elif damage == "other":
        np.savez(file, names=np.zeros(3, np.uint8), format=np.array(1))
    else:  # no folder can be made there
        file.unlink()
        file.parent.rmdir()
        file.parent.write_text("a file")
    assert load(root, reads) == expected
    assert len(load(root, reads)[1]) == (12 if damage == "refused" else 0)


def test_of_a_small_folder_nothing_is_kept(pictures, monkeypatch):
    root, reads = pictures
    monkeypatch.setattr(picture_index, "LEAST_PICTURES", 13)
    load(root, reads)
    assert not picture_index.index_file(root).exists()


def test_any_name_is_kept(pictures):
    root, reads = pictures
    for name in ("é\n.png", "spaced name.png"):
        save(root / name)
    with open(os.path.join(os.fsencode(root), b"\xff.png"), "wb") as file:
        file.write((root / "00.png").read_bytes())
    load(root, reads)
    assert load(root, reads)[1] == []
