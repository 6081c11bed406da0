"""The command `generate`, stage 3: images from the prior, and from random codes."""

import math

import click

from keras_vqvae2.cli.flags import config_command
from keras_vqvae2.cli.progress import progress
from keras_vqvae2.cli.run import begin, load_codes, load_generator, one_label, save_picture


@config_command("generate")
@click.option("--label", help="Class of all images, by name or number.")
def command(config, label):
    """Stage 3: draw samples.png from the prior and samples_random.png from random codes."""
    generate(config, label)


def generate(config, label=None):
    """Draw `samples.png` from the prior, and `samples_random.png` from random codes.

    By class the picture has a row of each, with its name: of the most frequent ones, where all
    would be too many.

    Args:
        config: `Config`.
        label: name or number of the class of all images, for a prior by class.

    Returns:
        The images, uint8 `[num_samples, H, W, C]`.

    Raises:
        ValueError: if a stage is missing, or the label is not known.
    """
    begin(config, "Stage 3: images from the prior", needs=("prior", "vqvae"))
    import numpy as np

    from keras_vqvae2 import drawing

    generator = load_generator(config)
    count, seed = config.num_samples, config.seed
    rows = None
    if label is not None:
        labels = one_label(generator.prior, count, label)
    elif generator.num_classes is None:
        labels = None
    else:
        rows = _shown_classes(config, generator, count)
        columns = -(-count // len(rows))
        labels = np.repeat(rows, columns)[:count]
    with progress("samples") as update:
        samples = generator.generate(count, labels=labels, seed=seed, callback=update)
    random = generator.generate_random(count, seed=seed)
    config.save()
    if rows is None:
        picture = drawing.grid(samples)
    else:
        names = [str(row) for row in rows]
        if generator.label_names:
            names = [generator.label_names[row] for row in rows]
        picture = drawing.named_rows(samples, names)
    save_picture(config, "samples.png", picture)
    save_picture(config, "samples_random.png", drawing.grid(random))
    return samples


def _shown_classes(config, generator, count):
    """The classes that have a row, int `[R]`, the most frequent first."""
    import numpy as np

    frequencies = np.zeros(generator.num_classes)
    if (config.codes_dir / "train").exists():
        codes = load_codes(config, "train")
        for index in range(len(codes) if codes.num_classes else 0):
            frequencies += np.bincount(codes[index][1], minlength=generator.num_classes)
    rows = math.isqrt(count)
    if generator.num_classes <= math.sqrt(2) * rows:
        rows = min(generator.num_classes, count)
    return np.argsort(-frequencies, kind="stable")[:rows]
