"""Train the classifiers that judge samples: the files `keras_vqvae2/evaluation/*.keras`.

    python examples/train_classifiers.py --fashion-mnist fashion-mnist

On two cores of a CPU it takes two minutes.
"""

import argparse
from pathlib import Path

from keras_vqvae2 import datasets, evaluation
from keras_vqvae2.evaluation import accuracy, build_classifier, train_classifier

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--fashion-mnist", type=Path, help="folder of the IDX files; or a download")
parser.add_argument("--out", type=Path, default=Path(evaluation.__file__).parent)
arguments = parser.parse_args()

OPTIONS = {
    "emoji32": {"epochs": 60, "flip": True, "shift": 2},
    "fashion_mnist": {"epochs": 6},
}
NUM_TRAIN = 24_000
for name, options in OPTIONS.items():
    folder = arguments.fashion_mnist if name == "fashion_mnist" else None
    train, test = (datasets.load(name, split, data_dir=folder) for split in ("train", "test"))
    images, labels = train.images[:NUM_TRAIN], train.labels[:NUM_TRAIN]
    classifier = train_classifier(images, labels, train.num_classes, **options)
    known, new = (
        accuracy(classifier, *data) for data in ((images, labels), (test.images, test.labels))
    )
    print(
        f"{name}: right on {known:.3f} of {len(images):,} training images, {new:.3f} of test ones"
    )
    # Without the state of the optimizer: nobody trains it further.
    bare = build_classifier(train.image_shape, train.num_classes)
    bare.set_weights(classifier.get_weights())
    bare.save(arguments.out / f"{name}.keras")
