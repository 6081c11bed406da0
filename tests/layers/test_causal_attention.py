import keras
import numpy as np
import pytest
from gradients import influence

from keras_vqvae2.layers import CausalAttention
from keras_vqvae2.sampling import compile_function

GRID = (3, 2)
FILTERS = 6


def build(**kwargs):
    layer = CausalAttention(**{"num_heads": 2, **kwargs})
    layer.build((None, *GRID, FILTERS))
    rng = np.random.default_rng(1)
    for variable in layer.variables:
        if variable.dtype == "float32":
            variable.assign(rng.normal(size=variable.shape))
    return layer


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def dense(layer, x):
    return x @ keras.ops.convert_to_numpy(layer.kernel) + keras.ops.convert_to_numpy(layer.bias)


def test_call_and_step_equal_attention_head_by_head():
    layer, x = build(), draw(2, *GRID, FILTERS)
    rows, columns = (
        keras.ops.convert_to_numpy(v) for v in (layer.row_embeddings, layer.column_embeddings)
    )
    placed = (x + rows[:, None] + columns).reshape(2, 6, FILTERS).astype("float64")
    query, key, value = (dense(layer, placed) for layer in (layer.query, layer.key, layer.value))
    attended = np.zeros_like(placed)
    for image, position in np.ndindex(2, 6):
        for head in (slice(0, 3), slice(3, 6)):
            scores = key[image, : position + 1, head] @ query[image, position, head] / np.sqrt(3)
            weights = np.exp(scores - scores.max())
            attended[image, position, head] = (
                weights / weights.sum() @ value[image, : position + 1, head]
            )
    expected = x + dense(layer.expand, attended).reshape(x.shape)

    def both(x):
        cache, outputs = layer.init_cache(2), []
        for row, column in np.ndindex(*GRID):
            output, cache = layer.step(x[:, row, column], cache, (row, column))
            outputs.append(output)
        return layer(x), keras.ops.reshape(keras.ops.stack(outputs, axis=1), (-1, *x.shape[1:]))

    called, stepped = compile_function(layer, both)(x)
    # Products of three dense layers of values near 1, in float32.
    np.testing.assert_allclose(called, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(stepped, expected, rtol=1e-4, atol=1e-4)


def test_gradients_reach_the_position_and_all_before_it():
    seen = influence(build(), (*GRID, FILTERS))
    np.testing.assert_array_equal(seen, np.tril(np.ones_like(seen)))


def test_dropout_acts_only_in_training():
    layer, x = build(dropout=0.5, seed=1), draw(2, *GRID, FILTERS)
    np.testing.assert_array_equal(layer(x), layer(x, training=False))
    assert not np.array_equal(layer(x, training=True), layer(x))


def test_half_precision_hides_what_comes_after():
    layer = CausalAttention(num_heads=2, dtype="mixed_float16")
    x = draw(1, *GRID, FILTERS)
    other = x.copy()
    other[:, 1:] += 1.0
    first, second = layer(x), layer(other)
    np.testing.assert_array_equal(first[:, 0], second[:, 0])


def test_config_describes_the_layer():
    layer = CausalAttention(num_heads=3, dropout=0.25, seed=3)
    assert CausalAttention.from_config(layer.get_config()).get_config() == layer.get_config()


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="`num_heads` must be .*Received: num_heads=0"):
        CausalAttention(num_heads=0)
    with pytest.raises(ValueError, match="`num_heads` must divide the channels.*num_heads=4"):
        CausalAttention(num_heads=4)(draw(1, *GRID, FILTERS))
