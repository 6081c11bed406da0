"""Time a fresh process's first images beside those of another checkout of the package.

    git worktree add before COMMIT
    python benchmarks/cold_start.py before --preset before/keras_vqvae2/models/presets/emoji32.keras

Processes take turns. Seconds by the clock: from the start to the import's end and to the first 64
images, and of a first single image after them.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from tables import markdown
from training import run

HERE = Path(__file__).resolve().parents[1]


def first_images(checkout, preset):
    """Return the seconds of a fresh process that imports a checkout."""
    with tempfile.TemporaryDirectory() as folder:
        found = run("start", "tensorflow", folder, checkout=checkout, preset=preset, label=0)
    imported, loaded, drawn, single, _ = (wall for wall, _ in found.values())
    return imported, imported + loaded + drawn, single


def main():
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="another checkout")
    parser.add_argument("--preset", default="emoji32", help="name or file that both can load")
    parser.add_argument("--rounds", type=int, default=4, help="turns of each")
    options = parser.parse_args()
    if not (options.other / "keras_vqvae2" / "__init__.py").exists():
        parser.error(f"no checkout of the package is at {options.other}")
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
