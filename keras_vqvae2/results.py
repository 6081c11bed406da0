"""What a trained run gives: pictures of its images, and the report."""

import json

import numpy as np

from keras_vqvae2 import pictures
from keras_vqvae2.datasets import ImageBatches
from keras_vqvae2.models import ImageGenerator
from keras_vqvae2.progress import console, progress
from keras_vqvae2.report import evaluate, report_tables
from keras_vqvae2.run import (
    SPLITS,
    begin,
    example_labels,
    load_codes,
    load_prior,
    load_split,
    load_vqvae,
)
from keras_vqvae2.workers import data_options

COMPLETED_IMAGES = 10
HIDDEN_PIXEL = 160  # grey


def generate(config, label=None):
    """Stage 3: draw `samples.png` from the prior, and `samples_random.png` from random codes.

    Args:
        config: `Config`.
        label: name or number of the class of all images, for a prior by class; by default the
            classes take turns.

    Returns:
        The images, uint8 `[num_samples, H, W, C]`.

    Raises:
        ValueError: if a stage is missing, or the label is not known.
    """
    begin(config, "Stage 3: images from the prior")
    priors = load_prior(config)
    generator = ImageGenerator(load_vqvae(config), priors)
    labels = example_labels(config, priors.num_classes, config.num_samples, label)
    with progress("samples") as update:
        samples = generator.generate(
            config.num_samples,
            labels=labels,
            seed=config.seed,
            temperature=config.temperature,
            top_k=config.top_k,
            top_p=config.top_p,
            callback=update,
        )
    _save(config, "samples.png", pictures.grid(samples))
    random = generator.generate_random(config.num_samples, seed=config.seed)
    _save(config, "samples_random.png", pictures.grid(random))
    return samples


def reconstruct(config):
    """Draw `reconstructions.png`: validation images, each beside its reconstruction.

    Args:
        config: `Config`.

    Returns:
        The reconstructions, float `[num_samples, H, W, C]`; fewer where there are fewer images.

    Raises:
        ValueError: if stage 1 is missing.
    """
    begin(config, "Reconstructions of validation images")
    vqvae = load_vqvae(config)
    images = load_split(config, "validation").images
    # Evenly spread: neighbours in a dataset are often alike.
    rows = np.linspace(0, len(images) - 1, min(config.num_samples, len(images))).astype(int)
    images = images[rows]
    reconstructions = vqvae.decode(vqvae.encode(images))
    _save(config, "reconstructions.png", pictures.pairs(images, reconstructions))
    return reconstructions


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
    begin(config, "Completions of validation images")
    priors = load_prior(config)
    generator = ImageGenerator(load_vqvae(config), priors)
    data = load_split(config, "validation")
    known = _known(hide, *data.image_shape[:2])
    count = min(config.num_samples, COMPLETED_IMAGES, len(data))
    rows = np.linspace(0, len(data) - 1, count).astype(int)
    images = data.images[rows]
    labels = None if priors.num_classes is None else data.labels[rows]
    completions = []
    for attempt in range(4):
        with progress(f"completion {attempt + 1} of 4") as update:
            completions.append(
                generator.complete(
                    images,
                    known,
                    labels=labels,
                    seed=config.seed + attempt,
                    temperature=config.temperature,
                    top_k=config.top_k,
                    top_p=config.top_p,
                    callback=update,
                )
            )
    hidden = np.where(known[:, :, None], images, HIDDEN_PIXEL)
    columns = np.stack([hidden, *completions, images], axis=1)  # [B, 6, H, W, C]
    picture = pictures.grid(columns.reshape(-1, *data.image_shape), columns.shape[1])
    _save(config, "completions.png", picture)
    return np.stack(completions)


def write_report(config):
    """Measure both stages on the training and the validation split; write `report.json`.

    Args:
        config: `Config`.

    Returns:
        The report, as `report.evaluate` gives it, with the dataset and the config.

    Raises:
        ValueError: if a stage is missing.
    """
    begin(config, "Report")
    vqvae = load_vqvae(config)
    shared = data_options()  # of a demo on several devices
    measured = evaluate(
        vqvae,
        load_prior(config),
        {s: ImageBatches(load_split(config, s), config.batch_size, **shared) for s in SPLITS},
        {s: load_codes(config, s, vqvae=vqvae, **shared) for s in SPLITS},
    )
    report = {"dataset": config.dataset, "seed": config.seed, **measured}
    config.report_file.write_text(json.dumps(report, indent=2) + "\n")
    for part in report_tables(report):
        console.print(part)
    return report


def _known(hide, height, width):
    """Which pixels `[H, W]` stay when a part is hidden."""
    rows, columns = np.mgrid[:height, :width]
    parts = {
        "top": rows < height // 2,
        "bottom": rows >= height // 2,
        "left": columns < width // 2,
        "right": columns >= width // 2,
        "center": (abs(2 * rows - height + 1) < height // 2)
        & (abs(2 * columns - width + 1) < width // 2),
    }
    if hide not in parts:
        raise ValueError(f"`hide` must be one of {', '.join(parts)}. Received: hide={hide!r}")
    return ~parts[hide]


def _save(config, name, picture):
    pictures.save(config.run_dir / name, picture)
    console.print(f"wrote {config.run_dir / name}", markup=False)
