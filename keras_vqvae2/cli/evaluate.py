"""The command `evaluate`: the report of both stages and of samples."""

import click

import keras_vqvae2 as kv
from keras_vqvae2 import files
from keras_vqvae2.cli.flags import config_command
from keras_vqvae2.cli.pictures import save_picture
from keras_vqvae2.cli.progress import console, progress, tell
from keras_vqvae2.cli.report_page import report_page
from keras_vqvae2.cli.run import SPLITS, begin, load_codes, load_split
from keras_vqvae2.cli.run_models import load_generator
from keras_vqvae2.cli.tables import report_tables

NUM_CLASSIFIED = 5_000  # images of each classifier that is trained to judge samples


@config_command("evaluate", "--run-dir runs/photos --samples")
@click.option(
    "--samples/--no-samples",
    default=True,
    show_default=True,
    help="Score samples too; --no-samples for the two stages alone.",
)
@click.option(
    "--reference", help="Split that samples are compared with; else 4/5 of the validation."
)
@click.option(
    "--held-out", help="Split of other real images, as many as samples; else the other 1/5."
)
@click.option(
    "--sets", default=1, show_default=True, help="Disjoint sets that the held-out images are."
)
@click.option(
    "--extractor",
    default="auto",
    show_default=True,
    help="emoji32, fashion_mnist, inception_v3, a .keras file, or auto.",
)
def command(config, samples, reference, held_out, sets, extractor):
    """Measure both stages and samples; write report.json, report.html, neighbours.png."""
    evaluate(config, samples, reference, held_out, extractor, sets)
    tell(config, config.report_page)


def evaluate(config, samples=False, reference=None, held_out=None, extractor="auto", sets=1):
    """Measure both stages on the training and the validation split; write the report and its page.

    Args:
        config: `Config`.
        samples: whether samples are scored too, by `evaluation.score_samples`.
        reference: split that they are compared with; None for four fifths of the validation split.
        held_out: split of other real images, as many as samples are drawn; None for the other
            fifth. Both or none are given.
        extractor: of `evaluation.load_extractor`, for the samples.
        sets: how many disjoint sets the held-out images are, of equal size: scores are means over
            them.

    Returns:
        The report, as `evaluation.evaluate` gives it, with the dataset, the history of the prior,
        and as `"samples"` what `evaluation.score_samples` gives.

    Raises:
        ValueError: if a stage is missing, one of the two splits is, or there is no such extractor.
    """
    if (reference is None) != (held_out is None):
        raise ValueError(
            "`reference` and `held_out` must both be given, or neither. "
            f"Received: reference={reference!r}, held_out={held_out!r}"
        )
    begin(config, "Report", needs=("vqvae", "prior"))
    from keras_vqvae2.distribution.processes import data_options
    from keras_vqvae2.training.checkpoints import read_history

    generator = load_generator(config)
    for split in SPLITS:
        generator.prior.check_classes(load_split(config, split))
    scored = _scored_splits(config, reference, held_out) if samples else None
    extractor = kv.evaluation.load_extractor(extractor, config.data.name) if samples else None
    vqvae, size = generator.vqvae, config.batch_size
    shared = data_options()  # of a demo on several devices
    measured = kv.evaluation.evaluate(
        vqvae,
        generator.prior,
        {s: kv.ImageBatches(load_split(config, s), size, **shared) for s in SPLITS},
        {s: load_codes(config, s, vqvae=vqvae, **shared) for s in SPLITS},
    )
    history = read_history(config.prior_dir)
    report = {"dataset": config.data.name, "seed": config.seed, **measured, "history": history}
    if samples:
        report["samples"], neighbours = _score(config, generator, *scored, extractor, sets)
    config.save()
    files.write_text(config.report_file, files.signed_json(report))
    if samples:
        save_picture(config.run_dir / "neighbours.png", neighbours)
    parts = report_tables(report)
    page = report_page(f"{config.data.name}, {config.run_dir}", parts, config.run_dir)
    files.write_text(config.report_page, page)
    for part in parts:
        console().print(part)
    return report


def _scored_splits(config, reference, held_out):
    """The images that samples are compared with, and other real ones."""
    if reference is None:
        data = load_split(config, "validation")
        return data.part(stop=len(data) * 4 // 5), data.part(len(data) * 4 // 5)
    return load_split(config, reference), load_split(config, held_out)


def _score(config, generator, reference, held_out, extractor, sets):
    """The scores of samples, and a picture of samples beside the nearest training images."""
    from keras_vqvae2 import drawing
    from keras_vqvae2.evaluation.extractors import second_of

    train = load_split(config, "train")
    with progress("samples to score") as update:
        scores, samples, neighbours = kv.evaluation.score_samples(
            generator,
            reference,
            held_out,
            train,
            extractor,
            second=second_of(extractor),
            num_sets=sets,
            num_classified=NUM_CLASSIFIED,
            seed=config.seed,
            callback=update,
        )
    shown = slice(config.num_samples)
    return scores, drawing.pairs(samples[shown], train.images[neighbours[shown]])
