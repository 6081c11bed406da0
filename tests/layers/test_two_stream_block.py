import keras
import numpy as np
import pytest
from gradients import influence

from keras_vqvae2.layers import TwoStreamGatedBlock
from keras_vqvae2.sampling import compile_function

GRID = (4, 3)
FILTERS = 6
TOLERANCE = {"rtol": 1e-5, "atol": 2e-5}


def build(condition_shape=None, **kwargs):
    block = TwoStreamGatedBlock(FILTERS, **kwargs)
    block.build((None, *GRID, FILTERS), (None, *GRID, FILTERS), condition_shape)
    rng = np.random.default_rng(1)
    for variable in block.variables:
        if variable.dtype == "float32":
            variable.assign(rng.normal(size=variable.shape))
    return block


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize(
    ("condition_shape", "ends"), [(None, False), ((2, *GRID, 5), False), ((2, 1, 1, 5), True)]
)
def test_step_equals_call(condition_shape, ends):
    block = build(condition_shape, ends_vertical=ends)
    inputs = {
        "h": draw(0, 2, *GRID, FILTERS),
        "v": draw(1, 2, *GRID, FILTERS),
        "c": None if condition_shape is None else draw(2, *condition_shape),
    }

    def both(inputs):
        horizontal, vertical, condition = inputs["h"], inputs["v"], inputs["c"]
        cache, outputs, rows = block.init_cache(2, GRID[1]), [], []
        for row in range(GRID[0]):
            given = None
            if condition is not None:
                given = condition[:, 0 if condition.shape[1] == 1 else row]
                given = keras.ops.transpose(given, (1, 0, 2))
            above = keras.ops.transpose(vertical[:, row], (1, 0, 2))
            above, cache = block.start_row(above, cache, given)
            if above is not None:
                rows.append(keras.ops.transpose(above, (1, 0, 2)))
            for column in range(GRID[1]):
                output, cache = block.step(horizontal[:, row, column], cache, column)
                outputs.append(output)
            cache = block.end_row(cache, block.column(cache))
        stepped = keras.ops.reshape(keras.ops.stack(outputs, axis=1), (-1, *horizontal.shape[1:]))
        called = block(horizontal, vertical, condition)
        if ends:
            return {"horizontal": (called, stepped)}
        return {
            "horizontal": (called[0], stepped),
            "vertical": (called[1], keras.ops.stack(rows, axis=1)),
        }

    for called, stepped in compile_function(block, both)(inputs).values():
        np.testing.assert_allclose(stepped, called, **TOLERANCE)


def test_the_horizontal_stream_sees_what_lies_before_and_the_vertical_the_rows_above():
    block = build()
    fixed = np.zeros((1, *GRID, FILTERS), "float32")
    size = GRID[0] * GRID[1]
    rows, columns = np.divmod(np.arange(size), GRID[1])
    down, right = rows[:, None] - rows, columns[:, None] - columns
    near = (abs(right) <= 1) & (down >= 0) & (down <= 1)
    shape = (*GRID, FILTERS)
    own = influence(lambda x: block(x, keras.ops.zeros_like(x) + fixed)[0], shape)
    np.testing.assert_array_equal(own, (down == 0) & (right >= 0) & (right <= 1))
    above = influence(lambda x: block(keras.ops.zeros_like(x) + fixed, x)[0], shape)
    np.testing.assert_array_equal(above, near)
    vertical = influence(lambda x: block(keras.ops.zeros_like(x) + fixed, x)[1], shape)
    np.testing.assert_array_equal(vertical, near)
    back = influence(lambda x: block(x, keras.ops.zeros_like(x) + fixed)[1], shape)
    assert not back.any(), "the vertical stream learns nothing of the horizontal one"


def test_dropout_acts_only_in_training():
    block = build(dropout=0.5, seed=1)
    x = draw(0, 2, *GRID, FILTERS)
    np.testing.assert_array_equal(block(x, x)[0], block(x, x, training=False)[0])
    assert not np.array_equal(block(x, x, training=True)[0], block(x, x)[0])


def test_config_describes_the_block():
    block = TwoStreamGatedBlock(6, (3, 5), dropout=0.25, ends_vertical=True, seed=3)
    assert TwoStreamGatedBlock.from_config(block.get_config()).get_config() == block.get_config()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"filters": 5}, "`filters` must be even. Received: filters=5"),
        ({"kernel_size": 1}, "the height at least 3"),
        ({"dropout": 1.0}, r"`dropout` must lie in \[0, 1\). Received: dropout=1.0"),
    ],
)
def test_wrong_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TwoStreamGatedBlock(**{"filters": 6, **kwargs})


def test_an_input_of_other_channels_is_refused():
    with pytest.raises(ValueError, match=r"must be `filters`. Received: input_shape=.*filters=6"):
        TwoStreamGatedBlock(6)(draw(0, 1, 2, 2, 4), draw(1, 1, 2, 2, 4))
