"""Time the signatures of an exported model in the session loader that TensorFlow Serving uses.

    python benchmarks/serving.py                           # print the tables
    python benchmarks/serving.py --write docs/serving.md   # put them there

Of the specified size, by class. A time is the best of a few calls; each session is its own process.
Takes about 5 minutes on two cores.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tables import markdown_of, write_block

BATCHES = (1, 16, 64)


def export(folder):
    """Export the specified model, untrained; return what it took."""
    import keras

    from keras_vqvae2 import VQVAE2, HierarchicalPrior, ImageGenerator

    keras.utils.set_random_seed(0)
    vqvae = VQVAE2()
    model = ImageGenerator(vqvae, HierarchicalPrior.from_vqvae(vqvae, num_classes=10))
    start = time.perf_counter()
    model.export(folder)
    seconds = time.perf_counter() - start
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {
        "parameters": f"{model.count_params() / 1e6:.1f} M",
        "export s": round(seconds, 1),
        "MB": round(size / 1e6, 1),
    }


def inputs_of(signature, size):
    """Return random inputs of a signature, by name and dtype."""
    import tensorflow as tf

    rng = np.random.default_rng(size)
    result = {}
    for key, info in signature.inputs.items():
        shape = (size, *(dim.size for dim in info.tensor_shape.dim[1:]))
        if key in signature.defaults:
            result[key] = np.repeat(tf.make_ndarray(signature.defaults[key]), size)
        elif key.startswith("uniforms"):
            result[key] = rng.random(shape, dtype="float32")
        else:
            high = {"images": 256, "mask": 2}.get(key, 512)
            result[key] = rng.integers(0, high, shape).astype(
                tf.as_dtype(info.dtype).as_numpy_dtype
            )
    return result


def measure(folder):
    """Load an export in a session and print the time of each signature, as JSON."""
    import tensorflow as tf

    start = time.perf_counter()
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
    report = {"load s": round(time.perf_counter() - start, 1), "rows": []}
    for name in ("sample", "sample_from_noise", "complete", "log_prob", "encode", "decode"):
        signature = loaded.signature_def[name]
        fetches = [info.name for info in signature.outputs.values()]
        feeds = [info.name for info in signature.inputs.values()]
        run = session.make_callable(fetches, feeds)
        row = {"signature": name}
        for size in BATCHES:
            values = list(inputs_of(signature, size).values())
            times = []
            for _ in range(2 if size == BATCHES[0] else 1):
                begin = time.perf_counter()
                run(*values)
                times.append(time.perf_counter() - begin)
            if size == BATCHES[0]:
                row["first call s"] = round(times[0], 1)
            for _ in range(7):
                begin = time.perf_counter()
                run(*values)
                times.append(time.perf_counter() - begin)
            row[f"ms, batch {size}"] = round(1000 * min(times[1:]), 1)
        row["times one image, 64"] = round(row["ms, batch 64"] / row["ms, batch 1"], 1)
        report["rows"].append(row)
        if name == "sample":
            report["batches"] = across_batches(run, signature)
    print(json.dumps(report))


def across_batches(run, signature, images=2048):
    """Compare images of other batch sizes with those of the same seeds in batches of 64."""
    keys, outputs = list(signature.inputs), list(signature.outputs)
    base = inputs_of(signature, images)
    base["seed"] = np.arange(images)
    at = outputs.index("images")

    def drawn(size, count):
        chunks = [
            run(*(base[key][start : start + size] for key in keys))[at]
            for start in range(0, count, size)
        ]
        return np.concatenate(chunks).reshape(count, -1).astype(int)

    whole = drawn(64, images)
    rows = []
    for size, count in ((1, 512), (16, images)):
        difference = np.abs(drawn(size, count) - whole[:count]).max(axis=1)
        rows.append(
            {
                "batch": size,
                "images": count,
                "the same": int((difference == 0).sum()),
                "a pixel off by 1 of 255": int((difference == 1).sum()),
                "another code": int((difference > 1).sum()),
            }
        )
    return rows


def main():
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="Markdown file with the markers of the tables")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.measure:
        return measure(flags.measure)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "1"
        exported = export(folder)
        command = [sys.executable, __file__, "--measure", str(folder)]
        result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    report = json.loads(result.stdout.splitlines()[-1])
    exported["load s"] = report["load s"]
    text = "\n\n".join(
        [
            f"The specified model by class, {platform.machine()}, two cores.",
            markdown_of([exported]),
            markdown_of(report["rows"]),
            "Images of `sample` by the same seeds, against those of batches of 64:",
            markdown_of(report["batches"]),
        ]
    )
    print(text)
    if flags.write is not None:
        write_block(flags.write, text)


if __name__ == "__main__":
    main()
