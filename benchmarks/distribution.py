"""Train both stages on one device and on two replicas, and compare what they learned.

    python benchmarks/distribution.py                                 # print the table
    python benchmarks/distribution.py --write docs/distribution.md    # put it there

Each way of training runs in processes of its own, on one machine without a GPU: two logical devices
of TensorFlow, two processes that talk over loopback, two host devices of JAX, two JAX processes,
two of PyTorch. All see the same global batches.
"""

import argparse
import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from tables import markdown, write_block

WAYS = {
    "one-tensorflow": ("tensorflow", 1),
    "mirrored": ("tensorflow", 1),
    "multiworker": ("tensorflow", 2),
    "one-jax": ("jax", 1),
    "nudged-jax": ("jax", 1),
    "data-parallel": ("jax", 1),
    "jax-processes": ("jax", 2),
    "one-torch": ("torch", 1),
    "torch-processes": ("torch", 2),
}
TITLES = {
    "mirrored": "TensorFlow, `MirroredStrategy`, 2 logical CPUs",
    "multiworker": "TensorFlow, `MultiWorkerMirroredStrategy`, 2 processes",
    "nudged-jax": "JAX, one device, first weights times 1 + 1e-7",
    "data-parallel": "JAX, `DataParallel`, 2 host devices",
    "jax-processes": "JAX, `DataParallel`, 2 processes",
    "torch-processes": "PyTorch, `torch.distributed`, 2 processes",
}
BATCH_SIZE = 16
# What rounding may do to a weight: how far it takes a training of one device from itself.
NUDGE = 1e-7


def start(way, ports, index):
    """Begin a way of training; return the context that models are built and trained in.

    Everything that has to come before Keras does is here.
    """
    backend, count = WAYS[way]
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    addresses = [f"127.0.0.1:{port}" for port in ports]
    if way == "data-parallel":
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=2"
    if way == "jax-processes":
        import jax

        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(addresses[0], num_processes=count, process_id=index)
    if way == "torch-processes":
        import torch

        torch.set_num_threads(1)
        address, port = addresses[0].split(":")
        place = {"RANK": str(index), "WORLD_SIZE": str(count)}
        os.environ.update({"MASTER_ADDR": address, "MASTER_PORT": port, **place})
    if way == "multiworker":
        task = {"type": "worker", "index": index}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
    if way == "mirrored":
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
        return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope
    from keras_vqvae2.distribution import processes

    kind = {"multiworker": "multiworker", "data-parallel": "data-parallel"}
    kind["jax-processes"] = kind["torch-processes"] = "data-parallel"
    return processes.start(kind.get(way)).scope


def train(way, ports, index, file, side=32, levels=2, blocks=1, codes=32, steps=20):
    """Train both stages; save codebooks, kernels and metrics.

    Args:
        way: name in `WAYS`.
        ports: of this machine, one a process.
        index: of this process.
        file: for the results.
        side: of the images, 32 divided by a power of two.
        levels: of codes.
        blocks: of the networks.
        codes: in each codebook.
        steps: of each stage, rounded down to whole epochs of 4 or 5.
    """
    scope = start(way, ports, index)
    import keras

    import keras_vqvae2 as kv
    from keras_vqvae2.datasets.epoch_batches import EpochBatches
    from keras_vqvae2.distribution.processes import data_options

    class ArrayCodes(EpochBatches):
        """Codes in memory, in the order and the parts of `CodeBatches`."""

        def __init__(self, grids):
            super().__init__(len(grids[0]), BATCH_SIZE, drop_remainder=False, **options)
            self.grids = grids

        def __getitem__(self, index):
            rows = self.batch_indices(index)
            return (tuple(level[rows] for level in self.grids),)

    images = kv.datasets.load("emoji32", "train").images[:, :: 32 // side, :: 32 // side]
    # Patches of plain background are equal: which of two equal codes they take, rounding decides.
    images = images ^ np.random.default_rng(1).integers(0, 64, images.shape, dtype="uint8")
    # After four whole batches one example is left: a replica of TensorFlow goes without, and JAX
    # and PyTorch leave out what their devices cannot share.
    options = {} if WAYS[way][0] == "tensorflow" else {"multiple_of": 2}
    options.update(data_options(), shuffle=True, seed=0)
    size = 4 * BATCH_SIZE + 1
    with scope():
        keras.utils.set_random_seed(0)
        vqvae = kv.VQVAE2(
            images.shape[1:],
            filters=16,
            num_levels=levels,
            num_residual_blocks=blocks,
            embedding_dim=8,
            num_embeddings=codes,
            # Often enough for some codes to die within so few steps.
            quantizer_options={"restart_threshold": 0.5},
        )
        priors = kv.HierarchicalPrior.from_vqvae(vqvae, filters=16, num_blocks=blocks + 1)
        for model in (vqvae, priors):
            model.compile(keras.optimizers.SGD(0.05, momentum=0.9))
            for variable in model.trainable_variables if way == "nudged-jax" else ():
                variable.assign(variable * (1 + NUDGE))
    rng = np.random.default_rng(0)
    grids = [rng.integers(0, codes, (size + 2, *shape)) for shape in vqvae.code_shapes]
    results = {}
    make_images = functools.partial(kv.ImageBatches, batch_size=BATCH_SIZE, **options)
    for name, model, data, validation in (
        ("vqvae", vqvae, make_images(images[:size]), make_images(images[size : 2 * size + 2])),
        ("prior", priors, ArrayCodes([level[:size] for level in grids]), ArrayCodes(grids)),
    ):
        logs = model.fit(
            data, epochs=steps // len(data), validation_data=validation, verbose=0
        ).history
        results.update({f"{name} metrics {key}": np.array(value) for key, value in logs.items()})
        for number, variable in enumerate(model.trainable_variables):
            results[f"{name} kernels {number}"] = keras.ops.convert_to_numpy(variable)
    for level, quantizer in zip(vqvae.level_names, vqvae.quantizers, strict=True):
        results[f"vqvae codebook {level}"] = keras.ops.convert_to_numpy(quantizer.codebook)
    np.savez(file, **results)


def free_ports(count):
    """Return ports of this machine that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def run(way, folder, limit=600, **sizes):
    """Run a way of training in processes of its own; return the results of each.

    Args:
        way: name in `WAYS`.
        folder: for the files of the results.
        limit: seconds after which the processes are killed: one that fails may leave the others
            waiting for it.
        **sizes: of `train`.

    Returns:
        List of dictionaries from names to arrays, one a process.
    """
    count = WAYS[way][1]
    files = [Path(folder) / f"{way}-{index}.npz" for index in range(count)]
    shared = {"way": way, "ports": free_ports(count), **sizes}
    processes = []
    for index, file in enumerate(files):
        arguments = json.dumps({**shared, "index": index, "file": str(file)})
        processes.append(subprocess.Popen([sys.executable, __file__, "--train", arguments]))
    try:
        codes = [process.wait(limit) for process in processes]
    finally:
        for process in processes:
            process.kill()
    if any(codes):
        raise RuntimeError(f"{way} failed: {codes}")
    return [dict(np.load(file)) for file in files]


def difference(one, others, kind):
    """Return the largest difference of a kind of results between one device and replicas."""
    keys = [key for key in one if key.startswith(kind)]
    return max(float(abs(one[key] - other[key]).max()) for key in keys for other in others)


def table(results):
    """Return the largest differences from one device as a Markdown table, a row a way."""
    kinds = {
        "codebooks": "vqvae codebook",
        "kernels": "vqvae kernels",
        "metrics": "vqvae metrics",
        "prior's kernels": "prior kernels",
        "prior's metrics": "prior metrics",
    }
    rows = [["replicas", *kinds]]
    for way, title in TITLES.items():
        if way in results:
            (one,) = results[f"one-{WAYS[way][0]}"]
            values = [difference(one, results[way], kind) for kind in kinds.values()]
            rows.append([title, *(f"{value:.0e}" for value in values)])
    return markdown(rows)


def main():
    """Run all ways, print the table, and write it where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="Markdown file with the markers of the table")
    parser.add_argument("--train", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(**json.loads(options.train))
        return
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for way in WAYS:
            try:
                results[way] = run(way, folder)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                print(f"{way} is left out: {error}", file=sys.stderr)
    text = table(results)
    print(text)
    if options.write is not None:
        write_block(options.write, text)


if __name__ == "__main__":
    main()
