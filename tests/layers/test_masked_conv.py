import keras
import numpy as np
import pytest
from gradients import influence, taps, visible

from keras_vqvae2.layers import MaskedConv2D
from keras_vqvae2.sampling import compile_function

KERNELS = [
    (1, "B"),
    (3, "A"),
    (3, "B"),
    (5, "A"),
    (5, "B"),
    (7, "A"),
    ((3, 5), "A"),
    ((3, 5), "B"),
    ((5, 1), "A"),
    ((1, 3), "B"),
]
# Wider than high, higher than wide, and smaller than the 7x7 kernel on every side.
GRIDS = [(3, 5), (6, 2)]
CASES = [(*kernel, GRIDS[index % 2]) for index, kernel in enumerate(KERNELS)]
CASES.append((7, "A", (6, 2)))
# Sums of at most 24 taps x 3 channels of values near 1, in float32: errors near 72 * 6e-8 * 4.
TOLERANCE = {"rtol": 1e-5, "atol": 2e-5}


def build(kernel_size, mask_type, grid=(3, 5), channels=3, filters=4, **kwargs):
    layer = MaskedConv2D(filters, kernel_size, mask_type, **kwargs)
    layer.build((None, *grid, channels))
    rng = np.random.default_rng(1)
    for variable in layer.variables:
        variable.assign(rng.normal(size=variable.shape))
    return layer


def masked_convolution(layer, inputs):
    """A whole kernel, multiplied by its mask, slid over the padded input tap by tap."""
    height, width = layer.kernel_size
    channels = inputs.shape[-1]
    mask = taps((height, width), layer.mask_type)
    kernel = np.random.default_rng(2).normal(size=(height, width, channels, layer.filters))
    kernel[mask] = keras.ops.convert_to_numpy(layer.kernel)
    kernel = kernel * mask[..., None, None]
    top, left = height // 2, width // 2
    padded = np.pad(inputs, ((0, 0), (top, top), (left, left), (0, 0)))
    outputs = np.zeros((*inputs.shape[:-1], layer.filters))
    for row in range(inputs.shape[1]):
        for column in range(inputs.shape[2]):
            window = padded[:, row : row + height, column : column + width]
            outputs[:, row, column] = np.einsum("bhwc,hwcf->bf", window, kernel)
    return outputs + (keras.ops.convert_to_numpy(layer.bias) if layer.use_bias else 0.0)


def position_by_position(layer, inputs):
    """The same by `start_row` and `step`, from nothing but the rows above and the row so far."""
    _, height, width, _ = inputs.shape
    rows = keras.ops.pad(inputs, ((0, 0), (layer.rows_above, 0), (0, 0), (0, 0)))
    rows = keras.ops.transpose(rows, (1, 2, 0, 3))
    outputs = []
    for row in range(height):
        cache = layer.start_row(rows[row : row + layer.rows_above])
        for column in range(width):
            seen = column - (layer.mask_type == "A")
            value = inputs[:, row, seen] if seen >= 0 else keras.ops.zeros_like(inputs[:, 0, 0])
            output, cache = layer.step(value, cache, column)
            outputs.append(output)
    return keras.ops.reshape(keras.ops.stack(outputs, axis=1), (-1, height, width, layer.filters))


@pytest.mark.parametrize(("kernel_size", "mask_type", "grid"), CASES)
def test_call_and_step_equal_a_masked_whole_kernel(kernel_size, mask_type, grid):
    layer = build(kernel_size, mask_type, grid)
    inputs = np.random.default_rng(0).normal(size=(2, *grid, 3)).astype("float32")
    expected = masked_convolution(layer, inputs)
    both = compile_function(layer, lambda x: (layer(x), position_by_position(layer, x)))
    called, stepped = both(inputs)
    np.testing.assert_allclose(called, expected, **TOLERANCE)
    np.testing.assert_allclose(stepped, expected, **TOLERANCE)


@pytest.mark.parametrize(("kernel_size", "mask_type", "grid"), CASES)
def test_gradients_reach_exactly_the_taps_before_a_position(kernel_size, mask_type, grid):
    layer = build(kernel_size, mask_type, grid)
    seen = influence(layer, (*grid, 3), draws=1)
    forbidden = np.triu(np.ones_like(seen), k=0 if mask_type == "A" else 1)
    assert not (seen & forbidden).any()
    np.testing.assert_array_equal(seen, visible(grid, layer.kernel_size, mask_type))


def test_only_visible_taps_are_weights():
    assert build(7, "A").kernel.shape[0] == 24
    assert build(3, "B").kernel.shape[0] == 5
    assert build((3, 5), "B").kernel.shape[0] == 8


def test_the_condition_of_start_row_is_added():
    layer = build(3, "B", use_bias=False)

    def draw(seed, *shape):
        return np.random.default_rng(seed).normal(size=shape).astype("float32")

    rows, value = draw(0, 1, 5, 2, 3), draw(1, 2, 3)
    for condition in (draw(2, 5, 2, 4), draw(3, 1, 2, 4)):
        plain, _ = layer.step(value, layer.start_row(rows), 0)
        added, _ = layer.step(value, layer.start_row(rows, condition), 0)
        # One addition in float32 of values near 10.
        np.testing.assert_allclose(added - plain, condition[0], atol=1e-5)


def test_the_cache_keeps_no_more_of_a_row_than_the_kernel_reaches():
    layer = build((1, 3), "B", grid=(1, 5))
    cache = layer.start_row(np.zeros((0, 5, 2, 3), "float32"))
    for column in range(5):
        _, cache = layer.step(np.zeros((2, 3), "float32"), cache, column)
    assert len(cache["left"]) == 2


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_computes_in_half_and_keeps_float32_weights(policy):
    layer = build(3, "A", dtype=policy)
    outputs = layer(np.ones((1, 3, 5, 3), "float32"))
    assert keras.backend.standardize_dtype(outputs.dtype) == policy.removeprefix("mixed_")
    assert {keras.backend.standardize_dtype(v.dtype) for v in layer.variables} == {"float32"}


def test_config_describes_the_layer():
    layer = build((3, 5), "B", use_bias=False, kernel_initializer="he_normal")
    copy = MaskedConv2D.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    copy.build((None, 3, 5, 3))
    assert [v.shape for v in copy.variables] == [v.shape for v in layer.variables]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"kernel_size": 4}, "`kernel_size` must be one or two odd .*Received: kernel_size=4"),
        ({"kernel_size": (3, 2)}, r"Received: kernel_size=\(3, 2\)"),
        ({"kernel_size": 0}, "Received: kernel_size=0"),
        ({"kernel_size": (3, 3, 3)}, "one or two odd integers"),
        ({"kernel_size": 1}, "sees nothing.*Received: kernel_size=1"),
        ({"mask_type": "C"}, "`mask_type` must be 'A' or 'B'. Received: mask_type='C'"),
        ({"filters": 0}, "`filters` must be an integer of at least 1. Received: filters=0"),
    ],
)
def test_wrong_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        MaskedConv2D(**{"filters": 4, "kernel_size": 3, **kwargs})
