"""The command `generate`, stage 3: images from the prior, and from random codes."""

import click

from keras_vqvae2.cli.flags import config_command
from keras_vqvae2.cli.progress import progress
from keras_vqvae2.cli.run import begin, example_labels, load_generator, save_picture


@config_command("generate")
@click.option("--label", help="Class of all images, by name or number.")
def command(config, label):
    """Stage 3: draw samples.png from the prior and samples_random.png from random codes."""
    generate(config, label)


def generate(config, label=None):
    """Draw `samples.png` from the prior, and `samples_random.png` from random codes.

    Args:
        config: `Config`.
        label: name or number of the class of all images, for a prior by class; by default the
            classes take turns.

    Returns:
        The images, uint8 `[num_samples, H, W, C]`.

    Raises:
        ValueError: if a stage is missing, or the label is not known.
    """
    begin(config, "Stage 3: images from the prior", needs=("prior", "vqvae"))
    from keras_vqvae2 import drawing

    generator = load_generator(config)
    count, seed = config.num_samples, config.seed
    labels = example_labels(generator.prior, count, label)
    with progress("samples") as update:
        samples = generator.generate(
            count, labels=labels, seed=seed, callback=update, **config.sampling
        )
    random = generator.generate_random(count, seed=seed)
    config.save()
    save_picture(config, "samples.png", drawing.grid(samples))
    save_picture(config, "samples_random.png", drawing.grid(random))
    return samples
