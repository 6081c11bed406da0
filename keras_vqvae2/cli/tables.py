"""What was measured of a run, as tables and sentences for a terminal."""

import dataclasses
import math


def table(*head, title):
    """Return an empty table.

    Args:
        *head: titles of the columns.
        title: of the table.

    Returns:
        `rich.table.Table`.
    """
    from rich.table import Table

    return Table(*head, title=title)


def usage_table(levels):
    """Return a table of `LevelUsage`, to be printed by rich.

    Args:
        levels: a list of `LevelUsage`.

    Returns:
        `rich.table.Table`.

    Example:

    ```python
    rich.print(usage_table(level_usage(codes)))
    ```
    """
    from keras_vqvae2.evaluation.report import shape_text

    head = ("level", "grid", "codes", "in use", "perplexity", "entropy")
    usage = table(*head, title="Codebooks")
    for level in levels:
        usage.add_row(
            f"[red]{level.name} (collapsed)[/red]" if level.collapsed else level.name,
            shape_text(level.code_shape),
            str(level.num_embeddings),
            f"{level.usage:.0%}",
            f"{level.perplexity:.1f}",
            f"{level.entropy_bits:.2f} bits",
        )
    return usage


def report_tables(report):
    """Return the tables and sentences that say in words what `evaluate` returned.

    Args:
        report: the dict from `evaluate`.

    Returns:
        A list of what rich can print.

    Example:

    ```python
    rich.print(*report_tables(report))
    ```
    """
    from keras_vqvae2.evaluation import LevelUsage

    splits = list(report["reconstruction"])
    quality = table("split", "error (MSE on [-1, 1])", "PSNR", "SSIM", title="Reconstruction")
    for split, values in report["reconstruction"].items():
        numbers = f"{values['mse']:.4f}", f"{values['psnr']:.1f} dB", f"{values['ssim']:.3f}"
        quality.add_row(split, *numbers)
    likelihood = table("level", "uniform", "frequencies", title="Bits a code")
    for split in splits:
        likelihood.add_column(f"prior, {split}")
    for name, level in report["levels"].items():
        likelihood.add_row(
            name,
            f"{math.log2(level['num_embeddings']):.2f}",
            f"{level['entropy_bits']:.2f}",
            *(f"{level['bits_per_code'][split]:.2f}" for split in splits),
        )
    totals = ", ".join(
        f"{value:.3f} on {split}" for split, value in report["bits_per_image_dimension"].items()
    )
    names = {field.name for field in dataclasses.fields(LevelUsage)}
    levels = [
        LevelUsage(**{key: value for key, value in level.items() if key in names})
        for level in report["levels"].values()
    ]
    return [
        quality,
        usage_table(levels),
        likelihood,
        f"All codes of an image, in bits for each dimension of the image: {totals}.",
        *_bound(report),
        report["note"],
        *_sample_tables(report),
    ]


def _bound(report):
    """The bound on the images' own likelihood in words, if there is one."""
    if "image_bits_per_dimension" not in report:
        return []
    bounds = ", ".join(f"{v:.3f} on {k}" for k, v in report["image_bits_per_dimension"].items())
    return [f"Images at most, in bits a dimension, by codes and pixels together: {bounds}."]


def _sample_tables(report):
    if "samples" not in report:
        return []
    from keras_vqvae2.evaluation.report import score_rows, score_sentences

    head, *rows = score_rows(report["samples"])
    scores = table(*head, title="Samples")
    for row in rows:
        scores.add_row(*row)
    return [scores, *score_sentences(report["samples"])]
