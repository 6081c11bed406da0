import numpy as np
import pytest
from PIL import Image

from keras_vqvae2 import drawing


def test_each_image_lies_in_its_place():
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
    picture = drawing.grid(images, columns=3, padding=1)
    assert picture.shape == (2 * 5 + 1, 3 * 7 + 1, 3)
    for index, image in enumerate(images):
        row, column = divmod(index, 3)
        top, left = 1 + row * 5, 1 + column * 7
        np.testing.assert_array_equal(picture[top : top + 4, left : left + 6], image)
    assert (picture[6:, 15:] == 255).all()  # The sixth place is empty.
    assert (picture[0] == 255).all()
    assert (picture[:, -1] == 255).all()


def test_floats_are_rounded_and_clipped():
    images = np.array([-3.0, 0.6, 254.6, 300.0]).reshape(4, 1, 1, 1)
    picture = drawing.grid(images, columns=4, padding=0)
    np.testing.assert_array_equal(picture.ravel(), [0, 1, 255, 255])


def test_each_row_of_a_class_stands_beside_its_name():
    images = np.random.default_rng(0).integers(0, 256, (5, 20, 20, 1), dtype=np.uint8)
    picture = drawing.named_rows(images, ["one", "much longer"], padding=2)
    plain = drawing.grid(images, columns=3, padding=2)
    assert (picture.shape[0], picture.shape[2]) == (plain.shape[0], 3)
    margin = picture.shape[1] - plain.shape[1]
    np.testing.assert_array_equal(picture[:, margin:], np.repeat(plain, 3, axis=-1))
    ink = [(rows[:, :margin] < 128).any(axis=(0, 2)).sum() for rows in (picture[:22], picture[22:])]
    assert 0 < ink[0] < ink[1]  # names of another length, each in its row
    with pytest.raises(ValueError, match="`names` must be at least one, and no more than the"):
        drawing.named_rows(images, [])


def test_heads_stand_above_equal_shares_of_the_columns():
    images = np.zeros((8, 60, 60, 3), np.uint8)
    rows = drawing.named_rows(images, ["one", "two"])
    picture = drawing.named_rows(images, ["one", "two"], heads=["a", "much wider"])
    above = picture[: len(picture) - len(rows)]
    np.testing.assert_array_equal(picture[len(above) :], rows)
    middle = rows.shape[1] - (4 * 62 + 2) // 2  # of the four columns
    ink = (above < 128).any(axis=(0, 2))
    left, right = ink[:middle].nonzero()[0], middle + ink[middle:].nonzero()[0]
    for found, expected in ((left, middle - 62), (right, middle + 62)):
        assert (found[0] + found[-1]) / 2 == pytest.approx(expected, abs=3)
    assert np.ptp(left) < np.ptp(right)


def test_a_reconstruction_lies_beside_its_original():
    originals = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1)
    picture = drawing.pairs(originals, originals + 100, columns=2, padding=0)
    np.testing.assert_array_equal(picture[:, :, 0], [[0, 100, 1, 101], [2, 102, 255, 255]])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_saved_picture_comes_back(tmp_path, channels):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    file = tmp_path / "new" / "picture.png"
    drawing.save(file, picture, scale=3)
    read = np.asarray(Image.open(file)).reshape(15, 21, channels)
    np.testing.assert_array_equal(read[1::3, 1::3], picture)


def test_similar_codes_have_similar_colors():
    # Along the main direction from small to large, along the second one the other way.
    codebook = np.array([[0, 3, 0], [10, 2, 0], [20, 1, 0], [30, 0, 0]])
    (picture,) = drawing.code_grids([[[0, 1], [2, 3]]], codebook)
    assert (picture.shape, picture.dtype) == ((2, 2, 3), np.uint8)
    np.testing.assert_array_equal(picture[..., 0].ravel(), [0, 85, 170, 255])
    np.testing.assert_array_equal(drawing.code_grids([[[3]]], codebook)[0, 0, 0], picture[1, 1])


def test_a_codebook_of_one_dimension_is_red():
    picture = drawing.code_grids([[[0, 1]]], np.array([[1.0], [-1.0]]))
    np.testing.assert_array_equal(picture[0, 0], [[255, 128, 128], [0, 128, 128]])


def test_heat_lies_over_the_part_of_the_image_that_it_is_of():
    image = np.full((4, 6, 3), 100, np.uint8)
    heat = drawing.heat_map([[0.0, 1.0, 2.0], [4.0, 8.0, 0.0]], image).astype(int)
    assert heat.shape == (4, 6, 3)
    cells = heat.reshape(2, 2, 3, 2, 3).transpose(0, 2, 1, 3, 4).reshape(6, 4, 3)
    assert (cells == cells[:, :1]).all(), "one color a cell"
    brightness = cells[:, 0].sum(axis=-1)
    assert list(brightness.argsort(kind="stable")) == [0, 5, 1, 2, 3, 4]
    # On a scale of its own nothing changes but the largest.
    np.testing.assert_array_equal(drawing.heat_map([[8.0]], image, most=8)[0, 0], cells[4, 0])
    bright = drawing.heat_map([[0.0]], image + 100)
    assert (bright > drawing.heat_map([[0.0]], image)).all(), "the image shines through"
    with pytest.raises(ValueError, match="`values` must be a grid that divides `image`"):
        drawing.heat_map(np.zeros((3, 3)), image)


def test_wrong_pictures_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`images` must have the shape .*shape=\(0, 4, 4, 3\)"):
        drawing.grid(np.zeros((0, 4, 4, 3)))
    with pytest.raises(ValueError, match="`reconstructions` must have the shape of `originals`"):
        drawing.pairs(np.zeros((2, 4, 4, 3)), np.zeros((2, 4, 4, 1)))
    with pytest.raises(ValueError, match=r"1, 3 or 4 channels. Received: shape=\(4, 4, 2\)"):
        drawing.save(tmp_path / "two.png", np.zeros((4, 4, 2), np.uint8))
