"""Options of optimizers and of `compile`, and mixed precision, each with both stages.

On JAX those alone that our own step has to do with.
"""

import functools
import itertools

import keras
import numpy as np
import pytest

from keras_vqvae2.models import VQVAE2, HierarchicalPrior

RNG = np.random.default_rng(0)
# Smooth enough that a VQ-VAE-2 has something to learn.
IMAGES = np.kron(RNG.integers(0, 256, (8, 2, 2, 1)), np.ones((1, 4, 4, 1))).astype("uint8")
CODES = RNG.integers(0, 4, (8, 2, 2))


def vqvae(**options):
    sizes = {"num_levels": 1, "embedding_dim": 2, "num_embeddings": 4}
    return VQVAE2((8, 8, 1), 4, 0, **sizes, **options)


def prior(**options):
    return HierarchicalPrior.from_code_shapes(((2, 2),), 4, filters=4, num_blocks=1, **options)


STAGES = pytest.mark.parametrize(("build", "data"), [(vqvae, IMAGES), (prior, (CODES,))])


def state(model):
    variables = model.trainable_variables + model.non_trainable_variables
    return [keras.ops.convert_to_numpy(v).astype("float64") for v in variables]


def kernels(model):
    return state(model)[: len(model.trainable_variables)]


class Record(keras.callbacks.Callback):
    """Keeps the kernels before training and after each step."""

    def on_train_begin(self, logs=None):
        self.kernels = [kernels(self.model)]

    def on_train_batch_end(self, batch, logs=None):
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        self.kernels.append(kernels(self.model))


def train(build, data, optimizer=None, epochs=2, **options):
    """Two steps of four examples an epoch; returns the model and the kernels after each step."""
    keras.utils.set_random_seed(1)
    model, record = build(), Record()
    model.compile(optimizer or keras.optimizers.SGD(0.1), **options)
    fit = {"batch_size": 4, "shuffle": False, "verbose": 0}
    model.fit(data, epochs=epochs, callbacks=[record], **fit)
    return model, record.kernels


def dtype(tensor):
    return keras.backend.standardize_dtype(tensor.dtype)


def moved(before, after):
    return np.sqrt(sum(np.square(a - b).sum() for a, b in zip(before, after, strict=True)))


@STAGES
@pytest.mark.tensorflow_only
def test_other_ways_of_running_a_step_give_the_same(build, data):
    if build is vqvae:
        # XLA draws other random numbers: here nothing is drawn.
        drawing = {"kmeans_iterations": 0, "restart_threshold": 0.0}
        build = functools.partial(build, quantizer_options=drawing)
    plain, _ = train(build, data)
    for options in ({"steps_per_execution": 2}, {"jit_compile": True}):
        model, _ = train(build, data, **options)
        for one, other in zip(state(model), state(plain), strict=True):
            # Four steps in float32, summed in another order by XLA.
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.tensorflow_only
def test_xla_starts_a_codebook():
    model, steps = train(vqvae, IMAGES, jit_compile=True)
    assert moved(steps[0], steps[-1]) > 0
    (quantizer,) = model.quantizers
    assert float(quantizer.maturity) == pytest.approx(4 / (4 + 49))
    assert len(np.unique(quantizer.encode(quantizer.codebook))) == 4


@STAGES
def test_gradients_accumulate(build, data):
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    _, steps = train(build, data, optimizer)
    assert [moved(*pair) > 0 for pair in itertools.pairwise(steps)] == [False, True] * 2


@STAGES
def test_training_ends_with_the_average_of_the_weights(build, data):
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.75)
    model, steps = train(build, data, optimizer)
    average = steps[1]
    for step in steps[2:]:
        average = [0.75 * a + 0.25 * s for a, s in zip(average, step, strict=True)]
    for one, other in zip(kernels(model), average, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@STAGES
@pytest.mark.tensorflow_only
def test_the_learning_rate_follows_its_schedule(build, data):
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.1, 0.0])
    _, steps = train(build, data, keras.optimizers.SGD(schedule))
    assert [moved(*pair) > 0 for pair in itertools.pairwise(steps)] == [
        *(True, True),
        *(False, False),
    ]


@STAGES
@pytest.mark.tensorflow_only
def test_gradients_are_clipped(build, data):
    _, steps = train(build, data, keras.optimizers.SGD(1.0, global_clipnorm=1e-2))
    for pair in itertools.pairwise(steps):
        # Weights near 1 in float32: each is rounded by up to 6e-8.
        assert moved(*pair) == pytest.approx(1e-2, rel=1e-3)


@STAGES
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_learns_with_float32_where_it_counts(build, data, policy):
    model, steps = train(lambda: build(dtype=policy), data, keras.optimizers.Adam(1e-3))
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    assert moved(steps[0], steps[-1]) > 0
    assert all(np.isfinite(values).all() for values in state(model))
    if build is vqvae:
        (quantizer,) = model.quantizers
        out = quantizer(np.ones((1, 2, 2, 2), "float16"))
        assert dtype(quantizer.codebook) == dtype(out["commitment_loss"]) == "float32"
    else:
        logits = model({"codes_0": CODES})["codes_0"]
        assert dtype(logits) == "float32"
        assert model.log_prob((CODES,))[0].dtype == "float32"
