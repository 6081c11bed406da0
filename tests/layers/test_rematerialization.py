import keras
import numpy as np
import pytest
from gradients import compiled, gradient

from keras_vqvae2.layers import CausalAttention, GatedResidualBlock, TwoStreamGatedBlock

GRID = (3, 2)
FILTERS = 8
LAYERS = {
    "one stream": (GatedResidualBlock, {"filters": FILTERS}, 1, False),
    "one stream, conditioned": (GatedResidualBlock, {"filters": FILTERS}, 1, True),
    "two streams": (TwoStreamGatedBlock, {"filters": FILTERS}, 2, False),
    "two streams, conditioned": (TwoStreamGatedBlock, {"filters": FILTERS}, 2, True),
    "attention": (CausalAttention, {"num_heads": 2}, 1, False),
}


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.fixture(params=list(LAYERS))
def both(request):
    """Two layers with the same weights, of which the second computes again, and their inputs."""
    layer_class, options, streams, conditioned = LAYERS[request.param]
    shape = (2, *GRID, FILTERS)
    layers = [
        layer_class(**options, dropout=0.5, seed=1, rematerialize=again) for again in (False, True)
    ]
    inputs = [draw(*shape, seed=index) for index in range(streams + conditioned)]
    for layer in layers:
        layer.build(*(array.shape for array in inputs))
        for index, variable in enumerate(layer.trainable_variables):
            variable.assign(draw(*variable.shape, seed=index))
    return layers, inputs


def flat(outputs):
    parts = [keras.ops.reshape(x, (-1,)) for x in keras.tree.flatten(outputs)]
    return keras.ops.concatenate(parts)


def test_outputs_and_gradients_are_those_of_what_is_kept(both):
    (kept, again), inputs = both

    def objective(layer):
        def function(first):
            outputs = layer(first, *inputs[1:], training=True)
            return keras.ops.sum(flat(outputs) ** 2)

        return function

    # Each call draws another mask, the same of both layers.
    for layers in ((kept, again), (again, kept)):
        outputs = [np.asarray(flat(compiled(layer, training=True)(*inputs))) for layer in layers]
        np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-5, atol=1e-5)
    gradients = [gradient(objective(layer), inputs[0]) for layer in (kept, again)]
    assert np.abs(gradients[0]).max() > 0.1
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-4, atol=1e-4)


def test_the_gradient_computes_again_what_training_alone_gives_up(both, monkeypatch):
    (kept, again), inputs = both
    if keras.backend.backend() == "jax":
        import jax

        def count(layer, training):
            def function(first):
                return keras.ops.sum(flat(layer(first, *inputs[1:], training=training)))

            return str(jax.make_jaxpr(jax.grad(function))(inputs[0])).count("remat2[") + 1

    else:

        def count(layer, training):
            calls = []
            name = "key" if isinstance(layer, CausalAttention) else "reduce"
            inner = getattr(layer, name)
            call = inner.call
            monkeypatch.setattr(inner, "call", lambda *x, **given: calls.append(1) or call(*x))
            gradient(
                lambda first: keras.ops.sum(flat(layer(first, *inputs[1:], training=training))),
                inputs[0],
            )
            return len(calls)

    assert count(again, training=True) == 2
    assert count(again, training=False) == 1
    assert count(kept, training=True) == 1


def test_an_older_keras_is_named(monkeypatch):
    monkeypatch.delattr(keras, "remat")
    with pytest.raises(ValueError, match="`rematerialize` must be False before Keras 3.9"):
        GatedResidualBlock(FILTERS, rematerialize=True)
    assert not GatedResidualBlock(FILTERS).rematerialize
