"""What a trained run gives: pictures of its images, and the report."""

import json

import numpy as np

from keras_vqvae2 import drawing
from keras_vqvae2.cli.progress import console, progress
from keras_vqvae2.cli.run import (
    SPLITS,
    begin,
    example_labels,
    load_codes,
    load_prior,
    load_split,
    load_vqvae,
)
from keras_vqvae2.cli.tables import report_tables
from keras_vqvae2.datasets import ImageBatches
from keras_vqvae2.distribution.processes import data_options
from keras_vqvae2.evaluation import load_extractor, score_samples
from keras_vqvae2.evaluation.report import evaluate
from keras_vqvae2.models import ImageGenerator

COMPLETED_IMAGES = 10
HIDDEN_PIXEL = 160  # grey
NUM_CLASSIFIED = 5_000  # images of each classifier that is trained to judge samples


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
            **_sampling(config),
            callback=update,
        )
    _save(config, "samples.png", drawing.grid(samples))
    random = generator.generate_random(config.num_samples, seed=config.seed)
    _save(config, "samples_random.png", drawing.grid(random))
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
    _save(config, "reconstructions.png", drawing.pairs(images, reconstructions))
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
                    **_sampling(config),
                    callback=update,
                )
            )
    hidden = np.where(known[:, :, None], images, HIDDEN_PIXEL)
    columns = np.stack([hidden, *completions, images], axis=1)  # [B, 6, H, W, C]
    picture = drawing.grid(columns.reshape(-1, *data.image_shape), columns.shape[1])
    _save(config, "completions.png", picture)
    return np.stack(completions)


def write_report(config, samples=False, reference=None, held_out=None, extractor="auto"):
    """Measure both stages on the training and the validation split; write `report.json`.

    Args:
        config: `Config`.
        samples: whether samples are scored too, by `evaluation.score_samples`.
        reference: split that they are compared with; None for four fifths of the validation split.
        held_out: split of other real images, as many as samples are drawn; None for the other
            fifth. Both or none are given.
        extractor: of `evaluation.load_extractor`, for the samples.

    Returns:
        The report, as `report.evaluate` gives it, with the dataset, the history of the prior, and
        as `"samples"` what `evaluation.score_samples` gives.

    Raises:
        ValueError: if a stage is missing, one of the two splits is, or there is no such extractor.
    """
    if (reference is None) != (held_out is None):
        raise ValueError(
            "`reference` and `held_out` must both be given, or neither. "
            f"Received: reference={reference!r}, held_out={held_out!r}"
        )
    begin(config, "Report")
    vqvae, priors = load_vqvae(config), load_prior(config)
    shared = data_options()  # of a demo on several devices
    measured = evaluate(
        vqvae,
        priors,
        {s: ImageBatches(load_split(config, s), config.batch_size, **shared) for s in SPLITS},
        {s: load_codes(config, s, vqvae=vqvae, **shared) for s in SPLITS},
    )
    history = json.loads((config.prior_dir / "history.json").read_text())
    report = {"dataset": config.dataset, "seed": config.seed, **measured, "history": history}
    if samples:
        if reference is None:
            data = load_split(config, "validation")
            scored = data.part(stop=len(data) * 4 // 5), data.part(len(data) * 4 // 5)
        else:
            scored = load_split(config, reference), load_split(config, held_out)
        report["samples"] = _score(config, ImageGenerator(vqvae, priors), *scored, extractor)
    config.report_file.write_text(json.dumps(report, indent=2) + "\n")
    for part in report_tables(report):
        console.print(part)
    return report


def _score(config, generator, reference, held_out, extractor):
    """Score samples, and draw `neighbours.png`: samples beside the nearest training images."""
    extractor = load_extractor(extractor, config.dataset)
    train = load_split(config, "train")
    with progress("samples to score") as update:
        scores, samples, neighbours = score_samples(
            generator,
            reference,
            held_out,
            train,
            extractor,
            num_classified=NUM_CLASSIFIED,
            seed=config.seed,
            **_sampling(config),
            callback=update,
        )
    shown = slice(config.num_samples)
    picture = drawing.pairs(samples[shown], train.images[neighbours[shown]])
    _save(config, "neighbours.png", picture)
    return scores


def _sampling(config):
    """The options of `ImageGenerator.generate` and `complete` that the config holds."""
    return {"temperature": config.temperature, "top_k": config.top_k, "top_p": config.top_p}


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
    drawing.save(config.run_dir / name, picture)
    console.print(f"wrote {config.run_dir / name}", markup=False)
