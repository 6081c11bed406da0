"""Draw what a trained model can do: its codes, samples, completions, and what options change.

    python examples/gallery.py emoji32 --out docs/images/gallery
    python examples/gallery.py fashion_mnist --data-dir fashion-mnist --out docs/images/gallery
    python examples/gallery.py my_model.keras --dataset photos

The model is what `ImageGenerator.from_preset` takes: a name, a `.keras` file, a folder. Its own
sampling options hold, except where the sweep says another. It takes about two minutes of a core.
"""

import argparse
from pathlib import Path

import numpy as np
from keras import ops

import keras_vqvae2 as kv
from keras_vqvae2 import drawing

COLUMNS = 8
MOST_ROWS, ROWS = 10, 6  # of more classes than the first, the most frequent ones
TEMPERATURES = (0.5, 0.8, 1.0, 1.2)
GUIDANCES = (0, 1, 3, 5)
SCALE = 2

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model", help="a preset's name, a .keras file or a folder")
parser.add_argument("--dataset", help="what it was trained on; known of an embedded preset")
parser.add_argument("--data-dir", type=Path, help="folder of the data")
parser.add_argument("--label-key", help="which of several kinds of labels; see `datasets.load`")
parser.add_argument("--train-split", default="train", help="images that the model has learned")
parser.add_argument("--test-split", default="test", help="images that it has never seen")
parser.add_argument("--out", type=Path, default=Path("gallery"), help="folder of the pictures")
arguments = parser.parse_args()

model = kv.ImageGenerator.from_preset(arguments.model)
height, width, _ = model.image_shape
dataset = arguments.dataset or kv.ImageGenerator.presets[arguments.model]["dataset"]
options = {"data_dir": arguments.data_dir, "label_key": arguments.label_key}
if Path(dataset).is_dir():
    options["image_size"] = (height, width)
train, test = (
    kv.datasets.load(dataset, split, **options)
    for split in (arguments.train_split, arguments.test_split)
)

# A row is a class, of many the most frequent ones; of a model without classes it is just a row.
by_class = model.num_classes is not None
classes, names = np.zeros(ROWS, int), [""] * ROWS
if by_class:
    classes = np.arange(model.num_classes)
    known_names = model.label_names or train.label_names or [str(number) for number in classes]
    if len(classes) > MOST_ROWS:
        frequencies = np.bincount(train.labels, minlength=len(classes))
        classes = np.argsort(-frequencies, kind="stable")[:ROWS]
    names = [known_names[number] for number in classes]


def spread(rows, count=COLUMNS):
    """Unseen images, evenly spread over some rows of the data."""
    chosen = np.linspace(0, len(rows) - 1, count + 2).astype(int)[1:-1]
    return np.stack([test.images[rows[place]] for place in chosen])


def generate(labels, seed=0, **options):
    """An image of each label; of a model without classes as many images."""
    return model.generate(len(labels), labels=labels if by_class else None, seed=seed, **options)


def save(picture, images, rows, heads=()):
    """Write rows of images, enlarged, with names at the left and heads above."""
    images = images.repeat(SCALE, axis=1).repeat(SCALE, axis=2)
    file = arguments.out / f"{Path(arguments.model).stem}_{picture}.png"
    drawing.save(file, drawing.named_rows(images, rows, heads=heads), scale=1)
    print(f"wrote {file}")


# What the codes keep: unseen images, the codes of each level, and what is decoded from them.
originals = spread(range(len(test)))
rows = {"original": originals}
for level, codes in enumerate(model.vqvae.encode(originals)):
    codebook = ops.convert_to_numpy(model.vqvae.quantizers[level].codebook)
    down, across = codes.shape[1:]
    colors = drawing.code_grids(codes, codebook).repeat(height // down, axis=1)
    title = f"{model.vqvae.level_names[level]} codes, {down} by {across}"
    rows[title] = colors.repeat(width // across, axis=2)
rows["reconstruction"] = model.reconstruct(originals)
in_color = [np.broadcast_to(images, (COLUMNS, height, width, 3)) for images in rows.values()]
save("codes", np.concatenate(in_color), rows)

# Samples of each class; and without the prior, whose codes are random, beside those with it.
save("samples", generate(np.repeat(classes, COLUMNS)), names)
random = model.generate_random(2 * COLUMNS, seed=0)
samples = generate(np.resize(classes, 2 * COLUMNS), seed=1)
rows = ["random codes", "", "from the prior", ""]
save("prior", np.concatenate([random, samples]), rows)

# Completions: the lower or the right half is erased, and drawn four times.
lower, right = np.ones((2, height, width), bool)
lower[height // 2 :] = False
right[:, width // 2 :] = False
cells = []
for row, label in enumerate(classes):
    of_class = np.flatnonzero(test.labels == label) if by_class else range(len(test))
    (image,) = spread(of_class, 1) if by_class else originals[row : row + 1]
    known = (lower, right)[row % 2]
    labels = np.full(4, label) if by_class else None
    drawn = model.complete(np.stack([image] * 4), known, labels=labels, seed=0)
    cells += [image, drawing.erased(image, known), *drawn]
heads = ["original", "kept", *(f"drawn, {number}" for number in range(1, 5))]
save("completions", np.stack(cells), names, heads)

# The same seeds of one class over temperature and guidance.
guided = [{"guidance": guidance} for guidance in GUIDANCES if model.prior.labels_optional]
cells = [
    generate(np.full(3, classes[0]), temperature=temperature, **guidance)
    for temperature in TEMPERATURES
    for guidance in guided or [{}]
]
heads = [f"guidance {options['guidance']}" for options in guided]
save("sweep", np.concatenate(cells), [f"temperature {number}" for number in TEMPERATURES], heads)

# No copies: beneath samples the training images that lie nearest, by features of a classifier.
samples = samples[:COLUMNS]
extractor = kv.evaluation.load_extractor("auto", dataset)
features = extractor.features(samples), extractor.features(train.images)
_, indices = kv.evaluation.nearest(*features)
nearest = np.stack([train.images[index] for index in indices])
save("nearest", np.concatenate([samples, nearest]), ["sample", "nearest training image"])
