import keras
import numpy as np
import pytest
from gradients import influence

from keras_vqvae2.layers import VerticalConv2D
from keras_vqvae2.sampling import compile_function

CASES = [(3, "A", (3, 5)), (3, "B", (6, 2)), ((5, 3), "A", (6, 2)), ((3, 5), "B", (3, 5))]


def build(kernel_size, mask_type, grid):
    layer = VerticalConv2D(4, kernel_size, mask_type)
    layer.build((None, *grid, 3))
    rng = np.random.default_rng(1)
    for variable in layer.variables:
        variable.assign(rng.normal(size=variable.shape))
    return layer


def seen_rows(layer):
    """How far above its row each row of the kernel lies."""
    return range(-layer.rows_above, layer.mask_type == "B")


@pytest.mark.parametrize(("kernel_size", "mask_type", "grid"), CASES)
def test_call_and_row_equal_sums_over_the_rows_above(kernel_size, mask_type, grid):
    layer = build(kernel_size, mask_type, grid)
    x = np.random.default_rng(0).normal(size=(2, *grid, 3)).astype("float32")
    kernel, side = keras.ops.convert_to_numpy(layer.kernel), layer.kernel_size[1] // 2
    expected = np.tile(keras.ops.convert_to_numpy(layer.bias), (2, *grid, 1))
    for row, column in np.ndindex(*grid):
        for down, taps in zip(seen_rows(layer), kernel, strict=True):
            for right, tap in enumerate(taps, start=-side):
                if row + down >= 0 and 0 <= column + right < grid[1]:
                    expected[:, row, column] += x[:, row + down, column + right] @ tap

    def both(x):
        padded = keras.ops.pad(x, ((0, 0), (layer.rows_above, 0), (0, 0), (0, 0)))
        padded = keras.ops.transpose(padded, (1, 2, 0, 3))
        rows = [layer.row(padded[row : row + len(kernel)]) for row in range(grid[0])]
        return layer(x), keras.ops.transpose(keras.ops.stack(rows), (2, 0, 1, 3))

    called, by_row = compile_function(layer, both)(x)
    # Sums of at most 45 products of values near 1, in float32.
    np.testing.assert_allclose(called, expected, rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(by_row, expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("mask_type", ["A", "B"])
def test_gradients_reach_whole_rows_above_and_no_other(mask_type):
    grid = (4, 3)
    seen = influence(build((3, 7), mask_type, grid), (*grid, 3), draws=1)
    rows = np.arange(12) // 3
    distance = rows[:, None] - rows
    np.testing.assert_array_equal(seen, (distance == 1) | ((distance == 0) & (mask_type == "B")))


def test_config_describes_the_layer():
    layer = VerticalConv2D(4, (3, 5), "B")
    assert VerticalConv2D.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"kernel_size": 1}, "the height at least 3. Received: kernel_size=1"),
        ({"kernel_size": (3, 2)}, r"Received: kernel_size=\(3, 2\)"),
        ({"mask_type": "C"}, "`mask_type` must be 'A' or 'B'. Received: mask_type='C'"),
        ({"filters": 0}, "`filters` must be an integer of at least 1"),
    ],
)
def test_wrong_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        VerticalConv2D(**{"filters": 4, "kernel_size": 3, **kwargs})
