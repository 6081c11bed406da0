"""The command `demo`: all stages, one after the other."""

from keras_vqvae2.cli.evaluate import evaluate
from keras_vqvae2.cli.extract_codes import extract_codes, pass_options
from keras_vqvae2.cli.fitting import distribute, share
from keras_vqvae2.cli.flags import config_command
from keras_vqvae2.cli.generate import generate
from keras_vqvae2.cli.progress import tell
from keras_vqvae2.cli.reconstruct import reconstruct
from keras_vqvae2.cli.run import SPLITS, load_split
from keras_vqvae2.cli.run_lock import locked
from keras_vqvae2.cli.run_models import build_prior, build_vqvae
from keras_vqvae2.cli.train_prior import train_prior
from keras_vqvae2.cli.train_vqvae import train_vqvae


@config_command(
    "demo", "--dataset photos --run-dir runs/photos", epochs=("vqvae_epochs", "prior_epochs")
)
@distribute
def command(config, distribute):
    """Run all three stages, draw pictures and write a report."""
    with locked(config, share(distribute)) as workers:
        demo(config, workers)
    tell(config, config.report_page, "generate --seed 1", "complete", "export")


def demo(config, workers=None):
    """Run all stages, then draw the pictures and write the report.

    Args:
        config: `Config`.
        workers: `processes.Workers`, as of `train_vqvae`.

    Returns:
        The report, as `evaluate` gives it, to the chief.

    Raises:
        ValueError: if the data cannot be loaded, an option is out of its range, or a level has
            collapsed.
    """
    from keras_vqvae2.distribution.processes import Workers, peers

    workers = workers or Workers()
    _check(config)
    for stage in (train_vqvae, extract_codes, train_prior):
        stage(config, workers)
    report = None
    if workers.is_chief:
        generate(config)
        reconstruct(config)
        report = evaluate(config)
    with peers(workers):
        workers.wait()  # A worker that ended would end the chief.
    return report


def _check(config):
    """Refuse now what a later stage would refuse after the work of the earlier ones."""
    pass_options(config)
    train, _ = (load_split(config, split) for split in SPLITS)
    build_prior(config, build_vqvae(config, train.image_shape), train.num_classes)
