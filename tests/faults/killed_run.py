"""A run of the program that is killed again and again at random moments: see `test_kills.py`.

`python killed_run.py FOLDER KILLS SEED` prints what came of it, as JSON. What takes the time of a
process, its imports, is done once: each life of the run is a fork of this process.
"""

import hashlib
import json
import math
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from keras_vqvae2.cli.config import Config
from keras_vqvae2.cli.run_lock import locked
from keras_vqvae2.cli.run_models import load_vqvae
from keras_vqvae2.cli.train_prior import train_prior
from keras_vqvae2.cli.train_vqvae import train_vqvae
from keras_vqvae2.datasets import extract_codes, load
from keras_vqvae2.distribution.processes import Workers
from keras_vqvae2.training.checkpoints import CheckpointFolder

EPOCHS, BATCH, IMAGES = 4, 4, {"train": 24, "validation": 8}
STAGES = ("vqvae2", "codes", "prior")
POLL_SECONDS = 0.001
MOST_SECONDS = 600  # of a life, on a machine that has other work too
MOST_KILLS = 40  # of a run, which then may end


def configured(folder, pictures):
    """A run that is as small as can be, and has all kinds of state."""
    return Config(
        run_dir=folder,
        seed=3,
        batch_size=BATCH,
        checkpoint_steps=2,
        tensorboard=False,
        data={"name": str(pictures)},
        vqvae={
            **{"filters": 4, "num_residual_blocks": 0, "num_levels": 1},
            **{"embedding_dim": 2, "num_embeddings": 4},
        },
        vqvae_training={"epochs": EPOCHS, "decoder_epochs": 0},
        prior={
            **{"filters": 4, "num_blocks": 1, "two_stream": False, "num_attention_blocks": [0]},
            **{"num_conditioning_blocks": 0, "dropout": 0.5},
        },
        prior_training={"epochs": EPOCHS, "allow_collapse": True},
    )


def write_pictures(folder):
    rng = np.random.default_rng(0)
    for split, count in IMAGES.items():
        (folder / split).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / split / f"{number:02}.png")


def live(config):
    """One life of the run: what is missing of both stages and of the codes between them."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # To optimize tiny graphs takes longer than to run them.
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    with locked(config, Workers()) as workers:
        train_vqvae(config, workers)
        vqvae = load_vqvae(config)
        for split in IMAGES:
            folder, images = config.codes_dir / split, load(config.data.name, split)
            extract_codes(vqvae, images, folder, batch_size=2, shard_size=2)
        train_prior(config, workers)


def keep_compiled(folder):
    """Let JAX compile each function in one life: a fifth of the time of the later ones."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def fork(config):
    """Start a life, and return its process id."""
    process = os.fork()
    if process:
        return process
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        live(config)
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(1)


def ended(process):
    """Whether a life has come to its own end; a failure is one of the test."""
    found, status = os.waitpid(process, os.WNOHANG)
    if found and status:
        raise SystemExit(f"A life ended with the status {os.waitstatus_to_exitcode(status)}.")
    return bool(found)


def files_in(folder):
    """What lies in the folders of the stages, with the time and size of each."""
    found = set()
    for stage in STAGES:
        # Which passes over a folder that is moved to its place meanwhile.
        for parent, _, names in os.walk(folder / stage):
            for file in (os.path.join(parent, name) for name in names):
                try:
                    status = os.lstat(file)
                except FileNotFoundError:
                    continue
                found.add((file, status.st_mtime_ns, status.st_size))
    return found


def killed(config, rng, usual, spared):
    """Live until a random moment and be killed; return False if the end came first.

    Stages that were struck often enough are spared: a life that begins in one goes on to the next.
    """
    # Half of the times after some files were written, else at any time at all.
    changes = int(rng.geometric(0.15)) if rng.random() < 0.7 else None
    wait = rng.uniform(0, 0.03 if changes else usual)
    process, begun, before = fork(config), time.monotonic(), None
    while changes is None or changes > 0:
        if ended(process):
            return False
        if time.monotonic() - begun > MOST_SECONDS:
            raise SystemExit("A life took too long.")
        if place(config)[0] not in spared:
            if changes is None:
                break
            now = files_in(config.run_dir)
            changes -= before is not None and now != before
            before = now
        time.sleep(POLL_SECONDS)
    time.sleep(wait)
    if ended(process):
        return False
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return True


def place(config):
    """Where a kill has struck: the stage, and whether within an epoch."""
    stages = [stage for stage in STAGES if (config.run_dir / stage).is_dir()]
    if not stages:
        return "start", False
    folder = CheckpointFolder(config.run_dir / stages[-1])
    return stages[-1], bool(folder.files()) and folder.files()[-1][0].steps > 0


def digests(folder):
    """Of all that a run leaves: weights, states, logs and codes, none of which may differ."""
    result = {}
    for stage in STAGES:
        for file in sorted((folder / stage).rglob("*")):
            name = str(file.relative_to(folder))
            if file.suffix == ".keras":
                value = [weight.tobytes() for weight in keras.saving.load_model(file).get_weights()]
            elif file.suffix == ".npz":
                with np.load(file) as arrays:
                    value = [arrays[key].tobytes() for key in sorted(arrays.files)]
            elif file.is_file():
                value = [file.read_bytes()]
            else:
                continue
            result[name] = hashlib.sha256(b"".join(value)).hexdigest()
    return result


def undisturbed(config):
    """Let a run come to its end, and return how long it took."""
    begun = time.monotonic()
    process = fork(config)
    while not ended(process):
        time.sleep(POLL_SECONDS)
    return time.monotonic() - begun


def main(folder, kills, seed):
    """Kill runs until so many kills are reached; compare each with one that was left alone."""
    rng = np.random.default_rng(seed)
    if keras.backend.backend() != "tensorflow":
        keras.utils.set_random_seed(seed)  # which imports TensorFlow: once, not in each life
    if keras.backend.backend() == "jax":
        keep_compiled(folder / "compiled")
    write_pictures(folder / "pictures")
    left_alone = configured(folder / "undisturbed", folder / "pictures")
    undisturbed(left_alone)
    struck = {"start": 0, **dict.fromkeys(STAGES, 0), "within an epoch": 0, "runs": 0}
    finished, usual, done = [], 0.0, 0
    while done < kills:
        config = configured(folder / f"run_{len(finished)}", folder / "pictures")
        for _ in range(min(MOST_KILLS, kills - done)):
            # As long as a life that finds all compiled, of the run before.
            spared = {stage for stage in STAGES if struck[stage] >= math.ceil(kills / len(STAGES))}
            if not killed(config, rng, usual or 1.0, spared):
                break
            stage, within = place(config)
            struck[stage] += 1
            struck["within an epoch"] += within
            done += 1
        usual = max(usual, undisturbed(config))
        finished.append(config.run_dir)
    # At last, for it takes a backend, which does not outlive a fork.
    expected = digests(left_alone.run_dir)
    for run in finished:
        found = digests(run)
        different = [name for name in expected | found if expected.get(name) != found.get(name)]
        if different:
            raise SystemExit(f"{run} differs from an undisturbed run in {different}.")
        shutil.rmtree(run)
    print(json.dumps({**struck, "runs": len(finished), "kills": done, "files": len(expected)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
