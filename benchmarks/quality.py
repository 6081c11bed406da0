"""Measure what each option of both stages is worth: the tables of docs/quality.md.

    python benchmarks/quality.py emoji32
    python benchmarks/quality.py fashion_mnist --data-dir fashion-mnist
    python benchmarks/quality.py fashion_mnist --data-dir fashion-mnist --wirings --steps 1287
    python benchmarks/quality.py --write docs/quality.md       # of all that was measured

Each variant trains for the same number of steps, from the same seeds, on the same batches. All
priors learn the codes of the best VQ-VAE-2, and one those of the specified VQ-VAE-2. `--wirings`
trains for longer what the two names of a wiring give, both stages of each. What was measured is
kept in `--out`: a call goes on where an earlier one stopped.
"""

import argparse
import functools
import json
import time
from pathlib import Path

import keras
import numpy as np
from tables import markdown, write_block

from keras_vqvae2 import datasets
from keras_vqvae2.datasets import ImageBatches
from keras_vqvae2.models import VQVAE2, HierarchicalPrior

BATCH_SIZE = 128
LEARNING_RATE = 2e-3
# The error is that of the signal, which "hard" clipping leaves as it is.
VQVAE = {"filters": 32, "num_residual_blocks": 2, "residual_filters": 16, "clipping": "hard"}
PRIOR = {"filters": 48, "num_blocks": 4}
NUM_TEST = 2_000  # test images that are measured
STEPS = 215  # of a training of each variant
VQVAE_VARIANTS = {
    "specified wiring": {},
    "random codebook, no restarts": {
        "quantizer_options": {
            "kmeans_iterations": 0,
            "restart_threshold": 0.0,
            "embeddings_initializer": "random_normal",
        }
    },
    "k-means, no restarts": {"quantizer_options": {"restart_threshold": 0.0}},
    "restarts, no k-means": {
        "quantizer_options": {"kmeans_iterations": 0, "embeddings_initializer": "random_normal"}
    },
    "cosine codes": {"quantizer_options": {"metric": "cosine"}},
    "rotation trick": {"quantizer_options": {"gradient": "rotation"}},
    "L1 loss": {"reconstruction_loss": "l1"},
    "discretized logistic loss": {"reconstruction_loss": "discretized_logistic"},
    "condition on coarser": {"condition_on_coarser": True},
    "sub-pixel decoders": {"upsampling": "subpixel"},
    "transposed decoders": {"upsampling": "transposed"},
    "soft clipping": {"clipping": "soft"},
    "best combination": {"condition_on_coarser": True, "quantizer_options": {"metric": "cosine"}},
}
# Whose codes the priors learn; of the other wiring one prior learns the codes too.
SPECIFIED, BEST = "specified wiring", "best combination"
PRIOR_STAGES = {SPECIFIED: "prior on specified codes", BEST: "prior"}
# How a prior is built, and how it is trained.
PRIOR_VARIANTS = {
    "specified wiring": ({}, {}),
    "two streams": ({"two_stream": True}, {}),
    "two streams, half the blocks": ({"two_stream": True, "num_blocks": 2}, {}),
    "attention in the top prior": ({"num_attention_blocks": (2, 0)}, {}),
    "attention of one head": ({"num_attention_blocks": (2, 0), "num_heads": 1}, {}),
    "conditioning stack": ({"num_conditioning_blocks": 2}, {}),
    "dropout 0.1": ({"dropout": 0.1}, {}),
    "label smoothing 0.05": ({"label_smoothing": 0.05}, {}),
    "label dropout 0.1": ({"label_dropout": 0.1}, {}),
    "average of weights": ({}, {"use_ema": True, "ema_momentum": 0.99}),
    "best combination": (
        {"two_stream": True, "num_attention_blocks": (2, 0), "num_conditioning_blocks": 2},
        {},
    ),
}


class Measurements:
    """What was measured, by dataset, steps, stage, variant and seed, in one JSON file."""

    def __init__(self, file):
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self.values = json.loads(file.read_text()) if file.exists() else {}

    def add(self, key, measure):
        """Measure what the key names, unless that was done before."""
        if key not in self.values:
            start = time.perf_counter()
            scores = measure()
            self.values[key] = {**scores, "seconds": time.perf_counter() - start}
            self.file.write_text(json.dumps(self.values, indent=1))
            print(
                key, {name: round(value, 4) for name, value in self.values[key].items()}, flush=True
            )


def cosine(steps):
    """The learning rate of every training here: half a cosine down to zero."""
    return keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)


def epochs_of(data, steps):
    """Whole epochs of full batches that take about so many steps."""
    return max(1, round(steps / (len(data) // BATCH_SIZE)))


def train_vqvae(options, data, steps, seed):
    """Train a variant of the VQ-VAE-2."""
    keras.utils.set_random_seed(seed)
    vqvae = VQVAE2(data.image_shape, **{**VQVAE, **options})
    batches = ImageBatches(data, BATCH_SIZE, shuffle=True, seed=seed, drop_remainder=True)
    epochs = epochs_of(data, steps)
    vqvae.compile(keras.optimizers.Adam(cosine(epochs * len(batches))))
    vqvae.fit(batches, epochs=epochs, verbose=0)
    return vqvae


def measure_vqvae(vqvae, test):
    """Errors of the test images, and how the codebooks are used."""
    logs = vqvae.evaluate(test.images[:], batch_size=200, verbose=0, return_dict=True)
    scores = {"parameters": vqvae.count_params(), "mse": logs["reconstruction_mse"]}
    for name in vqvae.level_names:
        scores[f"{name}_usage"] = logs[f"{name}_usage"]
        scores[f"{name}_perplexity"] = logs[f"{name}_perplexity"]
    if "pixel_bits_per_dim" in logs:
        scores["pixel_bits_per_dim"] = logs["pixel_bits_per_dim"]
    return {name: float(value) for name, value in scores.items()}


@functools.cache
def load_codes(file, data, test):
    """A trained VQ-VAE-2, and the codes of both splits."""
    vqvae = keras.saving.load_model(file)
    return vqvae, vqvae.encode(data.images[:]), vqvae.encode(test.images[:])


def measure_prior(file, variant, data, test, steps, seed):
    """Train a variant of the prior; the bits of the test codes."""
    vqvae, codes, test_codes = load_codes(file, data, test)
    options, training = variant
    keras.utils.set_random_seed(seed)
    priors = HierarchicalPrior.from_vqvae(
        vqvae, num_classes=data.num_classes, **{**PRIOR, **options}
    )
    epochs = epochs_of(data, steps)
    total = epochs * (len(data) // BATCH_SIZE)
    priors.compile(keras.optimizers.Adam(cosine(total), **training))
    order = np.random.default_rng(seed)
    rows = np.concatenate([order.permutation(len(data)) for _ in range(epochs)])
    rows = rows[: total * BATCH_SIZE]
    priors.fit(
        tuple(level[rows] for level in codes),
        data.labels[rows],
        batch_size=BATCH_SIZE,
        shuffle=False,
        verbose=0,
    )
    logs = priors.evaluate(test_codes, test.labels, batch_size=200, verbose=0, return_dict=True)
    scores = {"parameters": float(priors.count_params())}
    for name, (height, width) in zip(priors.level_names, priors.code_shapes, strict=True):
        scores[name] = float(logs[f"{name}_bits_per_code"])
        scores["bits"] = scores.get("bits", 0.0) + scores[name] * height * width
    return scores


def measure(dataset, data_dir, steps, seeds, wirings, results):
    """Measure all variants on a dataset, or the two wirings alone."""
    splits = f"train[:{steps * BATCH_SIZE}]", f"test[:{NUM_TEST}]"
    data, test = (datasets.load(dataset, split, data_dir=data_dir) for split in splits)
    vqvaes = (SPECIFIED, BEST) if wirings else VQVAE_VARIANTS
    priors = [(BEST, name) for name in ((BEST,) if wirings else PRIOR_VARIANTS)]
    for seed in range(seeds):
        for name in vqvaes:

            def run(name=name, seed=seed):
                vqvae = train_vqvae(VQVAE_VARIANTS[name], data, steps, seed)
                if name in (SPECIFIED, BEST):
                    vqvae.save(_file(results, dataset, steps, name, seed))
                return measure_vqvae(vqvae, test)

            results.add(f"{dataset}/{steps}/vqvae/{name}/{seed}", run)
        for codes_of, name in [*priors, (SPECIFIED, SPECIFIED)]:
            file = _file(results, dataset, steps, codes_of, seed)
            results.add(
                f"{dataset}/{steps}/{PRIOR_STAGES[codes_of]}/{name}/{seed}",
                lambda file=file, name=name, seed=seed: measure_prior(
                    file, PRIOR_VARIANTS[name], data, test, steps, seed
                ),
            )


def _file(results, dataset, steps, name, seed):
    return results.file.parent / f"{dataset}_{steps}_{name.replace(' ', '_')}_{seed}.keras"


def vqvae_table(results, dataset):
    """The table of stage 1 on a dataset: means over the seeds."""
    rows = [("VQ-VAE-2", "test MSE", "top: used, perplexity", "bottom: used, perplexity")]
    for name in VQVAE_VARIANTS:
        if scores := _scores(results, f"{dataset}/{STEPS}/vqvae/{name}/"):
            rows.append((name, _mean(scores["mse"], 4), *_used(scores)))
    return rows


def prior_table(results, dataset):
    """The table of stage 2 on a dataset: means over the seeds."""
    rows = [("prior", "parameters", "top, bits a code", "bottom, bits a code", "bits an image")]
    keys = {name: f"{dataset}/{STEPS}/{PRIOR_STAGES[BEST]}/{name}/" for name in PRIOR_VARIANTS}
    keys["specified wiring, on the codes of the specified VQ-VAE-2"] = (
        f"{dataset}/{STEPS}/{PRIOR_STAGES[SPECIFIED]}/"
    )
    for name, prefix in keys.items():
        if scores := _scores(results, prefix):
            parameters = f"{np.mean(scores['parameters']) / 1e6:.2f} M"
            levels = (f"{np.mean(scores[level]):.3f}" for level in ("top", "bottom"))
            rows.append((name, parameters, *levels, _mean(scores["bits"], 1)))
    return rows


def wirings_table(results, dataset):
    """Both stages of the two wirings, each as long as it was trained: means over the seeds."""
    rows = [
        (
            "wiring",
            "steps",
            "test MSE",
            "top: used, perplexity",
            "bottom: used, perplexity",
            "bits an image",
        )
    ]
    lengths = {int(key.split("/")[1]) for key in results if key.startswith(f"{dataset}/")}
    for steps in sorted(lengths):
        for name, stage in PRIOR_STAGES.items():
            vqvae = _scores(results, f"{dataset}/{steps}/vqvae/{name}/")
            prior = _scores(results, f"{dataset}/{steps}/{stage}/{name}/")
            if vqvae and prior:
                error, bits = _mean(vqvae["mse"], 4), _mean(prior["bits"], 1)
                rows.append((name, f"{steps:,}", error, *_used(vqvae), bits))
    return rows


def _used(scores):
    """How much of each codebook is in use, and how evenly."""
    return (
        f"{np.mean(scores[f'{level}_usage']):.1%}, {np.mean(scores[f'{level}_perplexity']):.0f}"
        for level in ("top", "bottom")
    )


def _scores(results, prefix):
    """For each score its values of all seeds; empty if nothing was measured."""
    found = [scores for key, scores in results.items() if key.startswith(prefix)]
    return {score: [scores[score] for scores in found] for score in found[0]} if found else {}


def _mean(values, digits):
    """The mean, and how far the values lie apart where there are several."""
    half = (max(values) - min(values)) / 2
    spread = f" ± {half:.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def main():
    """Measure what the arguments name, or write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", nargs="?", choices=("emoji32", "fashion_mnist"))
    parser.add_argument("--data-dir", type=Path, help="folder of Fashion-MNIST's IDX files")
    parser.add_argument("--steps", type=int, default=STEPS, help="of each training")
    parser.add_argument("--wirings", action="store_true", help="measure the two wirings alone")
    parser.add_argument("--seeds", type=int, default=1, help="how many of each variant")
    parser.add_argument("--out", type=Path, default=Path("runs/quality/quality.json"))
    parser.add_argument("--write", type=Path, help="Markdown file with the markers of the tables")
    arguments = parser.parse_args()
    results = Measurements(arguments.out)
    if arguments.dataset:
        measure(
            arguments.dataset,
            arguments.data_dir,
            arguments.steps,
            arguments.seeds,
            arguments.wirings,
            results,
        )
    tables = {"vqvae": vqvae_table, "prior": prior_table, "wirings": wirings_table}
    for dataset in ("fashion_mnist", "emoji32"):
        for stage, table in tables.items():
            rows = table(results.values, dataset)
            if len(rows) == 1:  # a head alone: nothing was measured
                continue
            text = markdown(rows)
            print(f"\n{dataset}, {stage}\n\n{text}")
            if arguments.write:
                write_block(arguments.write, text, f"{dataset} {stage}")


if __name__ == "__main__":
    main()
