"""What came of a run, in numbers and in words."""

import dataclasses
import math

from rich.table import Table

from keras_vqvae2.metrics import CodebookUsage, Perplexity

LIKELIHOOD_NOTE = (
    "Bits are the negative log-likelihood of the codes under the prior, not of the pixels: "
    "how many bits name an image's codes, while the reconstruction error says what the codes lose."
)


@dataclasses.dataclass(frozen=True)
class LevelUsage:
    """How the codes of one level are used.

    Attributes:
        name: of the level.
        code_shape: the grid `(H, W)`.
        num_embeddings: `K`.
        usage: part of the `K` codes that occur at all.
        perplexity: number of equally frequent codes of the same entropy, in `[1, K]`.
    """

    name: str
    code_shape: tuple[int, int]
    num_embeddings: int
    usage: float
    perplexity: float

    @property
    def entropy_bits(self):
        """Entropy of the codes' frequencies: the bits a code costs without a prior."""
        return math.log2(self.perplexity)

    @property
    def collapsed(self):
        """Whether so few codes are in use that the level says next to nothing."""
        return self.perplexity < max(2.0, 0.02 * self.num_embeddings)


def level_usage(batches):
    """Count the codes of each level.

    Args:
        batches: `CodeBatches`.

    Returns:
        A list of `LevelUsage`, coarse to fine.

    Example:

    ```python
    top, bottom = level_usage(CodeBatches("runs/emoji32/codes/train", batch_size=1024))
    top.perplexity
    ```
    """
    metrics = [(CodebookUsage(size), Perplexity(size)) for size in batches.num_embeddings]
    for index in range(len(batches)):
        for codes, level_metrics in zip(batches[index][0], metrics, strict=True):
            for metric in level_metrics:
                metric.update_state(codes)
    manifest = batches.manifest
    return [
        LevelUsage(name, shape, size, float(usage.result()), float(perplexity.result()))
        for name, shape, size, (usage, perplexity) in zip(
            manifest.level_names,
            manifest.code_shapes,
            manifest.num_embeddings,
            metrics,
            strict=True,
        )
    ]


def evaluate(vqvae, priors, images, codes):
    """Measure both stages on each split.

    Args:
        vqvae: a compiled `VQVAE2`.
        priors: a compiled `HierarchicalPrior`.
        images: dict from the name of a split to its `ImageBatches`.
        codes: dict from the same names to their `CodeBatches`.

    Returns:
        A dict that JSON can hold:

        - `"reconstruction"`: for each split `"mse"` of the signal in [-1, 1] and `"psnr"` in dB of
          pixels in 0..255, from that error;
        - `"levels"`: for each level the fields of `LevelUsage` on the first split, and
          `"bits_per_code"` for each split;
        - `"bits_per_image_dimension"`: for each split the bits of all codes of an image over
          `H * W * C`;
        - `"note"`: what the bits are the likelihood of.

    Example:

    ```python
    report = evaluate(vqvae, priors, {"validation": images}, {"validation": codes})
    report["levels"]["top"]["bits_per_code"]["validation"]
    ```
    """
    reconstruction, bits, bits_per_dimension = {}, {}, {}
    for split in images:
        mse = vqvae.evaluate(images[split], return_dict=True, verbose=0)["reconstruction_mse"]
        # The signal spans 2, pixels 255: the ratio to the error is the same.
        psnr = 10.0 * math.log10(2.0**2 / mse)
        reconstruction[split] = {"mse": float(mse), "psnr": psnr}
        bits[split] = priors.evaluate(codes[split], return_dict=True, verbose=0)
    levels = {}
    for level in level_usage(next(iter(codes.values()))):
        levels[level.name] = {
            **dataclasses.asdict(level),
            "entropy_bits": level.entropy_bits,
            "bits_per_code": {
                split: float(logs[f"{level.name}_bits_per_code"]) for split, logs in bits.items()
            },
        }
    for split in images:
        total = sum(
            level["bits_per_code"][split] * math.prod(level["code_shape"])
            for level in levels.values()
        )
        bits_per_dimension[split] = total / math.prod(vqvae.image_shape)
    return {
        "reconstruction": reconstruction,
        "levels": levels,
        "bits_per_image_dimension": bits_per_dimension,
        "note": LIKELIHOOD_NOTE,
    }


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
    table = Table("level", "grid", "codes", "in use", "perplexity", "entropy", title="Codebooks")
    for level in levels:
        table.add_row(
            f"[red]{level.name} (collapsed)[/red]" if level.collapsed else level.name,
            shape_text(level.code_shape),
            str(level.num_embeddings),
            f"{level.usage:.0%}",
            f"{level.perplexity:.1f}",
            f"{level.entropy_bits:.2f} bits",
        )
    return table


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
    splits = list(report["reconstruction"])
    quality = Table("split", "error (MSE on [-1, 1])", "PSNR", title="Reconstruction")
    for split, values in report["reconstruction"].items():
        quality.add_row(split, f"{values['mse']:.4f}", f"{values['psnr']:.1f} dB")
    likelihood = Table("level", "uniform", "frequencies", title="Bits a code")
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
        report["note"],
    ]


def shape_text(shape):
    """Return a shape as people write it: `32×32×3`."""
    return "×".join(str(size) for size in shape)
