"""A picture on which a visitor draws with the mouse or a finger what is to be erased.

Its value is `{"url", "height", "width", "erased"}`: the picture, its size, and a digit a pixel, row
by row, `1` where it is erased. An empty `erased` is a picture on which nothing was drawn.
"""

import re

import numpy as np

from keras_vqvae2.page.figures import picture_url

TEMPLATE = """
<canvas width="1" height="1" aria-label="Draw here over what is to be erased"></canvas>
<div>
  <button data-part="lower">Erase the lower half</button>
  <button data-part="none">Erase nothing</button>
</div>
"""
STYLE = """
canvas {width: 100%; max-width: 384px; image-rendering: pixelated; touch-action: none;
  cursor: crosshair; border: 1px solid var(--border-color-primary); display: block}
button {margin: 8px 8px 0 0; padding: 6px 12px; border-radius: 6px; cursor: pointer;
  background: var(--button-secondary-background-fill); color: var(--button-secondary-text-color)}
"""
# A stroke is an eighth of the picture wide. The value goes to the server's side when it ends.
SCRIPT = """
const picture = new Image();
let erased = [], url = "", drawing = false;

function draw() {
  const canvas = element.querySelector("canvas"), value = props.value;
  if (!canvas || !value) return;
  canvas.width = value.width;
  canvas.height = value.height;
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  context.fillStyle = "rgb(160, 160, 160)";
  erased.forEach((is, place) => {
    if (is) context.fillRect(place % value.width, Math.floor(place / value.width), 1, 1);
  });
}

function take() {
  const value = props.value;
  if (!value || value.url === url) return draw();
  url = value.url;
  erased = new Array(value.height * value.width).fill(false);
  picture.onload = draw;
  picture.src = url;
}

function tell() {
  props.value = {...props.value, erased: erased.map(Number).join("")};
  draw();
}

function erase(event) {
  const {width, height} = props.value;
  const box = element.querySelector("canvas").getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width * width;
  const y = (event.clientY - box.top) / box.height * height;
  erased.forEach((is, place) => {
    const across = place % width + 0.5 - x, down = Math.floor(place / width) + 0.5 - y;
    if (Math.hypot(across, down) <= Math.max(1, width / 16)) erased[place] = true;
  });
  draw();
}

element.addEventListener("pointerdown", event => {
  if (event.target.tagName !== "CANVAS" || !props.value) return;
  drawing = true;
  event.preventDefault();
  erase(event);
});
element.addEventListener("pointermove", event => { if (drawing) erase(event); });
window.addEventListener("pointerup", () => { if (drawing) { drawing = false; tell(); } });
element.addEventListener("click", event => {
  const part = event.target.dataset.part;
  if (!part || !props.value) return;
  erased = erased.map((is, place) => part === "lower" && place >= erased.length / 2);
  tell();
});
watch("value", take);
take();
"""


def to_erase(image):
    """Return the eraser's value of a picture on which nothing was drawn.

    Args:
        image: uint8 array `[H, W, C]`.
    """
    height, width = image.shape[:2]
    return {"url": picture_url(image), "height": height, "width": width, "erased": ""}


def known_pixels(value, image_shape):
    """Return which pixels were not erased.

    Args:
        value: of the eraser, as a visitor's browser sent it.
        image_shape: `(H, W, C)` of the picture.

    Returns:
        bool array `[H, W]`.

    Raises:
        ValueError: if it is not as the eraser has it.

    Example:

    >>> known_pixels({"erased": "0110"}, (2, 2, 3)).tolist()
    [[True, False], [False, True]]
    """
    height, width = image_shape[:2]
    erased = (value.get("erased") if isinstance(value, dict) else None) or "0" * (height * width)
    if not isinstance(erased, str) or not re.fullmatch(f"[01]{{{height * width}}}", erased):
        raise ValueError(f"`erased` must be {height * width} digits, each 0 or 1.")
    return (np.array(list(erased)) == "0").reshape(height, width)
