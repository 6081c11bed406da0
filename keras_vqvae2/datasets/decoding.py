"""Picture files and arrays of pixels by pillow: greyscale or RGB on white, cropped and resized."""

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
_ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 swap height and width
_GREY_MODES = ("1", "L", "LA")
_COLOR_MODES = ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")


def picture_header(path):
    """Return `(height, width)` and the channels, 1 or 3, of a picture file; no pixel is decoded.

    Raises:
        ValueError: if the file is no picture, or has more than 8 bits a channel.
    """
    with _open(path) as picture:
        if picture.mode not in _GREY_MODES + _COLOR_MODES:
            raise ValueError(
                f"{path} must have 8 bits a channel. Received: pillow's mode {picture.mode!r}"
            )
        width, height = picture.size
        # Pillow would decode a whole PNG to look for EXIF data after the pixels.
        has_exif = picture.format != "PNG" or "exif" in picture.info
        turned = has_exif and picture.getexif().get(_ORIENTATION, 1) >= 5
        size = (width, height) if turned else (height, width)
        return size, 1 if picture.mode in _GREY_MODES else 3


def read_picture(path, channels, image_size=None):
    """Decode a picture file: turned as its EXIF data says, transparency laid on white.

    Args:
        path: of the file.
        channels: 1 for greyscale, 3 for RGB.
        image_size: `(H, W)` to crop and resize to, or None.

    Returns:
        uint8 array `[H, W, channels]`.

    Raises:
        ValueError: if the file is no picture, or is cut off.
    """
    mode = "L" if channels == 1 else "RGB"
    with _open(path) as picture:
        try:
            picture.load()
        except (OSError, SyntaxError) as error:
            raise ValueError(f"{path} is not a complete picture: {error}") from error
        upright = ImageOps.exif_transpose(picture)
        if upright.has_transparency_data:
            upright = upright.convert("RGBA")
            upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
        pixels = np.asarray(upright.convert(mode))
    pixels = pixels.reshape(*pixels.shape[:2], channels)
    return pixels if image_size is None else fit_pixels(pixels, image_size)


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
    height, width = image_size
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    fitted = np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS))
    return fitted.reshape(height, width, pixels.shape[2])


def _open(path):
    try:
        return Image.open(path)
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is not a picture that pillow can read") from error
