"""What `gpu.py` measures, each in a process of its own: JAX, or plain PyTorch.

A task is a generator. It compiles and warms up, yields, measures when it goes on, and yields what
it found: seconds by the clock, of calls that end when the device has.
"""

import json
import sys
from pathlib import Path

import numpy as np
import training_tasks as tasks
from tables import seconds

RUNS = 20
PRODUCT = 8192  # rows and columns of the matrices whose product tells the device's peak


def set_precision(engine, precision):
    """Choose how products of float32 are computed; return the policy of Keras's layers."""
    if engine == "jax":
        import jax

        name = "highest" if precision == "float32" else "tensorfloat32"
        jax.config.update("jax_default_matmul_precision", name)
    else:
        import torch

        torch.backends.cuda.matmul.allow_tf32 = precision != "float32"
        torch.backends.cudnn.allow_tf32 = precision != "float32"
    return "mixed_bfloat16" if precision == "bfloat16" else "float32"


def peak(engine, precision):
    """Find the operations a second of a large product of matrices."""
    import jax

    dtype = "bfloat16" if precision == "bfloat16" else "float32"
    x = jax.random.normal(jax.random.key(0), (PRODUCT, PRODUCT), dtype)
    product = jax.jit(jax.numpy.matmul)
    product(x, x).block_until_ready()
    yield
    yield 2 * PRODUCT**3 / min(seconds(lambda: product(x, x).block_until_ready(), RUNS))


def step(engine, precision, stage, batches, folder):
    """Find what training steps take, their first losses, and the time a step in `fit`."""
    if engine == "jax":
        yield from _our_steps(stage, batches, Path(folder), precision)
    else:
        yield from _plain_steps(engine, precision, stage, batches, Path(folder))


def _our_steps(stage, batches, folder, precision):
    import keras_vqvae2 as kv

    model = tasks.STAGES[stage][0]()
    weights = tasks.first_weights(model)
    if precision == "float32":
        np.savez(folder / f"{stage}.npz", **weights)
    for variable, array in zip(model.trainable_variables, weights.values(), strict=True):
        variable.assign(array)
    first = model.get_weights()
    model.compile("adam")

    def fit(batch):
        data = tasks.training_data(stage, RUNS * batch)
        return lambda: model.fit(data, batch_size=batch, shuffle=False, verbose=0)

    runs = []
    for batch in batches:
        data = tasks.training_data(stage, batch)
        run = {"data": data, "fit": fit(batch), "flops": kv.evaluation.training_flops(model, batch)}
        model.train_on_batch(data)
        run["fit"]()
        runs.append(run)
    yield
    for run in runs:
        model.set_weights(first)
        data = run.pop("data")
        run["loss"] = tasks.loss_of_a_step(model, data)
        run["step"] = seconds(lambda data=data: model.train_on_batch(data), RUNS)
        run["fit"] = [time / RUNS for time in seconds(run["fit"], 3)]
    yield runs


def _plain_steps(engine, precision, stage, batches, folder):
    import plain_torch
    import torch

    def cast():
        return torch.autocast("cuda", torch.bfloat16, enabled=precision == "bfloat16")

    model = tasks.STAGES[stage][1]().cuda()
    first = {name: value.clone() for name, value in model.state_dict().items()}
    compiled = engine == "compiled"
    steps = [tasks.plain_step(model, stage, batch, compiled, "cuda", cast) for batch in batches]
    for train in steps:
        seconds(train, 3)
    yield
    with np.load(folder / f"{stage}.npz") as file:
        weights = dict(file)
    runs = []
    for train in steps:
        model.load_state_dict(first)
        plain_torch.take_weights(model, weights)
        runs.append({"loss": train(), "step": seconds(train, RUNS)})
    yield runs


def quantizer(engine, precision, size):
    """Find what the codes of vectors and the codebook's move take."""
    ours = engine == "jax"
    call = tasks.our_quantizer(size) if ours else tasks.published_quantizer(size, "cuda")
    seconds(call, 3)
    yield
    yield seconds(call, RUNS)


def use(engine, precision):
    """Find what a generator of the specified size takes."""
    import keras_vqvae2 as kv

    vqvae = kv.VQVAE2((32, 32, 3))
    model = kv.ImageGenerator(vqvae, kv.HierarchicalPrior.from_vqvae(vqvae))
    pixels = tasks.images(1024)
    codes = vqvae.encode(pixels, batch_size=1024)
    calls = {
        "encode 1,024": lambda: vqvae.encode(pixels, batch_size=1024),
        "decode 1,024": lambda: vqvae.decode(codes, batch_size=1024),
        "generate 64": lambda: model.generate(64, seed=0),
        "generate 1,024": lambda: model.generate(1024, seed=0, batch_size=1024),
    }
    for call in calls.values():
        call()
    yield
    yield {name: seconds(call, 5) for name, call in calls.items()}


def again(engine, precision, batch, **options):
    """Find what a step of a long prior takes, and the most bytes that it held."""
    import jax

    train = tasks.long_step(batch, **options)
    seconds(train, 2)
    yield
    times = seconds(train, RUNS)
    statistics = jax.local_devices()[0].memory_stats() or {}
    yield {"times": times, "bytes": statistics.get("peak_bytes_in_use")}


TASKS = {task.__name__: task for task in (peak, step, quantizer, use, again)}

if __name__ == "__main__":
    name, engine, precision, arguments = sys.argv[1:]
    policy = set_precision(engine, precision)
    if engine == "jax":
        import keras

        keras.config.set_dtype_policy(policy)
    running = TASKS[name](engine, precision, **json.loads(arguments))
    next(running)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(next(running)))
