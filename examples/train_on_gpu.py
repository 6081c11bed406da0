"""Let a preset learn on for minutes of one GPU, in loops of JAX that do not wait for the host.

    export KERAS_BACKEND=jax
    python examples/train_on_gpu.py emoji32 decoder --steps 22500 --flip --shift 1
    python examples/train_on_gpu.py emoji32 prior --steps 19300 --flip --shift 2 --warp 0.12
    KERAS_BACKEND=tensorflow python examples/train_presets.py emoji32

The device draws the batches, augments and encodes them, and runs `train_step` a hundred times at
a stretch. Four images of five are moved, turned and coloured anew at first, fewer and fewer later.
Each part keeps the weights of its best validation, or with `--blend` goes a share of the way to the
last. The models go to the run of `train_presets.py`, which draws, scores and embeds them.
"""

import argparse
import functools
import json
from pathlib import Path

import jax
import keras
import numpy as np
from jax import numpy as jnp

import keras_vqvae2 as kv

CHUNK = 100  # steps of a loop on the device
LOOK = 5  # loops from one look at the validation images to the next, an epoch of the history

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("name", choices=("emoji32", "fashion_mnist"))
parser.add_argument("stage", choices=("decoder", "prior"))
parser.add_argument("--start", help="generator to go on from, by default the preset")
parser.add_argument("--fresh", nargs=2, type=int, metavar=("FILTERS", "BLOCKS"), help="a new prior")
parser.add_argument("--data-dir", type=Path, help="folder of Fashion-MNIST's files")
parser.add_argument("--runs", type=Path, default=Path("runs/presets"), help="folder of the runs")
parser.add_argument("--steps", type=int, default=20_000, help="a multiple of 100")
parser.add_argument("--batch-size", type=int, default=256)
parser.add_argument("--rate", type=float, default=1e-3, help="greatest learning rate")
parser.add_argument("--dropout", type=float, nargs=2, help="of the prior's levels")
parser.add_argument("--dtype", default="mixed_bfloat16", help="policy that a prior learns in")
parser.add_argument("--blend", type=float, nargs=2, help="share of each level of a prior")
parser.add_argument("--flip", action="store_true", help="mirror half of the images")
parser.add_argument("--shift", type=int, default=0, help="pixels that images are moved by")
parser.add_argument("--warp", type=float, default=0.0, help="share that they are turned and scaled")
parser.add_argument("--hue", type=float, default=0.0, help="radians that colours are turned by")
parser.add_argument("--noise", type=float, default=6.0, help="grey levels, where a prior learns")
parser.add_argument("--seed", type=int, default=0)
arguments = parser.parse_args()
if arguments.steps < CHUNK or arguments.steps % CHUNK:
    parser.error(f"--steps must be a multiple of {CHUNK}. Received: {arguments.steps}")
if arguments.blend and arguments.stage == "decoder":
    parser.error("--blend is of the levels of a prior. Received: decoder")


def augment(key, image, strength):
    """Mirror, move, turn, scale and colour an image, float `[H, W, C]`, and add noise to it."""
    keys = jax.random.split(key, 5)
    height, width, channels = image.shape
    limits = np.array([arguments.shift, arguments.shift, arguments.warp, arguments.warp])
    chosen = jax.random.uniform(keys[0]) < strength
    down, right, turn, scale = chosen * limits * jax.random.uniform(keys[1], (4,), minval=-1)
    y, x = jnp.mgrid[:height, :width]
    y, x = y - (height - 1) / 2, x - (width - 1) / 2
    if arguments.flip:
        x = jnp.where(jax.random.bernoulli(keys[2]), -x, x)
    cosine, sine = (1 + scale) * jnp.cos(turn), (1 + scale) * jnp.sin(turn)
    at = cosine * y - sine * x + jnp.round(down), sine * y + cosine * x + jnp.round(right)
    at = [at[0] + (height - 1) / 2, at[1] + (width - 1) / 2]
    sample = functools.partial(jax.scipy.ndimage.map_coordinates, order=1, mode="nearest")
    image = jax.vmap(lambda plane: sample(plane, at), -1, -1)(image)
    if channels == 3 and arguments.hue:
        angle = chosen * arguments.hue * jax.random.uniform(keys[3], minval=-1)
        axis = np.full(3, 3**-0.5)  # that of greys, which stay
        turned = jnp.cos(angle) * np.eye(3) + jnp.sin(angle) * np.cross(np.eye(3), axis)
        image = image @ (turned + (1 - jnp.cos(angle)) * np.outer(axis, axis))
    if arguments.stage == "prior":
        image += arguments.noise * jax.random.normal(keys[4], image.shape)
    return jnp.clip(jnp.round(image), 0, 255)


def draw(key, images, labels, strength):
    """Return a batch of augmented images, and their labels."""
    pick, change = jax.random.split(key)
    index = jax.random.randint(pick, (arguments.batch_size,), 0, len(images))
    keys = jax.random.split(change, arguments.batch_size)
    return jax.vmap(augment, (0, 0, None))(keys, images[index], strength), labels[index]


def learn(model, data_of, scores_of, parts):
    """Train a model; each part of its weights ends with those of its least score, or blended.

    Args:
        model: with a `train_step`.
        data_of: function of a batch `(images, labels)` that returns what the model learns.
        scores_of: function that returns the score of each part on validation images.
        parts: lists of trainable variables.

    Returns:
        The scores of all looks, a list of lists.
    """
    model.compile(keras.optimizers.Adam(arguments.rate))
    model.optimizer.build(model.trainable_variables)
    lists = [model.trainable_variables, model.non_trainable_variables]
    lists += [model.optimizer.variables, model.metrics_variables]
    state = [[jnp.array(variable.value) for variable in one] for one in lists]
    rate_at = [variable is model.optimizer.learning_rate for variable in lists[2]].index(True)
    place = {id(variable): place for place, variable in enumerate(lists[0])}
    data = jnp.asarray(train.images[:], "float32"), jnp.asarray(train.labels, "int32")

    @functools.partial(jax.jit, donate_argnums=0)
    def loop(state, data, key, strength):
        def step(state, key):
            _, new = model.train_step(state, data_of(*draw(key, *data, strength)))
            return jax.tree.map(lambda old, one: one.astype(old.dtype), state, list(new)), None

        return jax.lax.scan(step, state, jax.random.split(key, CHUNK))[0]

    @jax.jit
    def scores(trainable, non_trainable):
        values = zip(lists[0] + lists[1], trainable + non_trainable, strict=True)
        with keras.StatelessScope(state_mapping=values):
            return scores_of()

    looks, kept, chunks = [], [None] * len(parts), arguments.steps // CHUNK
    for chunk in range(chunks):
        share = chunk / chunks
        rate = arguments.rate * min(1, (chunk + 1) / 10) * (1 + np.cos(np.pi * share)) / 2
        state[2][rate_at] = jnp.asarray(rate, "float32")
        state[3] = jax.tree.map(jnp.zeros_like, state[3])
        key = jax.random.fold_in(jax.random.key(arguments.seed), chunk)
        state = loop(state, data, key, min(0.8, 2 * (1 - share)))
        if (chunk + 1) % LOOK and chunk < chunks - 1:
            continue
        looks.append([float(score) for score in scores(*state[:2])])
        print((chunk + 1) * CHUNK, [f"{score:.4f}" for score in looks[-1]], flush=True)
        for part, variables in enumerate(parts):
            if looks[-1][part] <= min(look[part] for look in looks):
                kept[part] = [jnp.array(state[0][place[id(variable)]]) for variable in variables]
    if arguments.blend:  # with what the variables hold until now, the first weights
        ways = zip(arguments.blend, parts, strict=True)
        kept = [[v + share * (state[0][place[id(v)]] - v) for v in part] for share, part in ways]
    for variables, values in zip(lists[:2] + parts, state[:2] + kept, strict=True):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    if arguments.blend:
        looks.append([float(score) for score in scores_of()])
    return looks


keras.utils.set_random_seed(arguments.seed)
load = functools.partial(kv.datasets.load, arguments.name, data_dir=arguments.data_dir)
train, validation = load("train"), load("validation[:2000]")
shown = jnp.asarray(validation.images[:], "float32")
run = arguments.runs / arguments.name
vqvae_file, prior_file = run / "vqvae2" / "vqvae2_final.keras", run / "prior" / "prior_final.keras"
for file in (vqvae_file, prior_file):
    file.parent.mkdir(parents=True, exist_ok=True)
start = kv.ImageGenerator.from_preset(arguments.start or arguments.name)
vqvae = start.vqvae

if arguments.stage == "decoder":
    vqvae.fix_codes(replaced=0.1)

    def error():
        """Return the mean squared error of the validation images."""
        signal = vqvae.training_graph(shown, training=False)["signal"]
        return [((signal - (shown / 127.5 - 1)) ** 2).mean()]

    learn(vqvae, lambda images, _: (images,), error, [vqvae.trainable_variables])
    vqvae.fix_codes(False)
else:
    changed = {"label_dropout": 0.1, "dtype": arguments.dtype}
    if arguments.fresh:
        filters, blocks = arguments.fresh
        changed |= {"filters": filters, "num_blocks": blocks, "embedding_dim": filters // 2}
    dropouts = arguments.dropout or [old.dropout for old in start.prior.level_priors]
    levels = []
    for old, dropout in zip(start.prior.level_priors, dropouts, strict=True):
        levels.append(kv.PixelCNN.from_config({**old.get_config(), **changed, "dropout": dropout}))
    prior = kv.HierarchicalPrior(levels, train.label_names)
    if not arguments.fresh:
        prior.set_weights(start.prior.get_weights())
    inputs = prior.inputs_of(vqvae.encode_tensors(shown), jnp.asarray(validation.labels, "int32"))
    sizes = [height * width for height, width in prior.code_shapes]

    def bits():
        """Return the bits a code of each level, on the validation images."""
        pairs = zip(prior.log_prob_tensors(inputs), sizes, strict=True)
        return [-nats.mean() / np.log(2) / size for nats, size in pairs]

    parts = [level.trainable_variables for level in levels]
    looks = learn(prior, lambda images, labels: (vqvae.encode_tensors(images), labels), bits, parts)
    names = ["val_bits_per_code", *(f"val_{name}_bits_per_code" for name in prior.level_names)]
    history = [dict(zip(names, (np.average(x, weights=sizes), *x), strict=True)) for x in looks]
    history[-1]["kept"] = bool(arguments.blend)
    (prior_file.parent / "history.json").write_text(json.dumps(history, indent=1))
    # In float32 cached and plain samples are equal.
    exact = [kv.PixelCNN.from_config({**one.get_config(), "dtype": "float32"}) for one in levels]
    exact = kv.HierarchicalPrior(exact, train.label_names)
    exact.set_weights(prior.get_weights())
    exact.compile()
    exact.save(prior_file)
if arguments.stage == "decoder" or not vqvae_file.exists():
    vqvae.compile()
    vqvae.save(vqvae_file)
