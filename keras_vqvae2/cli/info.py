"""The command `info`: what a config builds."""

import keras_vqvae2 as kv
from keras_vqvae2.cli.flags import config_command
from keras_vqvae2.cli.progress import console
from keras_vqvae2.cli.run import load_split
from keras_vqvae2.cli.run_models import build_prior, build_vqvae
from keras_vqvae2.cli.tables import table


@config_command("info", "--size base --batch-size 128")
def command(config):
    """Show the shapes and parameters of each part, and the memory that a batch takes."""
    info(config)


def info(config):
    """Print what a config builds on its data.

    Args:
        config: `Config`.

    Raises:
        ValueError: if the data cannot be loaded, or the config does not fit it.

    Example:

    ```python
    info(Config.create("base"))
    ```
    """
    data = load_split(config, "train")
    vqvae = build_vqvae(config, data.image_shape)
    priors = build_prior(config, vqvae, data.num_classes)
    console().print(_parts_table(vqvae, priors))
    batch = config.batch_size
    for title, model in (("stage 1, the VQ-VAE-2", vqvae), ("stage 2, the prior", priors)):
        size = kv.evaluation.training_bytes(model, batch) / 2**20
        console().print(
            f"Memory to train {title}, at {batch} images a batch: about {size:,.0f} MiB"
        )
        flops = kv.evaluation.training_flops(model, batch) / 1e9
        console().print(f"Operations of a step of {title}: about {flops:,.1f} GFLOP")


def _parts_table(vqvae, priors):
    from keras_vqvae2.evaluation.report import shape_text

    parts = table("part", "output", "parameters", title="Architecture")

    def add(part, output, parameters):
        parts.add_row(part, output, f"{parameters:,}")

    grids = [shape_text(shape) for shape in vqvae.code_shapes]
    add("encoder", ", ".join(grids), vqvae.encoder.count_params())
    for name, grid, codebook in zip(vqvae.level_names, grids, vqvae.quantizers, strict=True):
        size = codebook.num_embeddings * codebook.embedding_dim
        add(f"{name} codebook", f"{grid} of {codebook.num_embeddings}", size)
    add("decoder", shape_text(vqvae.image_shape), vqvae.decoder.count_params())
    for name, grid, prior in zip(vqvae.level_names, grids, priors.level_priors, strict=True):
        add(f"{name} prior", f"{grid} of {prior.num_embeddings}", prior.count_params())
    return parts
