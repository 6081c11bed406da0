"""Score a preset's samples over guidance and top-p, by two judges.

    python benchmarks/sweep.py emoji32 --write docs/quality.md --plot docs/images
    python benchmarks/sweep.py fashion_mnist --data-dir fashion-mnist --write docs/quality.md

Validation images choose the options, of all that are swept; test images then judge them, on several
sets or seeds with their spread: a Fréchet distance of a thousand images says little to the second
digit. `--run` scores the models of a run in place of the preset.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from tables import markdown, write_block

from keras_vqvae2 import ImageGenerator, datasets
from keras_vqvae2.cli.config import Config
from keras_vqvae2.cli.run_models import load_generator
from keras_vqvae2.evaluation import accuracy, frechet_distance, load_extractor, precision_recall
from keras_vqvae2.evaluation.extractors import SECOND

# Of each split the images that all is compared with, and how many are drawn at a time; None for
# the whole split, which is then drawn again and again with other seeds.
SETS = {"emoji32": (None, None), "fashion_mnist": (4_000, 1_000)}
SEEDS = {"validation": 1, "test": 3}
JUDGES = ("", "second ")  # how their scores are called; of some data there is one
# All options of a row, since what is left out would be the model's own.
SWEPT = {
    "emoji32": [
        {"temperature": 1.0, "guidance": guidance, "top_p": top_p}
        for top_p in (1.0, 0.9)
        for guidance in (1.0, 2.0, 3.0, 4.0)
    ],
    "fashion_mnist": [
        {"temperature": 1.0, "guidance": guidance, "top_p": top_p}
        for top_p in (1.0, 0.95)
        for guidance in (1.0, 1.1, 1.2, 1.5)
    ],
}


@dataclasses.dataclass
class Judges:
    """The reference images as each judge sees them."""

    extractors: list
    references: list

    @classmethod
    def of(cls, name, reference):
        """The judges of a data set, who compare with its reference images."""
        extractors = [load_extractor(judge) for judge in (name, SECOND.get(name)) if judge]
        return cls(extractors, [e.features(reference.images[:]) for e in extractors])

    def scores(self, images, labels):
        """Distances and recognition by each judge; coverage and precision by the first."""
        found = {}
        for name, judge, reference in zip(JUDGES, self.extractors, self.references, strict=False):
            features = judge.features(images)
            found[f"{name}distance"] = frechet_distance(reference, features)
            found[f"{name}recognised"] = accuracy(judge.classifier, images, labels)
            found |= {} if name else precision_recall(reference, features)
        return found


def sets_of(name, data):
    """The images that all is compared with, and the sets that are drawn, each with its seed."""
    reference, size = SETS[name]
    if size is None:
        return data, [(data, seed) for seed in range(SEEDS[data.split])]
    starts = range(reference, len(data) - size + 1, size)
    sets = [data.part(start, start + size) for start in starts]
    seeds = SEEDS["test"] if len(sets) == 1 else 1
    return data.part(stop=reference), [(one, seed) for one in sets for seed in range(seeds)]


def score(model, judges, sets, options):
    """The scores of samples with some options on each set."""
    return [
        judges.scores(model.generate(len(one), labels=one.labels, seed=seed, **options), one.labels)
        for one, seed in sets
    ]


def of_judges(scores, name):
    """The names of a score by each judge."""
    return [judge + name for judge in JUDGES if judge + name in scores]


def mean(scores, name):
    """The mean of a score over the sets."""
    return np.mean([one[name] for one in scores])


def row(title, scores, reconstructed=None):
    """A row of the table: means over the sets, and how far the ratios lie apart."""
    cells = [title]
    for name in of_judges(scores[0], "distance"):
        text = f"{mean(scores, name):.2f}"
        if reconstructed is not None:
            ratios = [a[name] / b[name] for a, b in zip(scores, reconstructed, strict=True)]
            text += f", {np.mean(ratios):.2f}"
            if len(ratios) > 1:
                text += f" ({min(ratios):.2f} to {max(ratios):.2f})"
        cells.append(text)
    for name in (*of_judges(scores[0], "recognised"), "coverage", "precision"):
        cells.append(f"{mean(scores, name):.3f}")
    return cells


def text_of(options):
    """Options in words, as of a row."""
    return ", ".join(f"{name.replace('_', '-')} {value:g}" for name, value in options.items())


def measure(name, model, data, options_of):
    """The table of one split and what `options_of` gives of it: a list of options to be scored."""
    reference, sets = sets_of(name, data)
    judges = Judges.of(name, reference)
    reconstructed = [judges.scores(model.reconstruct(one.images[:]), one.labels) for one, _ in sets]
    real = [judges.scores(one.images[:], one.labels) for one, _ in sets]
    rows = [row("real images", real), row("reconstructions", reconstructed)]
    results = []
    for options in options_of:
        results.append(score(model, judges, sets, options))
        rows.append(row(f"samples, {text_of(options)}", results[-1], reconstructed))
        print(" | ".join(rows[-1]), flush=True)
    return rows, real, reconstructed, results


def best_of(real, reconstructed, results):
    """Index of the options whose samples lie nearest, by both judges, as reconstructions do.

    Coverage counts too: guidance that is too strong pleases judges by drawing one image only. So
    does what is recognised less often than real images are.
    """

    def loss(scores):
        names = of_judges(scores[0], "distance")
        ratios = [mean(scores, n) / mean(reconstructed, n) for n in names]
        lost = max(0.0, 0.9 - mean(scores, "coverage") / mean(reconstructed, "coverage"))
        lost += max(0.0, mean(real, "recognised") - mean(scores, "recognised"))
        return np.log(ratios).sum() + 5 * lost

    return int(np.argmin([loss(scores) for scores in results]))


def plot(file, swept, reconstructed, results):
    """Draw the scores over guidance, a line for each top-p."""
    import matplotlib.pyplot as plt

    shown = ("distance", "recognised", "coverage", "precision")
    figure, axes = plt.subplots(1, len(shown), figsize=(14, 3.4), layout="constrained")
    for axis, name in zip(axes, shown, strict=True):
        for value in dict.fromkeys(options["top_p"] for options in swept):
            rows = [i for i, options in enumerate(swept) if options["top_p"] == value]
            points = [(swept[i]["guidance"], mean(results[i], name)) for i in rows]
            axis.plot(*zip(*points, strict=True), marker="o", label=f"top-p {value:g}")
        level = mean(reconstructed, name)
        axis.axhline(level, color="black", linestyle=":", label="reconstructions")
        axis.set(xlabel="guidance", title=name)
    axes[0].set_title("Fréchet distance")
    axes[0].legend()
    figure.savefig(file, dpi=110)
    plt.close(figure)


def main():
    """Measure what the arguments name, and print or write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=SETS)
    parser.add_argument("--data-dir", type=Path, help="folder of Fashion-MNIST's IDX files")
    parser.add_argument("--run", type=Path, help="folder of a run, in place of the preset")
    parser.add_argument("--write", type=Path, help="Markdown file with the markers of the table")
    parser.add_argument("--plot", type=Path, help="folder of the picture")
    arguments = parser.parse_args()
    name = arguments.name
    if arguments.run:
        model = load_generator(Config.load(arguments.run / "config.json"))
    else:
        model = ImageGenerator.from_preset(name)
    swept = SWEPT[name]
    if not model.prior.labels_optional:
        swept = [options for options in swept if options["guidance"] == 1]
    splits = ("validation", "test")
    data = {s: datasets.load(name, s, data_dir=arguments.data_dir) for s in splits}
    rows, real, reconstructed, results = measure(name, model, data["validation"], swept)
    chosen = swept[best_of(real, reconstructed, results)]
    print("chosen:", text_of(chosen))
    if arguments.plot:
        plot(arguments.plot / f"{name}_sweep.png", swept, reconstructed, results)
    plain = dict.fromkeys(chosen, 1.0)
    judged, *_ = measure(name, model, data["test"], [plain, chosen])
    names = (*of_judges(results[0][0], "distance"), *of_judges(results[0][0], "recognised"))
    words = [n.replace("distance", "Fréchet distance, of reconstructions'") for n in names]
    head = ("images", *words, "coverage", "precision")
    text = "\n\n".join(
        f"{title}:\n\n{markdown([head, *table])}"
        for title, table in (
            ("Validation images, which choose", rows),
            ("Test images, which judge what was chosen", judged),
        )
    )
    print(text)
    if arguments.write:
        write_block(arguments.write, text, f"sweep {name}")


if __name__ == "__main__":
    main()
