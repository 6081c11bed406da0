import os

import numpy as np
import pytest
from fake_vqvae import random_images
from PIL import Image

from keras_vqvae2 import datasets


def _save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    Image.fromarray(pixels).save(path, **options)


def test_every_picture_lies_in_one_split_and_is_decoded_as_saved(tmp_path):
    images = random_images(60, (6, 8, 3))
    for i, image in enumerate(images):
        _save(tmp_path / f"{i:02}.png", image)
    (tmp_path / "notes.txt").write_text("no picture")
    splits = [datasets.load(tmp_path, s) for s in ("train", "validation", "test")]
    found = np.concatenate([data.images[:] for data in splits])
    assert sorted(map(bytes, found)) == sorted(map(bytes, images))
    assert all(data.labels is None for data in splits)
    # 60 draws with 85 %: 51, give or take 2.8.
    assert 42 <= len(splits[0]) <= 59


def test_the_split_depends_on_the_name_alone(tmp_path):
    def names(folder):
        return [
            os.path.basename(path) for path in datasets.load("folder", data_dir=folder).images.items
        ]

    for i in range(20):
        _save(tmp_path / "a" / f"{i}.png", random_images(1, (4, 4, 3))[0])
        _save(tmp_path / "b" / f"{i}.png", random_images(1, (4, 4, 3), seed=1)[0])
    for i in range(20, 40):
        _save(tmp_path / "b" / f"{i}.png", random_images(1, (4, 4, 3))[0])
    assert set(names(tmp_path / "a")) < set(names(tmp_path / "b"))
    assert names(tmp_path / "b") == sorted(names(tmp_path / "b"))


def test_split_folders_and_class_folders(tmp_path):
    images = random_images(5, (4, 4, 1))
    _save(tmp_path / "train" / "cat" / "1.png", images[0])
    _save(tmp_path / "train" / "dog" / "deeper" / "1.png", images[1])
    _save(tmp_path / "train" / "eel" / "1.PNG", images[2])
    _save(tmp_path / "val" / "eel" / "2.png", images[3])
    _save(tmp_path / "val" / ".hidden" / "3.png", images[4])
    for name in ("cat", "dog"):  # of which it has none
        (tmp_path / "val" / name).mkdir()
    with pytest.warns(UserWarning, match="class folders without pictures, cat, dog of validation"):
        train, validation = (datasets.load(str(tmp_path), s) for s in ("train", "validation"))
    assert train.label_names == validation.label_names == ("cat", "dog", "eel")
    assert train.labels.tolist() == [0, 1, 2]
    assert validation.labels.tolist() == [2]
    np.testing.assert_array_equal(train.images[:], images[:3], strict=True)
    np.testing.assert_array_equal(validation.images[0], images[3], strict=True)
    with pytest.raises(ValueError, match="`split` must be one that .*train, validation. Received"):
        datasets.load(tmp_path, "test")


def test_image_size_crops_the_centre_and_resizes(tmp_path):
    # A grey square in the middle third of white, wide and tall.
    for name, shape, middle in (("a", (16, 48), (0, 16)), ("b", (48, 16), (16, 0))):
        image = np.full((*shape, 3), 255, "uint8")
        image[middle[0] : middle[0] + 16, middle[1] : middle[1] + 16] = 90
        _save(tmp_path / "train" / f"{name}.png", image)
    data = datasets.load(tmp_path, image_size=(8, 8))
    assert data.images[:].shape == (2, 8, 8, 3)
    # Lanczos looks three pixels beyond the window, where it is white.
    np.testing.assert_allclose(data.images[:].astype(int), 90, atol=12)


def test_one_color_picture_makes_all_rgb(tmp_path):
    _save(tmp_path / "train" / "a.png", np.full((4, 4), 7, "uint8"))
    assert datasets.load(tmp_path).image_shape == (4, 4, 1)
    _save(tmp_path / "test" / "b.png", np.full((4, 4, 3), 9, "uint8"))
    data = datasets.load(tmp_path)
    assert data.image_shape == (4, 4, 3)
    assert (data.images[0] == 7).all()


def test_transparency_is_laid_on_white(tmp_path):
    image = np.zeros((2, 2, 4), "uint8")
    image[0, 0] = (10, 20, 30, 255)
    _save(tmp_path / "train" / "a.png", image)
    _save(tmp_path / "train" / "b.webp", image, lossless=True)
    for pixels in datasets.load(tmp_path).images[:]:
        assert pixels[0, 0].tolist() == [10, 20, 30]
        assert (pixels[1] == 255).all()


def test_pictures_are_turned_as_the_camera_was_held(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    (tmp_path / "train").mkdir()
    pixels = np.full((4, 6, 3), 200, "uint8")
    pixels[:, :2] = 20  # the left becomes the top
    Image.fromarray(pixels).save(tmp_path / "train" / "a.png", exif=exif)
    data = datasets.load(tmp_path)
    assert data.image_shape == (6, 4, 3)
    assert (data.images[0][:2] == 20).all()
    assert (data.images[0][2:] == 200).all()


def test_wrong_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`data_dir` must name the folder"):
        datasets.load("folder")
    with pytest.raises(ValueError, match="`data_dir` must be a folder of images. Received: "):
        datasets.load(tmp_path / "missing")
    with pytest.raises(ValueError, match="`split` must name a split with images.*0 for train"):
        datasets.load(tmp_path)
    with pytest.raises(ValueError, match=r"`image_size` must be a pair \(H, W\). Received: .*=8"):
        datasets.load(tmp_path, image_size=8)


def test_several_sizes_need_image_size(tmp_path):
    _save(tmp_path / "train" / "a.png", np.zeros((4, 4, 3), "uint8"))
    _save(tmp_path / "train" / "b.png", np.zeros((4, 6, 3), "uint8"))
    with pytest.raises(ValueError, match=r"`image_size=\(H, W\)` must .*a.png of \(4, 4\).*b.png"):
        datasets.load(tmp_path)


def test_loose_pictures_beside_class_folders_are_refused(tmp_path):
    _save(tmp_path / "cat" / "a.png", np.zeros((4, 4, 3), "uint8"))
    _save(tmp_path / "b.png", np.zeros((4, 4, 3), "uint8"))
    with pytest.raises(ValueError, match="class sub-folders all or none. Received: b.png"):
        datasets.load(tmp_path)


def test_files_that_are_no_pictures_are_named(tmp_path):
    path = tmp_path / "train" / "a.png"
    _save(path, random_images(1, (64, 64, 3))[0])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"a\.png is not a complete picture"):
        datasets.load(tmp_path).images[0]
    path.write_bytes(b"text")
    with pytest.raises(ValueError, match=r"a\.png is not a picture"):
        datasets.load(tmp_path)
    Image.fromarray(np.zeros((4, 4), "uint16")).save(path)
    with pytest.raises(ValueError, match=r"a\.png must have 8 bits a channel. Received: .*I;16"):
        datasets.load(tmp_path)
