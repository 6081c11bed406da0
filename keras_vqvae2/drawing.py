"""Pictures for people: grids of images, saved as PNG."""

import math
from pathlib import Path

import numpy as np

from keras_vqvae2 import files


def grid(images, columns=None, padding=2):
    """Lay a batch of images out as one picture, row by row on white.

    Args:
        images: array `[B, H, W, C]`, pixels in [0, 255].
        columns: images a row; by default as many as make the grid about square.
        padding: white pixels around each image.

    Returns:
        uint8 array `[rows * (H + padding) + padding, columns * (W + padding) + padding, C]`.

    Raises:
        ValueError: if `images` has another rank or no image.

    Example:

    ```python
    grid(np.zeros((64, 32, 32, 3))).shape  # (274, 274, 3)
    ```
    """
    images = np.asarray(images)
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(
            f"`images` must have the shape [B, H, W, C], B > 0. Received: shape={images.shape}"
        )
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    tiles = np.full((rows * columns, height + padding, width + padding, channels), 255, np.uint8)
    tiles[:count, padding:, padding:] = np.clip(np.rint(images), 0, 255).astype(np.uint8)
    tiles = tiles.reshape(rows, columns, height + padding, width + padding, channels)
    picture = tiles.transpose(0, 2, 1, 3, 4).reshape(
        rows * (height + padding), columns * (width + padding), channels
    )
    return np.pad(picture, ((0, padding), (0, padding), (0, 0)), constant_values=255)


def pairs(originals, reconstructions, columns=None, padding=2):
    """Lay originals out as one picture, each with its reconstruction to the right.

    Args:
        originals: array `[B, H, W, C]`, pixels in [0, 255].
        reconstructions: array of the same shape.
        columns: pairs a row; by default as many as make the grid about square.
        padding: white pixels around each image.

    Returns:
        uint8 array `[height, width, C]`, as `grid` makes it.

    Raises:
        ValueError: if the two differ in shape, or are no images.

    Example:

    ```python
    save("reconstructions.png", pairs(images, model.reconstruct(images)))
    ```
    """
    originals, reconstructions = np.asarray(originals), np.asarray(reconstructions)
    if originals.shape != reconstructions.shape:
        raise ValueError(
            "`reconstructions` must have the shape of `originals`. "
            f"Received: shapes {reconstructions.shape} and {originals.shape}"
        )
    columns = columns or math.ceil(math.sqrt(len(originals) / 2))
    both = np.stack([originals, reconstructions], axis=1)  # [B, 2, H, W, C]
    return grid(both.reshape(-1, *originals.shape[1:]), 2 * columns, padding)


def save(path, picture, scale=2):
    """Write a picture as PNG, enlarged without smoothing.

    Args:
        path: the file to write.
        picture: uint8 array `[H, W, C]` with 1, 3 or 4 channels.
        scale: screen pixels a pixel.

    Raises:
        ValueError: if a PNG cannot hold so many channels.

    Example:

    ```python
    save("samples.png", grid(model.generate(64)))
    ```
    """
    from PIL import Image

    if picture.shape[-1] not in (1, 3, 4):
        raise ValueError(f"`picture` must have 1, 3 or 4 channels. Received: shape={picture.shape}")
    image = Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture)
    image = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    files.write(path, image.save)
