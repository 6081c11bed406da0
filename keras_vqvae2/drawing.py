"""Pictures for people: grids of images, saved as PNG."""

import math
from pathlib import Path

import numpy as np

from keras_vqvae2 import files

HIDDEN_PIXEL = 160  # grey

# From black over blue, red and orange to yellow: each brighter than the one before, so that it is
# read in grey, too.
_HEAT = np.array([(0, 0, 16), (64, 16, 120), (176, 48, 96), (248, 128, 32), (255, 240, 96)])


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


def named_rows(images, names, padding=2, heads=()):
    """Lay images out in rows of one class each, with its name before it.

    Args:
        images: array `[B, H, W, C]`, pixels in [0, 255], class by class; only the last row may be
            shorter than the others.
        names: of the classes, one a row.
        padding: white pixels around each image.
        heads: what stands above the columns, each word over an equal share of them.

    Returns:
        uint8 array `[height, width, 3]`, the rows as `grid` makes them.

    Raises:
        ValueError: if `images` has another rank, or fewer images than names.

    Example:

    ```python
    save("samples.png", named_rows(model.generate(16, labels=[0] * 8 + [1] * 8), ["cat", "dog"]))
    ```
    """
    from PIL import Image, ImageDraw, ImageFont

    names = list(names)
    if not 0 < len(names) <= len(images):
        raise ValueError(
            "`names` must be at least one, and no more than the images. "
            f"Received: {len(names)} names of {len(images)} images"
        )
    picture = grid(images, -(-len(images) // len(names)), padding)
    height = np.shape(images)[1] + padding
    font = ImageFont.load_default(size=max(8, min(14, height - padding)))
    margin = 2 * padding + math.ceil(max(font.getlength(name) for name in names))
    left = Image.new("RGB", (margin, len(picture)), "white")
    draw = ImageDraw.Draw(left)
    for row, name in enumerate(names):
        middle = padding + row * height + (height - padding) / 2
        draw.text((padding, middle), name, "black", font, anchor="lm")
    rows = np.concatenate([np.asarray(left), np.broadcast_to(picture, (*picture.shape[:2], 3))], 1)
    if not heads:
        return rows
    above = Image.new("RGB", (rows.shape[1], sum(font.getmetrics()) + 2 * padding), "white")
    draw = ImageDraw.Draw(above)
    for column, head in enumerate(heads):
        middle = margin + (column + 0.5) * picture.shape[1] / len(heads)
        draw.text((middle, above.height / 2), head, "black", font, anchor="mm")
    return np.concatenate([np.asarray(above), rows])


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


def code_grids(codes, codebook):
    """Colour codes so that similar ones, by their vectors, look similar.

    The three directions in which the vectors of the codebook differ most are red, green and blue;
    along each all codes are spread evenly, by their rank.

    Args:
        codes: int array `[B, H, W]`.
        codebook: float array `[K, D]`, the vector of each code.

    Returns:
        uint8 array `[B, H, W, 3]`, a pixel a code.

    Example:

    ```python
    top, bottom = vqvae.encode(images)
    save("top.png", grid(code_grids(top, vqvae.quantizers[0].codebook)), scale=16)
    ```
    """
    centered = np.asarray(codebook, "float64")
    centered = centered - centered.mean(axis=0)
    directions = np.linalg.svd(centered, full_matrices=False)[2][:3]
    # A decomposition leaves the signs open: the largest part of each direction is positive.
    largest = np.abs(directions).argmax(axis=1)
    directions = directions * np.sign(directions[np.arange(len(directions)), largest])[:, None]
    ranks = (centered @ directions.T).argsort(axis=0).argsort(axis=0) / max(1, len(centered) - 1)
    colors = np.full((len(centered), 3), 128, np.uint8)
    colors[:, : ranks.shape[1]] = np.rint(255 * ranks)
    return colors[np.asarray(codes)]


def heat_map(values, image, most=None):
    """Lay numbers over an image: where they are small it is blue and dark, where large yellow.

    Args:
        values: float array `[H_l, W_l]`, not negative; the grid divides the image.
        image: uint8 array `[H, W, C]`, of which the brightness is kept in part.
        most: what is yellow; the largest of the values by default.

    Returns:
        uint8 array `[H, W, 3]`.

    Example:

    ```python
    top, bottom = model.prior.code_nll(model.vqvae.encode(images))
    save("spent.png", heat_map(bottom[0], images[0]), scale=8)
    ```
    """
    values, image = np.asarray(values), np.asarray(image)
    height, width = image.shape[:2]
    if height % values.shape[0] or width % values.shape[1]:
        raise ValueError(
            "`values` must be a grid that divides `image`. "
            f"Received: shapes {values.shape} and {image.shape}"
        )
    most = values.max() if most is None else most
    shares = np.clip(values / max(most, 1e-12), 0.0, 1.0)
    heat = np.stack(
        [np.interp(shares, np.linspace(0, 1, len(_HEAT)), channel) for channel in _HEAT.T], -1
    )
    heat = heat.repeat(height // values.shape[0], 0).repeat(width // values.shape[1], 1)
    brightness = image.mean(axis=-1, keepdims=True)
    return np.rint(0.6 * heat + 0.4 * brightness).astype(np.uint8)


def erased(images, known):
    """Return images with what is not known in grey.

    Args:
        images: uint8 array `[..., H, W, C]`.
        known: bool array `[H, W]`.

    Returns:
        uint8 array of the shape of `images`.

    Example:

    >>> erased(np.zeros((1, 2, 1), np.uint8), np.array([[True, False]])).ravel().tolist()
    [0, 160]
    """
    return np.where(known[:, :, None], images, HIDDEN_PIXEL).astype(np.uint8)


def pillow_image(picture):
    """Return a picture as pillow has it.

    Args:
        picture: uint8 array `[H, W, C]` with 1, 3 or 4 channels.

    Raises:
        ValueError: if it has another number of channels.
    """
    from PIL import Image

    if picture.shape[-1] not in (1, 3, 4):
        raise ValueError(f"`picture` must have 1, 3 or 4 channels. Received: shape={picture.shape}")
    return Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture)


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

    image = pillow_image(picture)
    image = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    files.write(path, image.save)
