"""What the page shows: pictures and a line beneath each, computed of a generator."""

import math
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_vqvae2 import checks, drawing
from keras_vqvae2.sampling import noise_walk

ATTEMPTS = 4
# Whatever is asked for is drawn so many at a time: another number would be compiled once more.
BATCH = 8


class View(NamedTuple):
    """A picture, and what is to be said of it.

    Attributes:
        picture: uint8 array `[H, W, C]`, `C` 1 or 3.
        caption: a line of text.
    """

    picture: Any
    caption: str


def sample(generator, count, label=None, seed=0, **options):
    """Show new images, each with its log-likelihood.

    Args:
        generator: an `ImageGenerator`.
        count: how many.
        label: number or name of the class of all; None for a model without classes.
        seed: integer.
        **options: of `SamplingOptions`.

    Returns:
        List of `View`: the images of `generator.generate(count, labels=label, seed=seed)`.

    Raises:
        ValueError: if an argument does not fit the model.

    Example:

    ```python
    sample(ImageGenerator.from_preset("emoji32"), 8, "face", seed=3)
    ```
    """
    images, log_prob = _drawn(generator, generator.prior.noise(count, seed), label, options)
    return [View(*pair) for pair in zip(images, map(_nats, log_prob), strict=True)]


def walk(generator, seed, to_seed, steps, label=None, **options):
    """Show images on a way from the noise of one seed to that of another.

    Args:
        generator: an `ImageGenerator`.
        seed: integer, of the first image.
        to_seed: integer, of the last.
        steps: how many images, at least 2.
        label: as of `sample`.
        **options: of `SamplingOptions`.

    Returns:
        List of `View`; the ends are those of `generate(1, seed=...)`.

    Raises:
        ValueError: if an argument does not fit the model.
    """
    ends = [generator.prior.noise(1, each) for each in (seed, to_seed)]
    images, log_prob = _drawn(generator, noise_walk(*ends, steps), label, options)
    places = [f"seed {seed}", *(f"step {step}" for step in range(1, steps - 1)), f"seed {to_seed}"]
    captions = [f"{place}: {_nats(x)}" for place, x in zip(places, log_prob, strict=True)]
    return [View(*pair) for pair in zip(images, captions, strict=True)]


def reconstruct(generator, image, label=None):
    """Show an image, its reconstruction, its codes, and what each of them costs.

    Args:
        generator: an `ImageGenerator`.
        image: uint8 array `[H, W, C]` of the model's size.
        label: as of `sample`, which the costs are of.

    Returns:
        List of `View`: both images, and for each level the codes and the bits that they cost, over
        the image; yellow is the dearest code of all levels.

    Raises:
        ValueError: if an argument does not fit the model.
    """
    images = checks.images(np.asarray(image)[None], generator.image_shape)
    reconstruction = generator.reconstruct(images)[0]
    codes = generator.vqvae.encode(images)
    bits = [nats[0] / math.log(2) for nats in generator.prior.code_nll(codes, label)]
    error = np.square(images[0] / 255.0 - reconstruction / 255.0).mean()
    names, quantizers = generator.vqvae.level_names, generator.vqvae.quantizers
    return [
        View(images[0], "as the model sees it"),
        View(reconstruction, f"reconstruction: error {math.sqrt(error):.1%}"),
        *(
            View(
                drawing.code_grids(grid, ops.convert_to_numpy(quantizer.codebook))[0],
                f"{name} codes: {grid.shape[1]}×{grid.shape[2]} of {quantizer.num_embeddings}",
            )
            for name, grid, quantizer in zip(names, codes, quantizers, strict=True)
        ),
        *(
            View(
                drawing.heat_map(level, images[0], max(each.max() for each in bits)),
                f"{name} bits: {level.sum():.0f}, {level.min():.1f} to {level.max():.1f} a code",
            )
            for name, level in zip(names, bits, strict=True)
        ),
    ]


def complete(generator, image, known, label=None, seed=0, **options):
    """Show an image with a part erased, and completions of it.

    Args:
        generator: an `ImageGenerator`.
        image: uint8 array `[H, W, C]` of the model's size.
        known: bool array `[H, W]`: false where it is erased.
        label: as of `sample`.
        seed: integer.
        **options: of `SamplingOptions`.

    Returns:
        List of `View`: what is left of the image, then four completions, those of
        `generator.complete([image] * 4, known, seed=seed)`.

    Raises:
        ValueError: if nothing is erased, or an argument does not fit the model.
    """
    if np.all(known):
        raise ValueError("Erase a part of the picture first: draw over it.")
    images = np.repeat(np.asarray(image)[None], ATTEMPTS, axis=0)
    completed = generator.complete(images, known, label, seed=seed, **options)
    captions = [f"completion {attempt + 1}" for attempt in range(ATTEMPTS)]
    pairs = zip(completed, captions, strict=True)
    return [View(drawing.erased(image, known), "what is left"), *(View(*pair) for pair in pairs)]


def _drawn(generator, noise, label, options):
    """The images of some noise and their log-likelihood, drawn in whole batches."""
    count = len(noise[0])
    rows = np.minimum(np.arange(-(-count // BATCH) * BATCH), count - 1)
    whole = tuple(level[rows] for level in noise)
    # None is the same as 1, and would be compiled once more.
    options = {"top_p": 1.0, **generator.sampling, **options}
    images, log_prob = generator.sample_from_noise(whole, label, batch_size=BATCH, **options)
    return images[:count], log_prob[:count]


def _nats(log_prob):
    return f"{log_prob:.1f} nats".replace("-", "−")
