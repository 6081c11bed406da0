"""Train the prior of a run anew, with images drawn as they come and rare kinds drawn more often.

    keras-vqvae2 demo
    python benchmarks/rare_kinds.py runs/emoji32 --write docs/quality.md

A kind is drawn by a power of how many images it has: 1 is as they come, 0 all kinds alike. All
trainings have the steps and the rate of the run's own, with one seed. Samples by the run's own
options, 27 of each kind, are judged beside the validation images; the half of the kinds that have
fewest images is the rare one.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from sweep import Judges
from tables import markdown_of, write_block

import keras_vqvae2 as kv
from keras_vqvae2.cli.config import Config
from keras_vqvae2.cli.fitting import adam
from keras_vqvae2.cli.run import load_codes, load_split
from keras_vqvae2.cli.run_models import build_prior, load_generator
from keras_vqvae2.evaluation import accuracy, precision_recall

POWERS = {"as they come": 1.0, "by the root of the count": 0.5, "all kinds alike": 0.0}
SAMPLES = 27  # of each kind


def drawn_by(power, codes, labels, steps, batch_size, seed=0):
    """Yield batches whose images are drawn by a power of how many their kind has."""
    counts = np.bincount(labels)
    weights = counts[labels] ** (power - 1.0)
    generator = np.random.default_rng(seed)
    for _ in range(steps):
        chosen = generator.choice(len(labels), batch_size, p=weights / weights.sum())
        yield tuple(level[chosen] for level in codes), labels[chosen]


def all_of(batches):
    """All codes and labels of a dataset, in its order."""
    parts = [batches[index] for index in range(len(batches))]
    codes = tuple(np.concatenate(level) for level in zip(*(part[0] for part in parts), strict=True))
    return codes, np.concatenate([part[1] for part in parts])


def train(config, power, vqvae, names, data, steps):
    """Return the run's prior, trained on images drawn by a power of the count."""
    keras.utils.set_random_seed(config.seed)
    codes, labels = data
    prior = build_prior(config, vqvae, len(names), names)
    prior.compile(adam(config, config.prior_training.learning_rate, steps, **config.average))
    batches = drawn_by(power, codes, labels, steps, config.batch_size)
    prior.fit(batches, steps_per_epoch=steps, verbose=2)
    return prior


def main():
    """Train by each way of drawing, print the table, and write it where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a run of both stages on `emoji32`")
    parser.add_argument("--steps", type=int, default=1952)
    parser.add_argument("--write", type=Path, help="Markdown file with the markers of the table")
    arguments = parser.parse_args()
    config = Config.load(arguments.run / "config.json")
    trained = load_generator(config)
    vqvae, sampling = trained.vqvae, trained.sampling
    train_data, validation = (all_of(load_codes(config, s)) for s in ("train", "validation"))
    images = load_split(config, "validation")
    judges = Judges.of("emoji32", images)
    counts = np.bincount(train_data[1])
    rare = np.argsort(counts)[: len(counts) // 2]
    labels = np.repeat(np.arange(len(counts)), SAMPLES)
    rows = []
    for title, power in POWERS.items():
        prior = train(config, power, vqvae, images.label_names, train_data, arguments.steps)
        bits = -sum(prior.log_prob(*validation)) / np.log(2)
        samples = kv.ImageGenerator(vqvae, prior, sampling).generate(len(labels), labels, seed=0)
        features = judges.extractors[0].features(samples)
        cells = {"kinds are drawn": title, "bits a validation image": f"{bits.mean():.1f}"}
        cells["of rare kinds"] = f"{bits[np.isin(validation[1], rare)].mean():.1f}"
        for what, kinds in (
            ("recognised", np.arange(len(counts))),
            ("of rare kinds, recognised", rare),
        ):
            of_kinds = np.isin(labels, kinds)
            judged = [
                accuracy(judge.classifier, samples[of_kinds], labels[of_kinds])
                for judge in judges.extractors
            ]
            cells[what] = ", ".join(f"{share:.3f}" for share in judged)
        coverage = precision_recall(judges.references[0], features)["coverage"]
        cells["coverage"] = f"{coverage:.3f}"
        rows.append(cells)
        print(cells, flush=True)
    text = markdown_of(rows)
    print(text)
    if arguments.write:
        write_block(arguments.write, text, "rare kinds")


if __name__ == "__main__":
    main()
