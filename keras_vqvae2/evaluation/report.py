"""What came of a run, in numbers and in words."""

import dataclasses
import math

import keras
import numpy as np
from skimage.metrics import structural_similarity

from keras_vqvae2 import checks
from keras_vqvae2.metrics import CodebookUsage, Perplexity

LIKELIHOOD_NOTE = (
    "Bits are the negative log-likelihood of the codes under the prior, not of the pixels: "
    "how many bits name an image's codes, while the reconstruction error says what the codes lose."
)
# Images of a split whose structural similarity is measured, one by one.
SSIM_IMAGES = 1_000
# The sets of images that `evaluation.score_samples` compares with real ones.
SCORED = {
    "real": "real images, held out",
    "reconstructions": "their reconstructions",
    "samples": "samples of the prior",
    "random_codes": "random codes",
}
SCORES = ("frechet_distance", "precision", "recall", "density", "coverage", "recognised")


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
    if not hasattr(batches, "manifest"):
        raise ValueError(f"`batches` must be `CodeBatches`. Received: batches={batches!r}")
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

        - `"reconstruction"`: for each split `"mse"` of the signal in [-1, 1], `"psnr"` in dB of
          pixels in 0..255, from that error, and `"ssim"`, the structural similarity, on the first
          1,000 images;
        - `"levels"`: for each level the fields of `LevelUsage` on the first split, and
          `"bits_per_code"` for each split;
        - `"bits_per_image_dimension"`: for each split the bits of all codes of an image over
          `H * W * C`;
        - `"image_bits_per_dimension"`: of a VQ-VAE-2 with the discretized logistic loss, for each
          split: those bits and the bits of the pixels given the codes, an upper bound of the
          negative log-likelihood of the images themselves;
        - `"note"`: what the bits are the likelihood of.

    Raises:
        ValueError: if there is no split, or the codes are of others.

    Example:

    ```python
    report = evaluate(vqvae, priors, {"validation": images}, {"validation": codes})
    report["levels"]["top"]["bits_per_code"]["validation"]
    ```
    """
    checks.instance("vqvae", vqvae, keras.Model)
    checks.instance("priors", priors, keras.Model)
    if not checks.options("images", images):
        raise ValueError(f"`images` must hold at least one split. Received: images={images!r}")
    if set(checks.options("codes", codes)) != set(images):
        raise ValueError(
            f"`codes` must be of the splits of `images`, {list(images)}. Received: codes={codes!r}"
        )
    reconstruction, bits, bits_per_dimension, image_bits = {}, {}, {}, {}
    for split in images:
        logs = vqvae.evaluate(images[split], return_dict=True, verbose=0)
        mse = logs["reconstruction_mse"]
        # The signal spans 2, pixels 255: the ratio to the error is the same.
        psnr = 10.0 * math.log10(2.0**2 / mse)
        ssim = _mean_ssim(vqvae, images[split].data.images[:SSIM_IMAGES])
        reconstruction[split] = {"mse": float(mse), "psnr": psnr, "ssim": ssim}
        if "pixel_bits_per_dim" in logs:
            image_bits[split] = float(logs["pixel_bits_per_dim"])
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
        if split in image_bits:
            image_bits[split] += bits_per_dimension[split]
    return {
        "reconstruction": reconstruction,
        "levels": levels,
        "bits_per_image_dimension": bits_per_dimension,
        **({"image_bits_per_dimension": image_bits} if image_bits else {}),
        "note": LIKELIHOOD_NOTE,
    }


def score_rows(scores):
    """Return the rows of the table of `evaluation.score_samples`, as text, the first as its head.

    Args:
        scores: the dict from `score_samples`.

    Returns:
        A list of tuples of strings.

    Example:

    ```python
    score_rows(report["samples"])[0]
    ```
    """
    names = [name for name in SCORES if name in scores]
    rows = [("images", *(name.replace("frechet", "Fréchet").replace("_", " ") for name in names))]
    for kind, words in SCORED.items():
        values = (scores[name].get(kind) for name in names)
        rows.append((words, *("" if value is None else f"{value:.3f}" for value in values)))
    return rows


def score_sentences(scores):
    """Return in words what `evaluation.score_samples` measured beside its table.

    Args:
        scores: the dict from `score_samples`.

    Returns:
        A list of sentences.

    Example:

    ```python
    print(*score_sentences(report["samples"]))
    ```
    """
    extractor = scores["extractor"]
    options = [f"temperature {scores['temperature']:g}"]
    options += [f"{key} {scores[key]}" for key in ("top_k", "top_p") if scores[key] is not None]
    if scores.get("guidance", 1) != 1:  # absent from older reports
        options.append(f"guidance {scores['guidance']}")
    sentences = [
        f"Features of {extractor['name']} (SHA-256 {extractor['checksum'][:16]}…), "
        f"{scores['num_samples']:,} images of each kind against {scores['num_reference']:,} of "
        f"{scores['reference']}, held out {scores['held_out']}, seed {scores['seed']}, "
        f"{', '.join(options)}."
    ]
    if scores.get("num_sets", 1) > 1:
        low, high = scores["spread"]["frechet_distance"]["samples"]
        sentences.append(
            f"Scores are means over {scores['num_sets']} sets; the Fréchet distance of samples lay "
            f"between {low:.3f} and {high:.3f}."
        )
    if "second" in scores:
        sentences.append(_second_sentence(scores["second"]))
    if "classification_accuracy" in scores:
        score = scores["classification_accuracy"]
        sentences.append(
            f"A classifier trained on {score['num_images']:,} samples is right on "
            f"{score['samples']:.1%} of the real images, one trained on as many real images on "
            f"{score['real']:.1%}."
        )
    near = scores["nearest_training_distance"]
    sentences.append(
        f"The nearest training image lies {near['samples']:.2f} from a sample and "
        f"{near['real']:.2f} from a held-out image."
    )
    return sentences


def _second_sentence(scores):
    """What another network says of the same images."""
    distance = scores["frechet_distance"]
    ratio = distance["samples"] / distance["reconstructions"]
    sentence = (
        f"By {scores['extractor']['name']}, of another architecture, samples lie {ratio:.2f} times "
        f"as far as reconstructions, with a coverage of {scores['coverage']['samples']:.3f} to "
        f"{scores['coverage']['reconstructions']:.3f}"
    )
    recognised = scores.get("recognised", {})
    if "samples" in recognised:
        values = (recognised[kind] for kind in ("samples", "reconstructions", "real"))
        words = "; {:.3f} of them are recognised, of reconstructions {:.3f}, of real images {:.3f}"
        sentence += words.format(*values)
    return f"{sentence}."


def _mean_ssim(vqvae, images):
    """Mean structural similarity of images and reconstructions, as their authors define it."""
    reconstructions = np.rint(vqvae.decode(vqvae.encode(images)))
    side = min(images.shape[1:3])
    window = {"gaussian_weights": True, "sigma": 1.5}  # eleven pixels wide
    if side < 11:
        window = {"win_size": side - 1 + side % 2}
    values = [
        structural_similarity(
            image.astype("float64"),
            reconstruction.astype("float64"),
            data_range=255,
            channel_axis=-1,
            use_sample_covariance=False,
            **window,
        )
        for image, reconstruction in zip(images, reconstructions, strict=True)
    ]
    return float(np.mean(values))


def shape_text(shape):
    """Return a shape as people write it: `32×32×3`."""
    return "×".join(str(size) for size in shape)


def headline_scores(report):
    """Return the few numbers that say how good a model is.

    Args:
        report: the dict of `report.json`.

    Returns:
        Dictionary from sentences to numbers, of validation images and of samples.

    Raises:
        ValueError: if it is no such dict.

    Example:

    ```python
    model.save_to_preset("mine", dataset="emoji32", scores=headline_scores(report))
    ```
    """
    if not {"levels", "reconstruction"} <= set(checks.options("report", report)):
        raise ValueError(
            "`report` must be what `evaluate` returns or `report.json` holds. "
            f"Received: report={report!r}"
        )
    levels = report["levels"].values()
    scores = {
        "reconstruction MSE, pixels on [-1, 1]": report["reconstruction"]["validation"]["mse"],
        "bits of all codes of an image": sum(
            level["bits_per_code"]["validation"] * math.prod(level["code_shape"])
            for level in levels
        ),
    }
    if samples := report.get("samples"):
        judges = {"": samples}
        if "second" in samples:
            judges["second judge: "] = samples["second"]
        for judge, found in judges.items():
            distance, coverage = found["frechet_distance"], found["coverage"]
            scores |= {
                f"{judge}Fréchet distance of samples, of that of reconstructions": distance[
                    "samples"
                ]
                / distance["reconstructions"],
                f"{judge}samples recognised": found["recognised"]["samples"],
                f"{judge}real images recognised": found["recognised"]["real"],
                f"{judge}coverage of samples, of that of reconstructions": coverage["samples"]
                / coverage["reconstructions"],
            }
    return {name: float(f"{value:.4g}") for name, value in scores.items()}
