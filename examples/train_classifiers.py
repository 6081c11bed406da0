"""Train the classifiers that judge samples: the files `keras_vqvae2/evaluation/*.keras`.

    python examples/train_classifiers.py --fashion-mnist fashion-mnist

Of each data set there are two, of other architectures and seeds. On two cores of a CPU it takes
half an hour.
"""

import argparse
from pathlib import Path

from keras_vqvae2 import datasets, evaluation
from keras_vqvae2.evaluation import (
    accuracy,
    build_classifier,
    build_second_classifier,
    train_classifier,
)

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--fashion-mnist", type=Path, help="folder of the IDX files; or a download")
parser.add_argument("--out", type=Path, default=Path(evaluation.__file__).parent)
parser.add_argument("--only", help="name of one classifier")
arguments = parser.parse_args()

FIRST = {"build": build_classifier, "seed": 0}
SECOND = {"build": build_second_classifier, "seed": 1}
OPTIONS = {
    "emoji32": {**FIRST, "epochs": 60, "flip": True, "shift": 2},
    "emoji32_second": {**SECOND, "epochs": 40, "flip": True, "shift": 2},
    "fashion_mnist": {**FIRST, "epochs": 6},
    "fashion_mnist_second": {**SECOND, "epochs": 6},
}
NUM_TRAIN = 24_000
for name, options in OPTIONS.items():
    if arguments.only not in (None, name):
        continue
    dataset = name.removesuffix("_second")
    folder = arguments.fashion_mnist if dataset == "fashion_mnist" else None
    train, test = (datasets.load(dataset, split, data_dir=folder) for split in ("train", "test"))
    images, labels = train.images[:NUM_TRAIN], train.labels[:NUM_TRAIN]
    classifier = train_classifier(images, labels, train.num_classes, **options)
    known, new = (
        accuracy(classifier, *data) for data in ((images, labels), (test.images, test.labels))
    )
    print(
        f"{name}: right on {known:.3f} of {len(images):,} training images, {new:.3f} of test ones",
        flush=True,
    )
    # Without the state of the optimizer: nobody trains it further.
    bare = options["build"](train.image_shape, train.num_classes)
    bare.set_weights(classifier.get_weights())
    bare.save(arguments.out / f"{name}.keras")
