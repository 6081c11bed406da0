"""Measure how fast the pictures of a folder are opened and read, beside `tf.data`.

    python benchmarks/pictures.py                           # print the tables
    python benchmarks/pictures.py --write docs/scaling.md   # put them there

JPEGs of 500×375 pixels are cropped and resized to 256×256, in batches of 64, by one thread, by as
many as there are cores, and by a `tf.data` pipeline of the same work that chooses its own number.
All take turns; a table gives the medians, and ratios of figures of the same turn. Then a folder of
many small pictures is opened twice.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from tables import markdown, write_block

from keras_vqvae2 import datasets

SIZE, BATCH = (256, 256), 64


def write_pictures(folder, count):
    """Write JPEGs of drawings, enlarged, with noise, which costs a decoder what photographs do."""
    images = datasets.load("emoji32", "test").images[:count]
    rng = np.random.default_rng(0)
    for number, image in enumerate(images):
        large = np.asarray(Image.fromarray(image).resize((500, 375), Image.Resampling.BICUBIC))
        noisy = np.clip(large + rng.normal(scale=8.0, size=large.shape), 0, 255).astype("uint8")
        Image.fromarray(noisy).save(folder / f"{number:04}.jpg", quality=90)


def ours(folder, workers):
    """Read all pictures by this package."""
    images = datasets.load("folder", data_dir=folder, image_size=SIZE, workers=workers).images
    for start in range(0, len(images), BATCH):
        images[start : start + BATCH]
    return len(images)


def by_tf_data(folder):
    """Read the same pictures by `tf.data`."""
    import tensorflow as tf

    paths = datasets.load("folder", data_dir=folder, image_size=SIZE).images.items

    def read(path):
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        side = tf.reduce_min(tf.shape(image)[:2])
        image = tf.image.resize_with_crop_or_pad(image, side, side)
        image = tf.image.resize(image, SIZE, "lanczos3", antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)

    data = tf.data.Dataset.from_tensor_slices(paths)
    data = data.map(read, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(1)
    return sum(len(batch) for batch in data)


def rates(folder, turns):
    """Pictures a second of each way, of each turn."""
    ways = {
        "one thread": lambda: ours(folder, 1),
        f"{os.cpu_count()} threads": lambda: ours(folder, None),
        "`tf.data`": lambda: by_tf_data(folder),
    }
    found = {name: [] for name in ways}
    for way in ways.values():
        way()  # reads the files into memory, and traces
    for _ in range(turns):
        for name, way in ways.items():
            begin = time.perf_counter()
            found[name].append(way() / (time.perf_counter() - begin))
    return found


def rates_table(found):
    """The medians, and their ratios to one thread and to `tf.data`."""
    one, _, other = found.values()
    rows = [("read by", "pictures a second", "of one thread", "of `tf.data`")]
    for name, values in found.items():
        ratios = [
            statistics.median(a / b for a, b in zip(values, base, strict=True))
            for base in (one, other)
        ]
        rows.append(
            (name, f"{statistics.median(values):.0f}", *(f"{ratio:.2f}" for ratio in ratios))
        )
    return markdown(rows)


def openings_table(folder, count):
    """Seconds until a folder of so many pictures is open, the first time and the second."""
    for number in range(count):
        parent = folder / f"class_{number % 100:02}"
        if number < 100:
            parent.mkdir(parents=True)
            Image.new("RGB", (64, 64), number).save(parent / "first.png")
        else:
            os.link(parent / "first.png", parent / f"{number}.png")
    seconds = []
    for _ in range(2):
        begin = time.perf_counter()
        datasets.load(folder)
        seconds.append(time.perf_counter() - begin)
    head = ("pictures", "first opening", "second opening")
    return markdown([head, (f"{count:,}", *(f"{value:.1f} s" for value in seconds))])


def main():
    """Measure, print the tables, and write them where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=512, help="JPEGs that are read")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--opened", type=int, default=100_000, help="pictures of the large folder")
    parser.add_argument("--write", type=Path, help="Markdown file with the markers of the tables")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["KERAS_HOME"] = str(folder / "home")  # where the index is kept
        (folder / "jpegs" / "train").mkdir(parents=True)
        write_pictures(folder / "jpegs" / "train", arguments.pictures)
        text = rates_table(rates(folder / "jpegs", arguments.turns))
        text += "\n\n" + openings_table(folder / "many", arguments.opened)
    print(text)
    if arguments.write:
        write_block(arguments.write, text, "pictures")


if __name__ == "__main__":
    main()
