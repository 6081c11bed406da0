"""The command `reconstruct`: what the codes keep of validation images."""

from keras_vqvae2.cli.flags import config_command
from keras_vqvae2.cli.pictures import save_picture, spread
from keras_vqvae2.cli.run import begin, load_split
from keras_vqvae2.cli.run_models import load_vqvae


@config_command("reconstruct", "--run-dir runs/photos")
def command(config):
    """Draw reconstructions.png: validation images, each beside its reconstruction."""
    reconstruct(config)


def reconstruct(config):
    """Draw `reconstructions.png`: validation images, each beside its reconstruction.

    Args:
        config: `Config`.

    Returns:
        The reconstructions, float `[num_samples, H, W, C]`; fewer where there are fewer images.

    Raises:
        ValueError: if stage 1 is missing.
    """
    begin(config, "Reconstructions of validation images", needs=("vqvae",))
    from keras_vqvae2 import drawing

    vqvae = load_vqvae(config)
    images = load_split(config, "validation").images
    images = images[spread(images, config.num_samples)]
    reconstructions = vqvae.decode(vqvae.encode(images))
    config.save()
    save_picture(config.run_dir / "reconstructions.png", drawing.pairs(images, reconstructions))
    return reconstructions
