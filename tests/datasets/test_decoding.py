"""What one picture file gives: its size before and after decoding, its colours, its damage."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from keras_vqvae2 import datasets
from keras_vqvae2.datasets.decoding import DamagedPicture, picture_header, read_picture

# Four colours in the corners of an oblong tell all eight orientations apart.
CORNERS = np.repeat(np.repeat(np.array([[0, 80], [160, 240]], "uint8"), 8, 0), 16, 1)
TURNED = {
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(np.transpose(x), 2),
    8: lambda x: np.rot90(x),
}


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def xmp_of(orientation):
    return f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()


def saved(format_, **options):
    buffer = io.BytesIO()
    Image.fromarray(CORNERS).convert("RGB").save(buffer, format_, **options)
    return buffer.getvalue()


def chunk(kind, content):
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png(*, before=b"", after=b""):
    content = saved("PNG")
    first, last = content.index(b"IDAT") - 4, content.index(b"IEND") - 4
    return content[:first] + before + content[first:last] + after + content[last:]


def itxt(text):
    return chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + text)


WAYS = {
    "jpeg": lambda o: saved("JPEG", quality=100, exif=exif_of(o)),
    "jpeg xmp": lambda o: saved("JPEG", quality=100, xmp=xmp_of(o)),
    "png": lambda o: png(before=chunk(b"eXIf", exif_of(o).tobytes()[6:])),
    "png late": lambda o: png(after=chunk(b"eXIf", exif_of(o).tobytes()[6:])),
    "png xmp": lambda o: png(before=itxt(xmp_of(o))),
    "png late xmp": lambda o: png(after=chunk(b"tEXt", b"a\0b") + itxt(xmp_of(o))),
    "tiff": lambda o: saved("TIFF", tiffinfo={0x0112: o}),
    "tiff lzw": lambda o: saved("TIFF", tiffinfo={0x0112: o}, compression="tiff_lzw"),
    "webp": lambda o: saved("WEBP", lossless=True, exif=exif_of(o)),
    "webp xmp": lambda o: saved("WEBP", lossless=True, xmp=xmp_of(o)),
    "avif": lambda o: saved("AVIF", quality=100, exif=exif_of(o)),
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("way", WAYS)
def test_the_size_declared_is_that_of_the_upright_pixels(tmp_path, way, orientation):
    if way == "avif" and ".avif" not in Image.registered_extensions():
        pytest.skip("this pillow has no AVIF")
    path = tmp_path / "picture"
    path.write_bytes(WAYS[way](orientation))
    size, channels = picture_header(path)
    pixels = read_picture(path, channels)
    expected = TURNED[orientation](CORNERS)
    assert size == pixels.shape[:2] == expected.shape
    # JPEG and AVIF lose a little.
    np.testing.assert_allclose(pixels[:, :, 0].astype(int), expected, atol=4)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", exif_of(9).tobytes(), exif_of(0).tobytes()])
def test_damaged_metadata_leaves_the_pixels_as_they_are(tmp_path, exif):
    path = tmp_path / "a.jpg"
    path.write_bytes(saved("JPEG", quality=100, exif=exif))
    assert picture_header(path) == (CORNERS.shape, 3)
    np.testing.assert_allclose(read_picture(path, 1)[:, :, 0].astype(int), CORNERS, atol=4)


def modes():
    red = Image.new("RGB", (4, 3), (200, 30, 30))
    palette = Image.new("P", (4, 3), 1)
    palette.putpalette([0, 0, 0, 200, 30, 30])
    clear = palette.copy()
    clear.putpixel((0, 0), 0)
    clear.info["transparency"] = 0
    half = Image.new("LA", (4, 3), (100, 255))
    half.putpixel((0, 0), (100, 0))
    yield "RGB", red, "png", 3, (200, 30, 30), None
    yield "P", palette, "png", 3, (200, 30, 30), None
    yield "P, one colour transparent", clear, "png", 3, (200, 30, 30), 255
    yield "P, one colour transparent", clear, "gif", 3, (200, 30, 30), 255
    yield "LA", half, "png", 1, (100,), 255
    yield "1", Image.new("1", (4, 3), 1), "png", 1, (255,), None
    yield "CMYK", Image.new("CMYK", (4, 3), (0, 255, 255, 55)), "tiff", 3, (200, 0, 0), None


@pytest.mark.parametrize(("name", "image", "suffix", "channels", "colour", "corner"), modes())
def test_every_mode_of_8_bits_has_a_rule(tmp_path, name, image, suffix, channels, colour, corner):
    path = tmp_path / f"a.{suffix}"
    try:
        image.save(path)
    except OSError:
        pytest.skip(f"pillow does not write {name} as {suffix}")
    assert picture_header(path) == ((3, 4), channels)
    pixels = read_picture(path, channels)
    if colour is not None:
        assert tuple(pixels[2, 3]) == colour
    if corner is not None:
        assert (pixels[0, 0] == corner).all()


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_more_than_8_bits_of_grey_are_refused(tmp_path, mode):
    Image.new(mode, (4, 3)).save(tmp_path / "a.tif")
    for read in (picture_header, lambda path: read_picture(path, 1)):
        with pytest.raises(ValueError, match=f"a.tif must have 8 bits a channel.*'{mode}") as error:
            read(tmp_path / "a.tif")
        assert not isinstance(error.value, DamagedPicture)


def test_colours_that_pillow_cannot_turn_into_rgb_are_refused(tmp_path):
    Image.new("LAB", (4, 3)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match="a.tif must be greyscale, RGB, .* Received: .*'LAB'"):
        picture_header(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_of_several_frames_the_first_is_read(tmp_path, suffix):
    frames = [Image.new("RGB", (6, 4), (60 * n, 0, 0)) for n in range(1, 4)]
    options = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(
        tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], duration=40, **options
    )
    assert picture_header(tmp_path / f"a.{suffix}")[0] == (4, 6)
    assert (read_picture(tmp_path / f"a.{suffix}", 3) == (60, 0, 0)).all()


def noise(format_, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype="uint8")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format_, **options)
    return buffer.getvalue()


def cut(format_, part):
    content = noise(format_)
    return content[: max(1, int(len(content) * part))]


def bomb():
    return noise("PNG").replace(
        noise("PNG")[8:33], chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    )


DAMAGED = {
    **{
        f"{format_} cut at {part}": (lambda f=format_, p=part: cut(f, p))
        for format_ in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "TGA", "AVIF")
        for part in (0.001, 0.01, 0.5)
    },
    "bomb": bomb,
    "empty": lambda: b"",
    "text": lambda: b"<html>404 Not Found</html>",
    "zeros": lambda: bytes(5000),
    "BMP with a false header": lambda: noise("BMP")[:14] + b"\xff" * 40 + noise("BMP")[54:],
    "PNG with a false checksum": lambda: noise("PNG")[:60] + b"\0\0\0" + noise("PNG")[63:],
    "EPS, which would start a program": lambda: noise("EPS"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_files_are_named_or_skipped(tmp_path, damage):
    if "AVIF" in damage and ".avif" not in Image.registered_extensions():
        pytest.skip("this pillow has no AVIF")
    for name in ("train/cat/1.png", "train/dog/2.png", "val/cat/3.png", "val/dog/4.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(noise("PNG"))
    (tmp_path / "train/cat/bad.png").write_bytes(DAMAGED[damage]())
    with pytest.raises(ValueError, match=r"bad\.png is .*Received") as error:
        datasets.load(tmp_path).images[:]
    assert isinstance(error.value, DamagedPicture)
    with pytest.warns(UserWarning, match=r"of the 5 pictures in .* are 1 that .*\n.*bad\.png is"):
        data = datasets.load(tmp_path, skip_damaged=True)
    assert data.labels.tolist() == [0, 1]
    assert data.images[:].shape == data.images[:].shape == (2, 40, 60, 3)
    # It would have made these of another size.
    with pytest.warns(UserWarning, match=r"bad\.png"):
        assert len(datasets.load(tmp_path, "validation", skip_damaged=True)) == 2


def test_skipping_leaves_whole_pictures_and_their_order_alone(tmp_path):
    (tmp_path / "train").mkdir()
    for number in range(7):
        Image.new("L", (4, 4), number).save(tmp_path / "train" / f"{number}.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = datasets.load(tmp_path, skip_damaged=True)
    assert data.images[:][:, 0, 0, 0].tolist() == list(range(7))
    for number in range(7):
        (tmp_path / "train" / f"{number}.png").write_bytes(b"")
    with (
        pytest.raises(ValueError, match="`split` must name a split with images"),
        pytest.warns(UserWarning, match="are 7 that are damaged"),
    ):
        datasets.load(tmp_path, skip_damaged=True)


def test_a_picture_that_changes_later_is_named(tmp_path):
    (tmp_path / "train").mkdir()
    path = tmp_path / "train" / "1.png"
    Image.new("L", (4, 4)).save(path)
    data = datasets.load(tmp_path)
    Image.new("L", (4, 6)).save(path)
    with pytest.raises(ValueError, match=r"Received: uint8 of shape \(6, 4, 1\) .*1\.png"):
        data.images[0]
    path.unlink()
    with pytest.raises(ValueError, match=r"1\.png cannot be opened: No such file"):
        data.images[0]
