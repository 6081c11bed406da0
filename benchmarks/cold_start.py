"""Time a fresh process's first images beside those of another checkout of the package.

    git worktree add before COMMIT
    python benchmarks/cold_start.py before --preset before/keras_vqvae2/models/presets/emoji32.keras

Processes take turns. Seconds by the clock: from the start to the import's end and to the first 64
images, and of a first single image after them.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tables import markdown

HERE = Path(__file__).resolve().parents[1]
FIRST_IMAGES = """
import sys, time
begin = time.perf_counter()
import keras_vqvae2
model = keras_vqvae2.ImageGenerator
imported = time.perf_counter()
model = model.from_preset(sys.argv[1])
model.generate(64, labels=[0] * 64, seed=0)
done = time.perf_counter()
model.generate(1, labels=[0], seed=0)
print(keras_vqvae2.__file__, imported - begin, done - begin, time.perf_counter() - done)
"""


def first_images(checkout, preset):
    """Return the seconds of a fresh process that imports a checkout."""
    with tempfile.TemporaryDirectory() as folder:  # not one that holds the package
        done = subprocess.run(
            [sys.executable, "-c", FIRST_IMAGES, preset],
            env={**os.environ, "PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "2"},
            cwd=folder,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    file, *seconds = done.stdout.splitlines()[-1].split()
    if not Path(file).is_relative_to(checkout):
        raise ValueError(f"The package came from {file}, not from {checkout}.")
    return [float(second) for second in seconds]


def main():
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="another checkout")
    parser.add_argument("--preset", default="emoji32", help="name or file that both can load")
    parser.add_argument("--rounds", type=int, default=4, help="turns of each")
    options = parser.parse_args()
    preset = options.preset
    if Path(preset).exists():
        preset = str(Path(preset).resolve())
    found = {options.other.resolve(): [], HERE: []}
    for _ in range(options.rounds):
        for checkout, runs in found.items():
            runs.append(first_images(checkout, preset))
    rows = [["seconds, least / median", "the other checkout", "this one", "ratios"]]
    for at, name in enumerate(("import", "first 64 images", "a first single image")):
        columns = [[one[at] for one in runs] for runs in found.values()]
        cells = [f"{min(times):.2f} / {statistics.median(times):.2f}" for times in columns]
        ratios = (of(columns[1]) / of(columns[0]) for of in (min, statistics.median))
        rows.append([name, *cells, " / ".join(f"{ratio:.2f}" for ratio in ratios)])
    print(markdown(rows))


if __name__ == "__main__":
    main()
