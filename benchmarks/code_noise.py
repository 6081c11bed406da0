"""Measure what noise on the images does to their codes and to what comes of them.

    python benchmarks/code_noise.py --data-dir fashion-mnist --write docs/quality.md

It shows how many codes of an image may be others at no loss. `code_noise` gives a prior such codes,
in passes of the augmented images, and so keeps it from learning one encoding by heart.
"""

import argparse
from pathlib import Path

import numpy as np
from tables import markdown_of, write_block

from keras_vqvae2 import ImageGenerator, datasets
from keras_vqvae2.datasets import Augmentation
from keras_vqvae2.evaluation import frechet_distance, load_extractor

NAME = "fashion_mnist"
NUM_REFERENCE, NUM_IMAGES = 4_000, 2_000
LEVELS_OF_NOISE = (0, 2, 4, 6, 8, 12, 16)


def measure(model, extractor, data):
    """A row for each level of noise: codes changed, error and distance of reconstructions."""
    reference = extractor.features(data.images[:NUM_REFERENCE])
    images = data.images[NUM_REFERENCE : NUM_REFERENCE + NUM_IMAGES]
    clean = model.vqvae.encode(images)
    for noise in LEVELS_OF_NOISE:
        noisy = Augmentation(noise=noise)(images, np.arange(NUM_IMAGES), 0)
        top, bottom = (
            f"{(codes != old).mean():.1%}"
            for codes, old in zip(model.vqvae.encode(noisy), clean, strict=True)
        )
        reconstructed = model.reconstruct(noisy)
        error = np.mean((reconstructed / 127.5 - images / 127.5) ** 2)
        distance = frechet_distance(reference, extractor.features(reconstructed))
        yield {
            "noise, of 255": noise,
            "top codes changed": top,
            "bottom codes changed": bottom,
            "MSE against the image without noise": f"{error:.4f}",
            "Fréchet distance": f"{distance:.3f}",
        }


def main():
    """Measure, and print or write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, help="folder of Fashion-MNIST's IDX files")
    parser.add_argument("--write", type=Path, help="Markdown file with the markers of the table")
    arguments = parser.parse_args()
    data = datasets.load(NAME, "test", data_dir=arguments.data_dir)
    text = markdown_of(list(measure(ImageGenerator.from_preset(NAME), load_extractor(NAME), data)))
    print(text)
    if arguments.write:
        write_block(arguments.write, text, "code noise")


if __name__ == "__main__":
    main()
