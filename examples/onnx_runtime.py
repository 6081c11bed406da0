"""Sample images with ONNX Runtime and NumPy, without TensorFlow, Keras or keras-vqvae2.

    keras-vqvae2 export --run-dir runs/emoji32 --format onnx     # or model.export(..., "onnx")
    python examples/onnx_runtime.py runs/emoji32/onnx --seed 7 --label 13

Gives the images of `model.generate(64, labels=13, seed=7)`. Needs `pip install onnxruntime pillow`.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image


def threefry(key, counter):
    """64 random bits, as two words, for each counter: Threefry-2x32 with 20 rounds."""
    keys = [*key, key[0] ^ key[1] ^ np.uint32(0x1BD11BDA)]
    left, right = counter[0] + keys[0], counter[1] + keys[1]
    for group in range(5):
        for distance in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
            left = left + right
            right = (right << np.uint32(distance)) | (right >> np.uint32(32 - distance))
            right = right ^ left
        left = left + keys[(group + 1) % 3]
        right = right + (keys[(group + 2) % 3] + np.uint32(group + 1))
    return left, right


def uniforms(seed, num_samples, shape, level):
    """The noise `[num_samples, H, W]` of a level that `generate` draws for a seed."""
    words = np.array([seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF], "uint32")[:, None, None]
    indices = np.arange(num_samples, dtype="uint32")[:, None]
    positions = np.arange(np.prod(shape), dtype="uint32")[None] + np.uint32(level << 24)
    bits, _ = threefry(words, (indices, positions))
    return ((bits >> np.uint32(8)).astype("float32") * 2.0**-24).reshape(-1, *shape)


def main():
    """Parse the flags, sample, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="that `export` wrote")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--label", type=int, help="class of all images")
    parser.add_argument("--num-samples", type=int, default=64, help="a square number")
    parser.add_argument("--out", default="onnx.png")
    flags = parser.parse_args()

    described = json.loads((flags.folder / "signatures.json").read_text())["sample_from_noise"]
    inputs, level = {}, 0
    for name, given in described["inputs"].items():
        if "default" in given:  # an option: one row is for all images
            inputs[name] = np.array([given["default"]], given["dtype"])
        else:  # levels come coarse to fine
            inputs[name] = uniforms(flags.seed, flags.num_samples, given["shape"][1:], level)
            level += 1
    if flags.label is not None:
        inputs["labels"] = np.array([flags.label], "int32")
    session = onnxruntime.InferenceSession(flags.folder / "sample_from_noise.onnx")
    (images,) = session.run(["images"], inputs)
    rows = np.split(images, round(flags.num_samples**0.5))
    picture = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    Image.fromarray(picture.squeeze()).save(flags.out)
    print(f"wrote {flags.out}")


if __name__ == "__main__":
    main()
