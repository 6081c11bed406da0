"""Pictures of strangers: refused in a sentence, or as the model takes them."""

import contextlib
from pathlib import Path

from keras_vqvae2.datasets.decoding import picture_header, read_picture
from keras_vqvae2.files.outside import size_of

MOST_BYTES = 8 * 2**20
# A phone's pictures have 12 million; decoded and resized these take some 200 MB.
MOST_PIXELS = 25_000_000
# Of a request: a picture, and what its form has around it.
MOST_REQUEST_BYTES = MOST_BYTES + 2**16
# A picture is decoded as soon as it is there, and its file not needed any more.
MOST_FILES = 64


def read_upload(path, image_shape):
    """Decode a picture that somebody uploaded, cropped and resized to a model's images.

    Args:
        path: of the file.
        image_shape: `(H, W, C)` of the model.

    Returns:
        uint8 array `[H, W, C]`.

    Raises:
        ValueError: if it is no picture, damaged, or too large; one sentence with its name.

    Example:

    ```python
    image = read_upload("photo.jpg", model.image_shape)
    ```
    """
    path = Path(path)
    height, width, channels = image_shape
    try:
        size_of(path, MOST_BYTES)
        (rows, columns), _ = picture_header(path)
        if rows * columns > MOST_PIXELS:
            raise ValueError(
                f"{path} must have at most {MOST_PIXELS:,} pixels. Received: {columns:,} × {rows:,}"
            )
        return read_picture(path, 1 if channels == 1 else 3, (height, width))
    except ValueError as error:
        # Where it lies here is nobody else's business.
        raise ValueError(str(error).replace(str(path), path.name)) from error


class BoundedUploads:
    """ASGI middleware: no request is larger than a picture, and uploads do not pile up.

    Args:
        app: the application.
        folder: where it keeps uploads. Before another one the oldest are deleted.
    """

    def __init__(self, app, folder):
        self.app = app
        self.folder = Path(folder)

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and scope["method"] == "POST":
            length = dict(scope["headers"]).get(b"content-length", b"")
            if not length.isdigit() or int(length) > MOST_REQUEST_BYTES:
                await _refuse(send)
                return
            if scope["path"].endswith("/upload"):
                trim(self.folder, MOST_FILES)
        await self.app(scope, receive, send)


async def _refuse(send):
    text = f"A request must have at most {MOST_REQUEST_BYTES:,} bytes, and say how many."
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


def trim(folder, most):
    """Delete the oldest files of a folder, at any depth, until it has fewer than `most`.

    Args:
        folder: path.
        most: of the files, at least 1.
    """
    ages = []
    for file in Path(folder).rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
            if file.is_file():
                ages.append((file.stat().st_mtime, file))
    for _, file in sorted(ages)[: max(0, len(ages) + 1 - most)]:
        file.unlink(missing_ok=True)
