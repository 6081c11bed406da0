"""What `training.py` measures, each in a process of its own.

The same architecture in plain PyTorch (`plain_torch.py`) begins with the same weights: its first
loss must be the same. Times are milliseconds of processor time on one core.
"""

import contextlib
import ctypes
import gc
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from tables import milliseconds

DIM = 64
# As many vectors as 128 grids of 8x8.
VECTORS = 8192


def images(batch, side=32):
    """Return noise as uint8 images, of which a convolution costs what of others."""
    return np.random.default_rng(1).integers(0, 256, (batch, side, side, 3), "uint8")


def codes(batch):
    """Return random codes of a bottom grid, and of the top grid above it."""
    rng = np.random.default_rng(1)
    return [rng.integers(0, 512, (batch, side, side)).astype("int32") for side in (8, 4)]


def our_vqvae():
    """Return a `VQVAE2` as plain PyTorch has it: no k-means before, no bent signal after."""
    import keras_vqvae2 as kv

    plain = {"kmeans_iterations": 0, "restart_threshold": 0.0}
    model = kv.VQVAE2((32, 32, 3), filters=128, clipping="hard", quantizer_options=plain)
    for quantizer, sums in zip(model.quantizers, first_sums(), strict=True):
        quantizer.sums.assign(sums)
    return model


def plain_vqvae():
    """The same in plain PyTorch."""
    import plain_torch
    import torch

    model = plain_torch.VQVAE2(128)
    for quantizer, sums in zip(model.quantizers, first_sums(), strict=True):
        quantizer.sums.copy_(torch.from_numpy(sums))
    return model


def first_sums():
    """The first codebooks, top and bottom."""
    rng = np.random.default_rng(2)
    return [rng.normal(scale=0.3, size=(512, DIM)).astype("float32") for _ in range(2)]


def our_prior():
    """Return the prior of the bottom grid, as specified."""
    import keras_vqvae2 as kv

    return kv.PixelCNN((8, 8), context_shape=(4, 4), filters=256, num_blocks=16)


def plain_prior():
    """The same in plain PyTorch."""
    import plain_torch

    return plain_torch.PixelCNN(256, 16)


def training_data(stage, batch):
    """Return what a model of the package learns in a step."""
    if stage == "vqvae":
        return images(batch)
    return dict(zip(("codes", "context"), codes(batch), strict=True))


def signal(batch):
    """Return the images as plain PyTorch takes them."""
    import torch

    return torch.from_numpy(images(batch)).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1


STAGES = {"vqvae": (our_vqvae, plain_vqvae), "prior": (our_prior, plain_prior)}


def first_weights(model):
    """Initial weights of a Keras model, the same on each backend, by name and in order."""
    rng = np.random.default_rng(0)
    found = {}
    for variable in model.trainable_variables:
        scale = 0.0 if len(variable.shape) == 1 else np.prod(variable.shape[:-1]) ** -0.5
        found[variable.path] = rng.normal(scale=scale, size=variable.shape).astype("float32")
    return found


def step(engine, folder, stage, batch, runs):
    """Measure training steps, and on TensorFlow those within `fit` and the first loss's weights.

    Args:
        engine: name of a backend; "eager" or "compiled" for plain PyTorch.
        folder: where TensorFlow leaves the first weights, for plain PyTorch.
        stage: "vqvae" or "prior".
        batch: examples of a step.
        runs: how many steps.
    """
    ours, plain = STAGES[stage]
    weights = folder / f"{stage}.npz"
    losses = []
    if engine in ("eager", "compiled"):
        import plain_torch

        model = plain()
        with np.load(weights) as file:
            plain_torch.take_weights(model, dict(file))
        train = plain_step(model, stage, batch, engine == "compiled")
        times = milliseconds(lambda: losses.append(train()), runs)
        return {"times": times[1:], "loss": losses[0]}
    model = ours()
    first = first_weights(model)
    for variable, array in zip(model.trainable_variables, first.values(), strict=True):
        variable.assign(array)
    model.compile("adam")
    data = training_data(stage, batch)
    times = milliseconds(lambda: losses.append(loss_of_a_step(model, data)), runs)
    found = {"times": times[1:], "loss": losses[0]}
    if engine == "tensorflow":
        np.savez(weights, **first)
        found["in fit"] = _times_in_fit(model, data, batch, runs)
    return found


def loss_of_a_step(model, data):
    """Let a model of the package learn a batch; return its loss."""
    model.reset_metrics()
    return float(model.train_on_batch(data, return_dict=True)["loss"])


def plain_step(model, stage, batch, compiled, device="cpu", cast=contextlib.nullcontext):
    """Return a function that lets plain PyTorch learn a batch and returns its loss.

    Args:
        model: of `plain_torch.py`, on the device.
        stage: "vqvae" or "prior".
        batch: examples of a step.
        compiled: whether `torch.compile` compiles the model.
        device: of the batch.
        cast: callable of the context in which the loss is computed.
    """
    import torch

    inputs = [signal(batch)]
    if stage == "prior":
        inputs = [torch.from_numpy(grid).long() for grid in codes(batch)]
    inputs = [tensor.to(device) for tensor in inputs]
    optimizer = torch.optim.Adam(model.parameters(), eps=1e-7)
    run = torch.compile(model, dynamic=False) if compiled else model

    def train():
        optimizer.zero_grad()
        with cast():
            loss = run(*inputs)
        loss.backward()
        optimizer.step()
        return loss.item()

    return train


def _times_in_fit(model, data, batch, runs):
    """Milliseconds between the ends of the later steps of an epoch."""
    import keras

    data = keras.tree.map_structure(lambda x: np.concatenate([x] * (runs + 3)), data)
    ends = []
    clock = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: ends.append(time.process_time())
    )
    model.fit(data, batch_size=batch, shuffle=False, verbose=0, callbacks=[clock])
    return [1000 * difference for difference in np.diff(ends[2:])]


def use(engine, folder, batch, runs):
    """Measure encoding images and decoding codes."""
    grids = codes(batch)[::-1]  # coarse to fine
    if engine == "eager":
        import torch

        model, inputs, grids = plain_vqvae(), signal(batch), [torch.from_numpy(g) for g in grids]
        with torch.no_grad():
            encode = milliseconds(lambda: model.encode(inputs), runs)
            decode = milliseconds(lambda: model.decode(grids), runs)
    else:
        model, inputs = our_vqvae(), images(batch)
        encode = milliseconds(lambda: model.encode(inputs), runs)
        decode = milliseconds(lambda: model.decode(grids), runs)
    return {"encode": encode[1:], "decode": decode[1:]}


def quantizer(engine, folder, size, runs):
    """Measure the codes of vectors and the codebook's move, with restarts, without a gradient."""
    call = published_quantizer(size) if engine == "eager" else our_quantizer(size)
    times = milliseconds(call, runs)
    return {"times": times[1:], "mib": extra_mib(call)}


def our_quantizer(size):
    """Return a function that gives vectors to the package's quantizer."""
    import keras

    import keras_vqvae2 as kv

    layer = kv.VectorQuantizer(size, DIM)
    grid = keras.ops.convert_to_tensor(_vectors().reshape(-1, 8, 8, DIM))
    layer.build(grid.shape)
    if keras.backend.backend() == "jax":
        import jax

        run = jax.jit(lambda state, x: layer.stateless_call([], state, x, training=True))
        state = [variable.value for variable in layer.non_trainable_variables]

        def call():
            nonlocal state
            outputs, state = run(state, grid)
            outputs["quantized"].block_until_ready()

        return call
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        run = tf.function(lambda x: layer(x, training=True))
        return lambda: run(grid)["quantized"].numpy()
    return lambda: layer(grid, training=True)


def published_quantizer(size, device="cpu"):
    """Return the same of `vector-quantize-pytorch`."""
    import torch
    from vector_quantize_pytorch import VectorQuantize

    layer = VectorQuantize(DIM, size, decay=0.99, commitment_weight=0.25, threshold_ema_dead_code=1)
    layer = layer.train().to(device)
    grid = torch.from_numpy(_vectors().reshape(-1, 64, DIM)).to(device)

    def call():
        with torch.no_grad():
            layer(grid)
        if device != "cpu":
            torch.cuda.synchronize()

    return call


def _vectors():
    return np.random.default_rng(0).normal(size=(VECTORS, DIM)).astype("float32")


def grow(engine, folder, **sizes):
    """Measure a step of a VQ-VAE-2 of other sizes, and its memory."""
    import keras_vqvae2 as kv

    sizes = {"batch": 32, "side": 32, "codes": 512, "levels": 2, **sizes}
    model = kv.VQVAE2(
        (sizes["side"], sizes["side"], 3),
        filters=64,
        num_levels=sizes["levels"],
        num_embeddings=sizes["codes"],
    )
    model.compile("adam")
    data = images(sizes["batch"], sizes["side"])
    times = milliseconds(lambda: model.train_on_batch(data), 4)
    return {"times": times[1:], "mib": extra_mib(lambda: model.train_on_batch(data))}


def peak(engine, folder, batch, stage):
    """Measure the most memory that a stage takes at the specified size, and `info`'s estimate."""
    import keras_vqvae2 as kv

    vqvae = kv.VQVAE2((32, 32, 3))
    priors = kv.HierarchicalPrior.from_vqvae(vqvae)
    generator = kv.ImageGenerator(vqvae, priors)
    data = {1: images(batch), 2: tuple(codes(batch)[::-1]), 3: batch}[stage]
    model = {1: vqvae, 2: priors, 3: generator}[stage]
    work = generator.generate
    if stage < 3:
        model.compile("adam")
        work = model.train_on_batch
    before = memory_status("VmRSS")
    for _ in range(2):
        work(data)
    most = memory_status("VmHWM")
    estimate = kv.evaluation.training_bytes(model, batch) / 2**20 if stage < 3 else None
    return {"estimate": estimate, "peak": most - before, "process": most}


def again(engine, folder, **options):
    """Measure a step of a long prior of a large grid, and its memory."""
    train = long_step(16, **options)
    return {"times": milliseconds(train, 3)[1:], "mib": extra_mib(train)}


def long_step(batch, rematerialize, dropout, attention):
    """Return a function that lets a long prior of a large grid learn a batch."""
    import keras_vqvae2 as kv

    model = kv.PixelCNN(
        (32, 32),
        filters=128,
        dropout=dropout,
        num_attention_blocks=attention,
        rematerialize=rematerialize,
    )
    model.compile("adam")
    data = np.random.default_rng(1).integers(0, 512, (batch, 32, 32))
    return lambda: model.train_on_batch(data)


def start(engine, folder, preset="emoji32", label=None):
    """Measure a fresh process until it has its first images: seconds, and of processor time."""
    begin, found = (time.time(), time.process_time()), {}

    def note(what):
        nonlocal begin
        now = (time.time(), time.process_time())
        found[what] = [now[0] - begin[0], now[1] - begin[1]]
        begin = now

    from keras_vqvae2 import ImageGenerator

    note("import")
    model = ImageGenerator.from_preset(preset)
    note("load the preset `emoji32`")
    model.generate(64, labels=label, seed=0)
    note("its first 64 images")
    model.generate(1, labels=label, seed=0)
    note("a first single image")
    model.generate(64, labels=label, seed=1)
    note("64 images more")
    return found


def memory_status(name):
    """Return what the system says of this process's memory, in MiB."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(name))
    return int(line.split()[1]) / 1024


def extra_mib(function):
    """Return how much more memory a process has at the peak of a call than before it."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what is free goes back to the system
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory_status("VmRSS")
    function()
    return memory_status("VmHWM") - before


TASKS = {task.__name__: task for task in (step, use, quantizer, grow, peak, again, start)}

if __name__ == "__main__":
    name, engine, folder, arguments = sys.argv[1:]
    if name in ("step", "use", "quantizer", "again"):
        # One core, before a backend counts them.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(json.dumps(TASKS[name](engine, Path(folder), **json.loads(arguments))))
