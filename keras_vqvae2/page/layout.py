"""The page's widgets: four tabs around what `views` computes."""

import functools
import html
import secrets

from keras_vqvae2.page import eraser, figures, views
from keras_vqvae2.page.uploads import MOST_BYTES, MOST_PIXELS, read_upload

MOST_IMAGES = 64
MOST_STEPS = 16
AT_ONCE, WAITING = 2, 32
# On a phone the four tabs stand in one row.
STYLE = """
@media (max-width: 640px) {
  .gradio-container main.app {padding: 12px}
  .tab-container button {padding: 0 10px}
}
"""
UPLOAD_HELP = (
    f"A picture of at most {MOST_BYTES >> 20} MB and {MOST_PIXELS // 10**6} million pixels; it is "
    "cropped to the model's size and kept no longer than it is needed."
)


def build_page(generator, title="keras-vqvae2", label=None):
    """Build a page to play with a model.

    Args:
        generator: an `ImageGenerator`.
        title: what stands above it.
        label: number or name of the class whose images it begins with; None for the first class.

    Returns:
        `gradio.Blocks`, of which `launch` serves the page, two visitors at once.

    Raises:
        ValueError: without Gradio, when it says how to install it; or if there is no such class.

    Example:

    ```python
    build_page(ImageGenerator.from_preset("emoji32"), "emoji32", label="face").launch()
    ```
    """
    gr = _gradio()
    if generator.num_classes is not None:
        # Of no class in particular the images are the poorest.
        (label,) = generator.prior.check_labels(0 if label is None else label, 1).tolist()
    # Uploads are deleted within the hour, should nobody come who displaces them.
    page = gr.Blocks(title=title, analytics_enabled=False, delete_cache=(600, 1800))
    with page:
        gr.HTML(
            f"<style>{figures.STYLE}{STYLE}</style>"
            f"<h1>{html.escape(title)}</h1><p>{_about(generator)}</p>",
            js_on_load=None,
        )
        for name, tab in {
            "Sample": _sample_tab,
            "Walk": _walk_tab,
            "Reconstruct": _reconstruct_tab,
            "Complete": _complete_tab,
        }.items():
            with gr.Tab(name), gr.Row(equal_height=False):
                tab(gr, generator, label)
    return page.queue(max_size=WAITING, default_concurrency_limit=AT_ONCE)


def _sample_tab(gr, generator, first_class):
    with gr.Column(scale=1, min_width=260):
        label = _label(gr, generator, first_class)
        count = gr.Slider(1, MOST_IMAGES, 16, step=1, label="Images")
        seed = _seed(gr)
        options = _options(gr, generator)
        button = gr.Button("Sample", variant="primary")
    with gr.Column(scale=3, min_width=300):
        gr.Markdown(
            "New images of the prior. Beneath each is the log-likelihood of its codes under the "
            "model's own distribution, whatever the temperature: nearer to 0 is likelier."
        )
        # It opens with pictures, and with what draws them compiled.
        first = [widget.value for widget in (count, label, seed)]
        best = options.of(widget.value for widget in options.widgets)
        shown = _figures(gr, views.sample(generator, *first, **best))

    def show(label, count, seed, *values):
        return views.sample(generator, count, label, seed, **options.of(values))

    _on(gr, button.click, show, [label, count, seed, *options.widgets], shown)


def _walk_tab(gr, generator, first_class):
    with gr.Column(scale=1, min_width=260):
        label = _label(gr, generator, first_class)
        seed, to_seed = _seed(gr, "From seed", 0), _seed(gr, "To seed", 1)
        steps = gr.Slider(2, MOST_STEPS, 8, step=1, label="Steps")
        options = _options(gr, generator)
        button = gr.Button("Walk", variant="primary")
    with gr.Column(scale=3, min_width=300):
        gr.Markdown(
            "The noise of one seed turns into that of another, in equal steps. Each picture on the "
            "way is as fair a sample as those at its ends; where a coarse code changes, it leaps."
        )
        shown = _figures(gr)

    def show(label, seed, to_seed, steps, *values):
        return views.walk(generator, seed, to_seed, steps, label, **options.of(values))

    _on(gr, button.click, show, [label, seed, to_seed, steps, *options.widgets], shown)


def _reconstruct_tab(gr, generator, first_class):
    with gr.Column(scale=1, min_width=260):
        upload, own, image = _picture(gr)
        label = _label(gr, generator, first_class, of_own=False)
        gr.Markdown("The class is what the prior is told of the picture; the bits depend on it.")
    with gr.Column(scale=3, min_width=300):
        gr.Markdown(
            "The picture goes to codes and back. Similar codes have similar colours. Where the "
            "picture glows, the prior spends bits: what it did not expect there."
        )
        shown = _figures(gr)

    def show(image, label):
        return None if image is None else views.reconstruct(generator, image, label)

    for event in _taken(gr, generator, upload, own, image, label, first_class):
        _on(gr, event.success, show, [image, label], shown)
    _on(gr, label.change, show, [image, label], shown)


def _complete_tab(gr, generator, first_class):
    with gr.Column(scale=1, min_width=260):
        upload, own, image = _picture(gr)
        label = _label(gr, generator, first_class, of_own=False)
        seed = _seed(gr)
        options = _options(gr, generator)
    with gr.Column(scale=3, min_width=300):
        gr.Markdown("Draw over what is to be erased, with the mouse or a finger.")
        drawn = gr.HTML(
            html_template=eraser.TEMPLATE,
            css_template=eraser.STYLE,
            js_on_load=eraser.SCRIPT,
            elem_classes="eraser",
        )
        button = gr.Button("Complete", variant="primary")
        gr.Markdown(
            "What is kept comes back as its reconstruction. A code is drawn anew if any of its "
            "pixels is erased, and sees what lies above it and to its left."
        )
        shown = _figures(gr)

    def show(image, drawn, label, seed, *values):
        if image is None:
            raise ValueError("Upload a picture first, or take one of the model's own.")
        known = eraser.known_pixels(drawn, image.shape)
        return views.complete(generator, image, known, label, seed, **options.of(values))

    for event in _taken(gr, generator, upload, own, image, label, first_class):
        event.success(eraser.to_erase, image, drawn, api_visibility="private")
    _on(gr, button.click, show, [image, drawn, label, seed, *options.widgets], shown)


class _Options:
    """The widgets of the sampling options; their values become those of `SamplingOptions`."""

    def __init__(self, widgets):
        self.names, self.widgets = list(widgets), list(widgets.values())

    def of(self, values):
        return dict(zip(self.names, values, strict=True))


def _options(gr, generator):
    best = generator.sampling
    widgets = {
        "temperature": gr.Slider(
            0.1, 2.0, best.get("temperature", 1.0), step=0.05, label="Temperature"
        ),
        "top_p": gr.Slider(0.05, 1.0, best.get("top_p", 1.0), step=0.05, label="Top-p"),
    }
    if generator.prior.labels_optional:
        widgets["guidance"] = gr.Slider(
            0.0, 6.0, best.get("guidance", 1.0), step=0.25, label="Guidance by the class"
        )
    return _Options(widgets)


def _label(gr, generator, value, of_own=True):
    """The classes by name; a state that is None for a model without classes.

    Of a visitor's picture (`of_own=False`) no class is known at first, where that may be left open.
    """
    if generator.num_classes is None:
        return gr.State(None)
    names = generator.label_names or [str(number) for number in range(generator.num_classes)]
    choices = [(name, number) for number, name in enumerate(names)]
    if generator.prior.labels_optional:
        choices = [("any", -1), *choices]
        value = value if of_own else -1
    return gr.Dropdown(choices, value=value, label="Class", elem_classes="class")


def _seed(gr, label="Seed", value=0):
    return gr.Number(value, precision=0, label=label)


def _figures(gr, shown=()):
    return gr.HTML(
        figures.figures(shown),
        js_on_load=None,
        elem_classes="shown",
        min_height=120,
    )


def _picture(gr):
    """A place for an upload, a button for those who have no picture, and what is taken of both."""
    upload = gr.UploadButton("Upload a picture", file_types=["image"], variant="primary")
    gr.Markdown(UPLOAD_HELP)
    return upload, gr.Button("Take one of the model's own"), gr.State(None)


def _taken(gr, generator, upload, own, image, label, first_class):
    """Events after each of which `image` holds a picture of the model's size.

    Of the model's own it is one of the first class where none is chosen.
    """

    def read(path):
        return read_upload(path, generator.image_shape)

    def draw(label):
        label = first_class if label == -1 else label
        return views.sample(generator, 1, label, secrets.randbits(32))[0].picture

    return [
        _on(gr, upload.upload, read, upload, image, pictures=False),
        _on(gr, own.click, draw, label, image, pictures=False),
    ]


def _on(gr, event, function, inputs, output, pictures=True):
    """Show what a function returns when something happens; a ValueError is said to the visitor."""

    @functools.wraps(function)
    def polite(*values):
        try:
            result = function(*values)
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return figures.figures(result or []) if pictures else result

    return event(
        polite,
        inputs,
        output,
        # All of them together: it is one model, on one machine.
        concurrency_limit=AT_ONCE,
        concurrency_id="model",
        scroll_to_output=pictures,
        api_visibility="private",
    )


def _about(generator):
    height, width, _ = generator.image_shape
    grids = " and ".join(f"{rows}×{columns}" for rows, columns in generator.vqvae.code_shapes)
    kinds = f" of {generator.num_classes} classes" if generator.num_classes else ""
    return (
        f"Images of {height}×{width} pixels{kinds}, of {grids} codes. What is asked for the first "
        "time takes some seconds longer. The same seed gives the same picture."
    )


def _gradio():
    try:
        import gradio
    except ModuleNotFoundError as error:
        raise ValueError(
            "The page needs Gradio: install it by pip install 'keras-vqvae2[app]'."
        ) from error
    return gradio
