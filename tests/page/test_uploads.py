"""Pictures of strangers, and requests: within bounds, or refused in a sentence."""

import asyncio
import io
import os

import numpy as np
import pytest
from PIL import Image

from keras_vqvae2.page import eraser, figures, uploads
from keras_vqvae2.page.views import View


def picture(path, size=(20, 16), mode="RGB"):
    Image.new(mode, size, 200).save(path)
    return path


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_taken_at_the_models_size(tmp_path, channels):
    file = picture(tmp_path / "photo.png")
    image = uploads.read_upload(str(file), (8, 8, channels))
    assert (image.shape, image.dtype) == ((8, 8, channels), np.uint8)


def bilevel(path, size):
    Image.new("1", size).save(path, compression="group4")


def broken(path):
    whole = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype="uint8")
    Image.fromarray(pixels).save(whole, "PNG")
    path.write_bytes(whole.getvalue()[:2_000])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_text("no picture"), "is not a picture that pillow can read"),
        (lambda path: path.write_bytes(b""), "an empty file"),
        (broken, "is not a complete picture"),
        (lambda path: bilevel(path, (5_001, 5_000)), "25,000,000 pixels. Received: 5,001 ×"),
        (lambda path: bilevel(path, (20_000, 20_000)), "larger than pillow allows"),
        (lambda path: os.truncate(picture(path), uploads.MOST_BYTES + 1), "at most 8,388,608 byte"),
        (lambda path: picture(path, mode="F"), "8 bits a channel"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_is_no_picture_is_refused_in_a_sentence(tmp_path, write, message):
    file = tmp_path / "photo.tiff"
    write(file)
    with pytest.raises(ValueError, match=message) as error:
        uploads.read_upload(file, (8, 8, 3))
    assert str(error.value).startswith("photo.tiff ")
    assert str(tmp_path) not in str(error.value)


def status(folder, headers, path="/gradio_api/upload", method="POST"):
    """The status of a request to an application that answers all with 200."""
    sent = []

    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    asyncio.run(uploads.BoundedUploads(application, folder)(scope, None, send))
    return sent[0]["status"]


def test_no_request_is_larger_than_a_picture(tmp_path):
    most = uploads.MOST_REQUEST_BYTES
    assert status(tmp_path, [(b"content-length", b"%d" % most)]) == 200
    assert status(tmp_path, [(b"content-length", b"%d" % (most + 1))]) == 413
    assert status(tmp_path, [(b"content-length", b"many")]) == 413
    assert status(tmp_path, []) == 413
    assert status(tmp_path, [], path="/", method="GET") == 200


def test_uploads_do_not_pile_up(tmp_path):
    for age in range(uploads.MOST_FILES + 5):
        file = tmp_path / f"{age}" / "photo.png"
        file.parent.mkdir()
        file.touch()
        os.utime(file, (1e9 - age, 1e9 - age))
    assert status(tmp_path, [(b"content-length", b"5")], path="/gradio_api/queue/join") == 200
    assert len(list(tmp_path.rglob("*.png"))) == uploads.MOST_FILES + 5
    assert status(tmp_path, [(b"content-length", b"5")]) == 200
    left = {int(file.parent.name) for file in tmp_path.rglob("*.png")}
    assert left == set(range(uploads.MOST_FILES - 1)), "the newest, and room for one"


@pytest.mark.parametrize(
    "value", ["1111", {"erased": "111"}, {"erased": "11112"}, {"erased": "1112"}, {"erased": [1]}]
)
def test_what_is_not_of_the_eraser_is_refused(value):
    if value == "1111":  # no dictionary: as if nothing was drawn
        assert eraser.known_pixels(value, (2, 2, 3)).all()
        return
    with pytest.raises(ValueError, match="`erased` must be 4 digits, each 0 or 1"):
        eraser.known_pixels(value, (2, 2, 3))


def test_nothing_is_erased_at_first():
    value = eraser.to_erase(np.zeros((2, 3, 1), np.uint8))
    assert (value["height"], value["width"]) == (2, 3)
    assert eraser.known_pixels(value, (2, 3, 1)).all()
    assert eraser.known_pixels(None, (2, 3, 1)).all()


def test_figures_hold_their_pictures_and_escape_what_is_said():
    shown = figures.figures([View(np.zeros((2, 2, 1), np.uint8), "<b>")])
    assert shown.count("data:image/png;base64,") == 1
    assert "<b>" not in shown
    assert shown.count("&lt;b&gt;") == 2
