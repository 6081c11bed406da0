"""Views as HTML that holds its pictures itself: nothing of it lies in a file."""

import base64
import html
import io

from keras_vqvae2 import drawing

STYLE = """
.figures {display: grid; gap: 12px; grid-template-columns: repeat(auto-fill, minmax(120px, 1fr))}
figure {margin: 0}
.figures img {width: 100%; image-rendering: pixelated}
.figures img {border: 1px solid var(--border-color-primary)}
figcaption {font-size: 13px; line-height: 1.3; color: var(--body-text-color)}
"""


def figures(views):
    """Lay views out as figures, as many beside each other as there is room for.

    Args:
        views: list of `View`.

    Returns:
        str, HTML for which `STYLE` is.

    Example:

    ```python
    figures(sample(model, 8))
    ```
    """
    shown = "".join(
        f'<figure><img src="{picture_url(view.picture)}" alt="{html.escape(view.caption)}">'
        f"<figcaption>{html.escape(view.caption)}</figcaption></figure>"
        for view in views
    )
    return f'<div class="figures">{shown}</div>'


def picture_url(picture):
    """Return a picture as a URL that holds it whole, as PNG.

    Args:
        picture: uint8 array `[H, W, C]`, `C` 1 or 3.
    """
    file = io.BytesIO()
    drawing.pillow_image(picture).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
