"""Size and time of exports in each format, beside TensorFlow's SavedModel, and what differs.

    python benchmarks/export.py                          # print the tables
    python benchmarks/export.py --write docs/export.md   # put them there

Of the preset `emoji32`. Each engine runs in a process with TensorFlow, in turn with it and on the
same core: the ratio of the two times is what tells. A time is the best of five. Takes about
15 minutes.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tables import markdown_of, write_block

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from run_engines import ENGINES

BATCHES = (1, 64)
SIGNATURES = ("encode", "decode", "sample_from_noise")
FORMATS = ("tf_saved_model", *ENGINES)


def export(folder):
    """Export the preset in each format; ask it for 64 images."""
    from keras_vqvae2 import ImageGenerator

    model = ImageGenerator.from_preset("emoji32")
    rows = []
    for format in FORMATS:
        model.export(folder / format, format=format)
        sizes = {
            name: sum(f.stat().st_size for f in (folder / format).rglob(name) if f.is_file())
            for name in ("*", "sample_from_noise.*", "encode.*")
        }
        row = {"format": format, "MB": round(sizes["*"] / 1e6, 1)}
        for name in ("sample_from_noise.*", "encode.*"):
            row[f"MB, `{name[:-2]}`"] = round(sizes[name] / 1e6, 1) or ""
        rows.append(row)
    noise = model.prior.noise(64, seed=0)
    labels = np.arange(64, dtype="int32") % model.num_classes
    images, _ = model.sample_from_noise(noise, labels=labels)
    names = [x for x in described(folder)["sample_from_noise"]["inputs"] if "uniforms" in x]
    np.savez(
        folder / "expected.npz",
        images=images,
        labels=labels,
        **dict(zip(names, noise, strict=True)),
    )
    return rows


def described(folder):
    """What the signatures take."""
    return json.loads((folder / "onnx" / "signatures.json").read_text())


def inputs_of(signature, size, expected):
    """Inputs of a signature: those of the expected images, or as random."""
    rng = np.random.default_rng(size)
    result = {}
    for key, given in signature["inputs"].items():
        if key in expected and key != "images":
            result[key] = expected[key][:size]
        elif "default" in given:
            result[key] = np.full(size, given["default"], given["dtype"])
        else:
            high = 512 if "codes" in key else 256
            result[key] = rng.integers(0, high, (size, *given["shape"][1:])).astype(given["dtype"])
    return result


def measure(folder, format):
    """Time an engine beside TensorFlow and compare its answers; print it as JSON."""
    # Of one core each: LiteRT would take one, the others all.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import tensorflow as tf

    expected = dict(np.load(folder / "expected.npz"))
    signatures = described(folder)
    loaded = tf.saved_model.load(str(folder / "tf_saved_model"))
    row = {"format": format}
    for name in SIGNATURES:

        def tensorflow(inputs, function=loaded.signatures[name]):
            outputs = function(**{key: tf.constant(x) for key, x in inputs.items()})
            return {key: x.numpy() for key, x in outputs.items()}

        start = time.perf_counter()
        engine = ENGINES[format](folder / format / name)
        load = time.perf_counter() - start
        if name == SIGNATURES[-1]:
            row["load s"] = round(load, 1)
        for size in BATCHES:
            inputs = inputs_of(signatures[name], size, expected)
            times = {tensorflow: [], engine: []}
            for _ in range(5):  # in turn, so that what else the machine does is of both
                for function, taken in times.items():
                    time.sleep(0.05)  # until the other's threads spin no more
                    begin = time.perf_counter()
                    answer = function(inputs)
                    taken.append(time.perf_counter() - begin)
                    if function is tensorflow:
                        reference = answer
            ratio = min(times[engine]) / min(times[tensorflow])
            row[f"`{name}`, {size}"] = f"{1000 * min(times[engine]):.1f} ms, ×{ratio:.2f}"
        if name == "encode":
            same = all(np.array_equal(answer[key], reference[key]) for key in answer)
            row["codes"] = "equal" if same else "differ"
    difference = np.abs(answer["images"].astype(int) - expected["images"]).reshape(64, -1).max(1)
    row["64 images as of the API"] = (
        f"{np.sum(difference == 0)} equal, {np.sum(difference == 1)} off by 1 of 255, "
        f"{np.sum(difference > 1)} others"
    )
    print(json.dumps(row))


def main():
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="Markdown file with the markers of the tables")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.measure:
        return measure(Path(flags.measure[0]), flags.measure[1])
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        exported, rows = export(folder), []
        for format in ENGINES:
            command = [sys.executable, __file__, "--measure", str(folder), format]
            result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows.append(json.loads(result.stdout.splitlines()[-1]))
    by_format = [
        {"": key, **{row["format"]: row[key] for row in rows}} for key in rows[0] if key != "format"
    ]
    text = "\n\n".join(
        [
            f"The preset `emoji32`, {platform.machine()}, one core; × is of TensorFlow's time.",
            markdown_of(exported),
            markdown_of(by_format),
        ]
    )
    print(text)
    if flags.write is not None:
        write_block(flags.write, text)


if __name__ == "__main__":
    main()
