import keras
import numpy as np
import pytest
from gradients import influence, visible

from keras_vqvae2.layers import GatedResidualBlock
from keras_vqvae2.sampling import compile_function

GRID = (4, 3)
FILTERS = 6
# Three products of at most 40 values near 1 in float32, through tanh and a sigmoid.
TOLERANCE = {"rtol": 1e-5, "atol": 2e-5}


def build(kernel_size=3, condition_shape=None, **kwargs):
    block = GatedResidualBlock(FILTERS, kernel_size, **kwargs)
    block.build((None, *GRID, FILTERS), condition_shape)
    rng = np.random.default_rng(1)
    for variable in block.variables:
        if variable.dtype == "float32":
            variable.assign(rng.normal(size=variable.shape))
    return block


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def dense(layer, x):
    bias = 0.0 if layer.bias is None else keras.ops.convert_to_numpy(layer.bias)
    return x @ keras.ops.convert_to_numpy(layer.kernel) + bias


@pytest.mark.parametrize("condition_shape", [None, (2, *GRID, 5), (2, 1, 1, 5)])
def test_call_equals_its_formula(condition_shape):
    block = build(condition_shape=condition_shape)
    x = draw(2, *GRID, FILTERS)
    gates = keras.ops.convert_to_numpy(block.masked_conv(dense(block.reduce, x)))
    arguments = (x,)
    if condition_shape is not None:
        arguments = (x, draw(*condition_shape))
        gates = gates + dense(block.project, arguments[1])
    values, gates = gates[..., : FILTERS // 2], gates[..., FILTERS // 2 :]
    expected = x + dense(block.expand, np.tanh(values) / (1 + np.exp(-gates)))
    np.testing.assert_allclose(block(*arguments), expected, **TOLERANCE)


@pytest.mark.parametrize(
    ("kernel_size", "condition_shape"),
    [(1, None), (3, None), (3, (2, *GRID, 5)), (5, (2, 1, 1, 5)), ((3, 5), (2, *GRID, 5))],
)
def test_step_equals_call(kernel_size, condition_shape):
    block = build(kernel_size, condition_shape)
    x = draw(2, *GRID, FILTERS)
    condition = None if condition_shape is None else draw(*condition_shape)

    def both(inputs):
        x, condition = inputs["x"], inputs["condition"]
        cache, outputs = block.init_cache(2, GRID[1]), []
        for row in range(GRID[0]):
            given = None
            if condition is not None:
                given = condition[:, 0 if condition.shape[1] == 1 else row]
                given = keras.ops.transpose(given, (1, 0, 2))
            cache, columns = block.start_row(cache, given), []
            for column in range(GRID[1]):
                output, cache = block.step(x[:, row, column], cache, column)
                outputs.append(output)
                columns.append(block.column(cache))
            cache = block.end_row(cache, keras.ops.stack(columns))
        called = block(x) if condition is None else block(x, condition)
        return called, keras.ops.reshape(keras.ops.stack(outputs, axis=1), (-1, *called.shape[1:]))

    called, stepped = compile_function(block, both)({"x": x, "condition": condition})
    np.testing.assert_allclose(stepped, called, **TOLERANCE)


@pytest.mark.parametrize("kernel_size", [1, 3, (3, 5)])
def test_gradients_reach_the_position_and_the_taps_before_it(kernel_size):
    block = build(kernel_size)
    seen = influence(block, (*GRID, FILTERS))
    expected = visible(GRID, block.masked_conv.kernel_size, "B")
    assert not (seen & np.triu(np.ones_like(seen), k=1)).any()
    np.testing.assert_array_equal(seen, expected)


def test_the_cache_grows_with_the_width_alone():
    assert build(5).init_cache(7, 9)["rows"].shape == (2, 9, 7, FILTERS // 2)


def test_dropout_acts_only_in_training():
    block = build(dropout=0.5, seed=1)
    x = draw(2, *GRID, FILTERS)
    np.testing.assert_array_equal(block(x), block(x, training=False))
    assert not np.array_equal(block(x, training=True), block(x))


def test_config_describes_the_block():
    block = GatedResidualBlock(6, kernel_size=(3, 5), dropout=0.25, seed=3)
    assert GatedResidualBlock.from_config(block.get_config()).get_config() == block.get_config()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"filters": 5}, "`filters` must be even. Received: filters=5"),
        ({"filters": -2}, "`filters` must be an integer of at least 1. Received: filters=-2"),
        ({"kernel_size": 2}, "`kernel_size` must be one or two odd integers"),
        ({"dropout": 1.0}, r"`dropout` must lie in \[0, 1\). Received: dropout=1.0"),
    ],
)
def test_wrong_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        GatedResidualBlock(**{"filters": 6, **kwargs})


def test_an_input_of_other_channels_is_refused():
    with pytest.raises(ValueError, match=r"must be `filters`. Received: input_shape=.*filters=6"):
        GatedResidualBlock(6)(draw(1, 2, 2, 4))
