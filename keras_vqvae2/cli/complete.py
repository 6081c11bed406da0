"""The command `complete`: validation images with a part hidden, completed."""

import click

from keras_vqvae2.cli.flags import config_command
from keras_vqvae2.cli.pictures import save_picture, spread
from keras_vqvae2.cli.progress import progress
from keras_vqvae2.cli.run import begin, load_split
from keras_vqvae2.cli.run_models import load_generator

PARTS = ("top", "bottom", "left", "right", "center")
NUM_IMAGES = 10
NUM_ATTEMPTS = 4


@config_command("complete", "--run-dir runs/photos --hide right")
@click.option(
    "--hide",
    default="bottom",
    show_default=True,
    help="What to hide: top, bottom, left, right (halves) or center.",
)
def command(config, hide):
    """Draw completions.png: validation images with a part hidden, completed in four ways."""
    complete(config, hide)


def complete(config, hide="bottom"):
    """Draw `completions.png`: validation images with a part hidden, and completions of each.

    A row holds the image as the model sees it, four completions, and the original.

    Args:
        config: `Config`.
        hide: the half that is hidden: "top", "bottom", "left" or "right"; or "center".

    Returns:
        The completions, uint8 `[4, num_images, H, W, C]`.

    Raises:
        ValueError: if a stage is missing, or `hide` is not known.
    """
    if hide not in PARTS:
        raise ValueError(f"`hide` must be one of {', '.join(PARTS)}. Received: hide={hide!r}")
    begin(config, "Completions of validation images", needs=("prior", "vqvae"))
    import numpy as np

    from keras_vqvae2 import drawing

    generator = load_generator(config)
    data = load_split(config, "validation")
    generator.prior.check_classes(data)
    known = ~_part(hide, *data.image_shape[:2])
    rows = spread(data, min(config.num_samples, NUM_IMAGES))
    images = data.images[rows]
    labels = None if generator.num_classes is None else data.labels[rows]
    completions = []
    for attempt in range(NUM_ATTEMPTS):
        with progress(f"completion {attempt + 1} of {NUM_ATTEMPTS}") as update:
            seed = config.seed + attempt
            completed = generator.complete(images, known, labels, seed=seed, callback=update)
        completions.append(completed)
    columns = np.stack(
        [drawing.erased(images, known), *completions, images], axis=1
    )  # [B, 6, H, W, C]
    picture = drawing.grid(columns.reshape(-1, *data.image_shape), columns.shape[1])
    config.save()
    save_picture(config.run_dir / "completions.png", picture)
    return np.stack(completions)


def _part(name, height, width):
    """Which pixels `[H, W]` are of a part."""
    import numpy as np

    rows, columns = np.mgrid[:height, :width]
    return {
        "top": rows < height // 2,
        "bottom": rows >= height // 2,
        "left": columns < width // 2,
        "right": columns >= width // 2,
        "center": (abs(2 * rows - height + 1) < height // 2)
        & (abs(2 * columns - width + 1) < width // 2),
    }[name]
