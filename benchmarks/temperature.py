"""Score a preset's samples at several temperatures, on several sets of real images.

    python benchmarks/temperature.py --data-dir fashion-mnist --write docs/quality.md

A Fréchet distance of 1,000 images says little to the second digit: sets of real images differ, and
so do seeds. Validation images chose the temperature of the preset, test images judge it.
"""

import argparse
from pathlib import Path

import numpy as np
from tables import markdown, write_block

from keras_vqvae2 import ImageGenerator, datasets
from keras_vqvae2.evaluation import accuracy, frechet_distance, load_extractor

NAME = "fashion_mnist"
NUM_REFERENCE, NUM_SAMPLES = 4_000, 1_000
TEMPERATURES = (1.0, 0.95, 0.9)
SEEDS = {"validation": 4, "test": 1}  # the one set of validation images is scored again and again


def score(model, extractor, split, data_dir):
    """The rows of a split: one a temperature, over all sets and seeds."""
    data = datasets.load(NAME, split, data_dir=data_dir)
    reference = extractor.features(data.images[:NUM_REFERENCE])
    starts = range(NUM_REFERENCE, len(data) - NUM_SAMPLES + 1, NUM_SAMPLES)
    sets = [data.part(start, start + NUM_SAMPLES) for start in starts]

    def judge(images, labels):
        distance = frechet_distance(reference, extractor.features(images))
        return distance, accuracy(extractor.classifier, images, labels)

    real = [judge(one.images, one.labels) for one in sets]
    reconstructed = [judge(model.reconstruct(one.images), one.labels) for one in sets]
    rows = [row(split, "real images", real), row(split, "reconstructions", reconstructed)]
    for temperature in TEMPERATURES:
        scores, ratios = [], []
        for one, (distance, _) in zip(sets, reconstructed, strict=True):
            for seed in range(SEEDS[split]):
                options = {"labels": one.labels, "seed": seed, "temperature": temperature}
                scores.append(judge(model.generate(NUM_SAMPLES, **options), one.labels))
                ratios.append(scores[-1][0] / distance)
        rows.append(row(split, f"samples at {temperature:g}", scores, ratios))
        print(rows[-1], flush=True)
    return rows


def row(split, images, scores, ratios=()):
    """A row of the table: means over the sets, and how far the ratios lie apart."""
    distance, recognised = np.mean(scores, axis=0)
    spread = f"{np.mean(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else ""
    return split, images, f"{distance:.3f}", spread, f"{recognised:.3f}"


def main():
    """Measure what the arguments name, and print or write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, help="folder of Fashion-MNIST's IDX files")
    parser.add_argument("--write", type=Path, help="Markdown file with the markers of the table")
    arguments = parser.parse_args()
    model, extractor = ImageGenerator.from_preset(NAME), load_extractor(NAME)
    head = ("split", "images", "Fréchet distance", "of that of reconstructions", "recognised")
    rows = [line for split in SEEDS for line in score(model, extractor, split, arguments.data_dir)]
    text = markdown([head, *rows])
    print(text)
    if arguments.write:
        write_block(arguments.write, text, "temperature")


if __name__ == "__main__":
    main()
