"""What a process of a distributed search does, for `test_tuning`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from keras_vqvae2 import tuning

# One model of 8x8 images; what differs from trial to trial is how it learns.
TINY = {
    "filters": [4],
    "num_residual_blocks": [0],
    "embedding_dim": [4],
    "num_embeddings": [8],
    "batch_size": [8],
    "flip": [False],
    "shift": [0],
}


def images(count, seed):
    """Random images with something to learn: uint8 `[count, 8, 8, 1]`, each of one grey."""
    rng = np.random.default_rng(seed)
    return np.broadcast_to(rng.integers(0, 256, (count, 1, 1, 1), "uint8"), (count, 8, 8, 1)).copy()


def search(tuner_id, port, directory, trials, epochs):
    """Be the chief or a worker; note the trials that this process ends in `ended.txt`."""
    os.environ["KERASTUNER_TUNER_ID"] = tuner_id
    os.environ["KERASTUNER_ORACLE_IP"] = "127.0.0.1"
    os.environ["KERASTUNER_ORACLE_PORT"] = str(port)

    def report(record):
        if record.status != "RUNNING":
            with open(directory / "ended.txt", "a") as file:
                file.write(f"{record.trial_id} {tuner_id}\n")

    hypermodel = tuning.HyperVQVAE2((8, 8, 1), num_levels=1, seed=0)
    tuner = tuning.make_tuner(
        hypermodel, directory / "search", trials=trials, space=TINY, report=report
    )
    tuner.search(images(16, 0), validation_data=images(8, 1), epochs=epochs, verbose=0)
