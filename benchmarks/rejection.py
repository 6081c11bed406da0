"""Score samples that are the best of several candidates, on top of a preset's own options.

    python benchmarks/rejection.py emoji32 --write docs/quality.md
    python benchmarks/rejection.py fashion_mnist --data-dir fashion-mnist --write docs/quality.md

Candidates are chosen by the classifier that is the first judge, so that only the second one's
scores of them are fair; or by the likelihood ratio of the class, which needs no classifier.
"""

import argparse
from pathlib import Path

from sweep import SETS, Judges, of_judges, row, score, sets_of
from tables import markdown, write_block

from keras_vqvae2 import ImageGenerator, datasets
from keras_vqvae2.evaluation import class_likelihood, class_recognition

CANDIDATES = (2, 4)


def main():
    """Measure a preset, print the table, and write it where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=SETS)
    parser.add_argument("--data-dir", type=Path, help="folder of Fashion-MNIST's IDX files")
    parser.add_argument("--write", type=Path, help="Markdown file with the markers of the table")
    arguments = parser.parse_args()
    name = arguments.name
    model = ImageGenerator.from_preset(name)
    reference, sets = sets_of(name, datasets.load(name, "test", data_dir=arguments.data_dir))
    judges = Judges.of(name, reference)
    reconstructed = [judges.scores(model.reconstruct(one.images[:]), one.labels) for one, _ in sets]
    ways = {"one candidate": {}}
    for title, score_fn in (
        ("the first judge", class_recognition(judges.extractors[0].classifier)),
        ("the likelihood ratio", class_likelihood(model)),
    ):
        for count in CANDIDATES:
            options = {"candidates": count, "score_fn": score_fn}
            ways[f"the best of {count} by {title}"] = options
    rows = []
    for title, options in ways.items():
        scores = score(model, judges, sets, options)
        rows.append(row(title, scores, reconstructed))
        print(" | ".join(rows[-1]), flush=True)
    names = (*of_judges(scores[0], "distance"), *of_judges(scores[0], "recognised"))
    words = [n.replace("distance", "Fréchet distance, of reconstructions'") for n in names]
    text = markdown([("samples", *words, "coverage", "precision"), *rows])
    print(text)
    if arguments.write:
        write_block(arguments.write, text, f"rejection {name}")


if __name__ == "__main__":
    main()
