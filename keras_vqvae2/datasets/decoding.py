"""Picture files and arrays of pixels by pillow: greyscale or RGB on white, cropped and resized."""

import contextlib
import functools

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

# Of these pillow reads the header alone, or it asks another program or Windows for the pixels.
_WITHOUT_DECODER = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")
_COMMON = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # tried first
_GREY_MODES = ("1", "L", "LA")
_COLOR_MODES = ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV")
_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_METADATA = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")
# The keywords of a PNG's texts that may hold an orientation.
_PNG_TEXTS = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")


class DamagedPicture(ValueError):
    """A file that should be a picture and cannot be decoded; the message names it."""


def picture_suffixes():
    """Return the suffixes of the pictures that the installed pillow decodes, in lower case.

    Plugins that are registered with pillow count: `pillow_heif.register_heif_opener()` adds
    `.heic`.
    """
    formats = {*_formats(), "MPO"}  # which the plugin of JPEG opens
    return {suffix for suffix, name in Image.registered_extensions().items() if name in formats}


def picture_header(path, decode=False):
    """Return `(height, width)` and the channels, 1 or 3, of a picture file.

    Args:
        path: of the file.
        decode: whether the pixels are decoded as well, which finds damage in them.

    Raises:
        DamagedPicture: if the file cannot be read as a picture.
        ValueError: if it has more than 8 bits a channel, or cannot be opened.
    """
    with _opened(path) as picture:
        size = _upright_size(picture)
        channels = 1 if picture.mode in _GREY_MODES else 3
        if decode:
            _decoded(picture, channels)
        return size, channels


def read_picture(path, channels, image_size=None):
    """Decode a picture file: turned as its metadata says, transparency laid on white.

    Of several frames or pages the first is read. CMYK becomes RGB by pillow's formula, without
    colour profiles. Of colours with 16 bits pillow gives the upper 8.

    Args:
        path: of the file.
        channels: 1 for greyscale, 3 for RGB.
        image_size: `(H, W)` to crop and resize to, or None.

    Returns:
        uint8 array `[H, W, channels]`.

    Raises:
        DamagedPicture: if the file cannot be read as a picture.
        ValueError: if it has more than 8 bits a channel, or cannot be opened.
    """
    with _opened(path) as picture:
        image = _decoded(picture, channels)
        return _to_pixels(image if image_size is None else _fitted(image, image_size))


def fit_pixels(pixels, image_size):
    """Cut the largest centred window of the wanted proportions out of an image and resize it.

    Args:
        pixels: uint8 array `[H, W, C]`, `C` 1 or 3.
        image_size: the wanted `(H, W)`.

    Returns:
        uint8 array `[*image_size, C]`.

    Example:

    >>> fit_pixels(np.zeros((20, 40, 3), "uint8"), (16, 16)).shape
    (16, 16, 3)
    """
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    return _to_pixels(_fitted(image, image_size))


def _fitted(image, image_size):
    height, width = image_size
    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)


def _to_pixels(image):
    pixels = np.asarray(image)
    return pixels.reshape(*pixels.shape[:2], -1)


def _formats():
    """The formats that are decoded, whatever a file's name says of its content."""
    Image.init()
    return _with_decoder(tuple(Image.ID))


@functools.lru_cache(maxsize=1)
def _with_decoder(formats):
    missing = () if features.check_codec("jpg_2000") else ("JPEG2000",)
    decoded = [name for name in formats if name not in _WITHOUT_DECODER + missing]
    return sorted(decoded, key=lambda name: name not in _COMMON)


@contextlib.contextmanager
def _opened(path):
    """Open a picture of a known mode; all that is wrong with it is a ValueError with its name."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "rb"))
        except OSError as error:
            raise ValueError(f"{path} cannot be opened: {error.strerror}") from error
        try:
            picture = stack.enter_context(Image.open(file, formats=_formats()))
            if picture.mode in _GREY_MODES + _COLOR_MODES:
                yield picture
                return
        except Exception as error:  # OSError, SyntaxError, struct.error, …: a plugin's own
            raise DamagedPicture(f"{path} {_damage(error, file)}") from error
        mode = picture.mode
    rule = "have 8 bits a channel" if mode[0] in "IF" else "be greyscale, RGB, CMYK or a palette's"
    raise ValueError(f"{path} must {rule}. Received: pillow's mode {mode!r}")


def _damage(error, file):
    if isinstance(error, UnidentifiedImageError):
        file.seek(0)
        start = file.read(16)
        found = f"a file that begins with {start!r}" if start else "an empty file"
        return f"is not a picture that pillow can read. Received: {found}"
    if isinstance(error, Image.DecompressionBombError):
        return f"is larger than pillow allows, see `PIL.Image.MAX_IMAGE_PIXELS`. Received: {error}"
    return f"is not a complete picture. Received: {type(error).__name__}: {error}"


def _decoded(picture, channels):
    """The decoded picture, greyscale or RGB."""
    turn = _UPRIGHT.get(_orientation(picture))
    picture.load()
    upright = picture if turn is None else picture.transpose(turn)
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
    return upright.convert("L" if channels == 1 else "RGB")


def _upright_size(picture):
    """The `(height, width)` that `_decoded` will have, if possible without decoding."""
    if picture.format == "TIFF":
        # Which versions of pillow give as stored, and which as turned, is not for us to know.
        width, height = picture.tag_v2[256], picture.tag_v2[257]
        turned = picture.tag_v2.get(_ORIENTATION) in (5, 6, 7, 8)
    else:
        turned = _orientation(picture) >= 5  # these swap height and width
        width, height = picture.size
    return (width, height) if turned else (height, width)


def _orientation(picture):
    """The orientation, 1 to 8, in which decoding will give the pixels of a picture."""
    if picture.format == "TIFF":
        return 1  # Pillow turns them itself.
    if picture.format == "PNG" and "exif" not in picture.info and _has_late_metadata(picture.fp):
        picture.load()
    if not any(key in picture.info for key in _METADATA):
        return 1
    try:
        # A PNG's own method would decode every picture to look for what may follow the pixels.
        orientation = Image.Image.getexif(picture).get(_ORIENTATION)
    except Exception:  # Damaged metadata of whole pixels: as browsers do, take them as they are.
        return 1
    return int(orientation) if orientation in range(1, 9) else 1


def _has_late_metadata(file):
    """Whether EXIF or XMP data follows the pixels of a PNG."""
    if file is None or file.closed:
        return False  # It is decoded, and its metadata read.
    before, position, in_pixels = file.tell(), 8, False
    try:
        while True:
            file.seek(position)
            head = file.read(8)
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if len(head) < 8 or kind == b"IEND":
                return False
            in_pixels = in_pixels or kind == b"IDAT"
            if in_pixels and kind == b"eXIf":
                return True
            is_text = in_pixels and kind in (b"iTXt", b"tEXt", b"zTXt")
            if is_text and file.read(min(length, 32)).startswith(_PNG_TEXTS):
                return True
            position += 12 + length  # Its length, name and checksum lie around the content.
    finally:
        file.seek(before)
