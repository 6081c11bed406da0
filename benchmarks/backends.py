"""Compare the three backends: files of one on the others, loss curves from the same start, times.

    python benchmarks/backends.py                            # print the tables
    python benchmarks/backends.py --write docs/backends.md   # put them there
    python benchmarks/backends.py times                      # one of them: pairs, curves or times

Each backend runs in processes of its own, one after another, which takes about a quarter of an
hour on two cores. Times are processor time on one core, the best of a few runs: what else the
machine does hardly changes them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from tables import markdown, milliseconds, write_block

BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
SMALL = {"side": 16, "filters": 16, "steps": 60}


def data(side, count):
    """Return embedded emoji `[count, side, side, 3]`, with noise so that no two vectors are one."""
    import keras_vqvae2 as kv

    images = kv.datasets.load("emoji32", "train").images[:count, :: 32 // side, :: 32 // side]
    return images ^ np.random.default_rng(1).integers(0, 64, images.shape, dtype="uint8")


def build(side, filters, **quantizer_options):
    """Return a VQ-VAE-2 and its priors, whose first weights do not depend on the backend."""
    import keras_vqvae2 as kv

    vqvae = kv.VQVAE2(
        (side, side, 3),
        filters=filters,
        num_residual_blocks=1,
        embedding_dim=8,
        num_embeddings=32,
        quantizer_options=quantizer_options,
    )
    priors = kv.HierarchicalPrior.from_vqvae(vqvae, filters=filters, num_blocks=2)
    rng = np.random.default_rng(0)
    for model in (vqvae, priors):
        for variable in model.trainable_variables:
            scale = 0.0 if len(variable.shape) == 1 else np.prod(variable.shape[:-1]) ** -0.5
            variable.assign(rng.normal(scale=scale, size=variable.shape))
    for quantizer in vqvae.quantizers:
        quantizer.sums.assign(rng.normal(scale=0.3, size=quantizer.sums.shape))
    return vqvae, priors


def train(folder, side, filters, steps):
    """Train both stages, k-means and restarts among it, and save them in one file."""
    import keras

    import keras_vqvae2 as kv

    keras.utils.set_random_seed(0)
    images = data(side, 32 * steps)
    vqvae, priors = build(side, filters)
    vqvae.compile("adam")
    vqvae.fit(images, batch_size=32, verbose=0)
    priors.compile("adam")
    priors.fit(vqvae.encode(images), batch_size=32, verbose=0)
    kv.ImageGenerator(vqvae, priors).save(folder / f"{keras.backend.backend()}.keras")


def use(folder, side, count=64):
    """Write the codes, log-likelihoods and samples of each backend's file on this backend."""
    import keras

    images = data(side, count)
    for name in BACKENDS:
        model = keras.saving.load_model(folder / f"{name}.keras")
        np.savez(
            folder / f"{name}-on-{keras.backend.backend()}.npz",
            log_prob=model.log_prob(images),
            samples=model.generate(count, seed=0),
            **dict(zip(model.vqvae.level_names, model.vqvae.encode(images), strict=True)),
        )


def curves(folder, side, filters, steps):
    """Write the loss of each step of both stages, from the same weights on the same batches."""
    import keras

    images = data(side, 2000)
    # Neither k-means nor restarts: what they draw at random is a backend's own.
    vqvae, priors = build(side, filters, kmeans_iterations=0, restart_threshold=0.0)
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, 32, (2000, *shape)) for shape in vqvae.code_shapes]
    rows = rng.integers(0, 2000, 32 * steps)
    results = {}
    for model, arrays in ((vqvae, images[rows]), (priors, tuple(x[rows] for x in codes))):
        losses = []
        record = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda _, logs, losses=losses: losses.append(float(logs["loss"]))
        )
        model.compile("adam")
        model.fit(arrays, batch_size=32, shuffle=False, callbacks=[record], verbose=0)
        # The logs are means over the epoch so far.
        sums = np.array(losses) * np.arange(1, steps + 1)
        results[model.name] = np.diff(sums, prepend=0.0)
    np.savez(folder / f"curves-{keras.backend.backend()}.npz", **results)


def times(folder, runs=3):
    """Write the milliseconds of a training step and of sampling on one core, at real sizes."""
    os.sched_setaffinity(0, {0})  # before a backend counts the cores
    import keras

    import keras_vqvae2 as kv

    vqvae = kv.VQVAE2((32, 32, 3), filters=128)
    prior = kv.PixelCNN((8, 8), context_shape=(4, 4), num_blocks=8, filters=128)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (64, 32, 32, 3), "uint8")
    inputs = {
        "codes": rng.integers(0, 512, (64, 8, 8)),
        "context": rng.integers(0, 512, (64, 4, 4)),
    }
    results = {}
    for model, arrays in ((vqvae, images), (prior, inputs)):
        model.compile("adam")
        results[f"{model.name}, a step of 64"] = _time(
            lambda model=model, arrays=arrays: model.train_on_batch(arrays), runs
        )
    results["vqvae2, encode 64"] = _time(lambda: vqvae.encode(images), runs)
    for count in (1, 16, 64):
        context = inputs["context"][:count]
        results[f"pixel_cnn, sample {count}"] = _time(
            lambda count=count, context=context: prior.sample(count, context=context, seed=0), runs
        )
    (folder / f"times-{keras.backend.backend()}.json").write_text(json.dumps(results))


def _time(function, runs):
    """Milliseconds of the first call, and of the best of some later ones."""
    first, *later = milliseconds(function, runs)
    return first, min(later)


TASKS = {task.__name__: task for task in (train, use, curves, times)}


def run(task, folder, limit=1200, **sizes):
    """Run a task on each backend, in processes of their own, one after another.

    Args:
        task: name in `TASKS`.
        folder: for the files.
        limit: seconds after which a process is killed.
        **sizes: of the task.
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    if task != "times":
        # Tiny tensors: on a machine with other work PyTorch's threads wait for each other, long.
        environment["OMP_NUM_THREADS"] = "1"
    for backend in BACKENDS:
        subprocess.run(
            [sys.executable, __file__, "--task", task, str(folder), json.dumps(sizes)],
            check=True,
            timeout=limit,
            env={**environment, "KERAS_BACKEND": backend},
        )


def differences(folder, trained, used):
    """Return how a file differs on another backend from where it was trained.

    Args:
        folder: of the files that `use` wrote.
        trained: name of a backend.
        used: name of a backend.

    Returns:
        `(codes, log_prob, samples)`: the share of the codes that differ, the largest relative
        difference of a log-likelihood, and the share of the pixels that differ.
    """
    one, other = (np.load(folder / f"{trained}-on-{name}.npz") for name in (trained, used))
    levels = set(one.files) - {"log_prob", "samples"}
    codes = np.concatenate([(one[level] != other[level]).ravel() for level in levels]).mean()
    log_prob = np.abs(other["log_prob"] / one["log_prob"] - 1).max()
    return codes, log_prob, (one["samples"] != other["samples"]).mean()


def pairs_table(folder):
    """Return the nine pairs as a Markdown table."""
    rows = [("trained on", "used on", "codes that differ", "log-likelihoods", "pixels that differ")]
    for trained, title in BACKENDS.items():
        for used, other in BACKENDS.items():
            codes, log_prob, samples = differences(folder, trained, used)
            rows.append((title, other, f"{codes:.2%}", f"{log_prob:.0e}", f"{samples:.2%}"))
    return markdown(rows)


def curve_differences(folder):
    """Return the largest relative difference of a loss, of each stage and each two backends."""
    found = {name: np.load(folder / f"curves-{name}.npz") for name in BACKENDS}
    names = list(BACKENDS)
    return {
        (stage, one, other): float(np.abs(found[other][stage] / found[one][stage] - 1).max())
        for stage in found[names[0]].files
        for index, one in enumerate(names)
        for other in names[index + 1 :]
    }


def curves_table(folder):
    """Return the differences of the loss curves as a Markdown table."""
    rows = [("model", "backends", "largest relative difference of a step's loss")]
    for (stage, one, other), value in curve_differences(folder).items():
        rows.append((stage, f"{BACKENDS[one]}, {BACKENDS[other]}", f"{value:.0e}"))
    return markdown(rows)


def times_table(folder):
    """Return the times as a Markdown table, in milliseconds."""
    found = {name: json.loads((folder / f"times-{name}.json").read_text()) for name in BACKENDS}
    rows = [("ms", *BACKENDS.values(), *(f"first call, {title}" for title in BACKENDS.values()))]
    for what in found["torch"]:
        first, best = ([f"{found[name][what][i]:.0f}" for name in BACKENDS] for i in (0, 1))
        rows.append((what, *best, *first))
    return markdown(rows)


# Of each table the tasks that its numbers come from, in turn, and what makes it of their files.
TABLES = {
    "pairs": ({"train": SMALL, "use": {"side": SMALL["side"]}}, pairs_table),
    "curves": ({"curves": {**SMALL, "steps": 200}}, curves_table),
    "times": ({"times": {}}, times_table),
}


def main():
    """Run what the tables need, print them, and write them where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", help=f"some of {', '.join(TABLES)}; all if left out")
    parser.add_argument("--write", type=Path, help="Markdown file with the markers of the tables")
    parser.add_argument("--task", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        task, folder, sizes = options.task
        TASKS[task](Path(folder), **json.loads(sizes))
        return
    for name in options.tables or TABLES:
        tasks, table = TABLES[name]
        with tempfile.TemporaryDirectory() as folder:
            for task, sizes in tasks.items():
                run(task, Path(folder), **sizes)
            text = table(Path(folder))
        print(text, end="\n\n")
        if options.write is not None:
            write_block(options.write, text, name)


if __name__ == "__main__":
    main()
