import keras
import numpy as np
import pytest

from keras_vqvae2.layers import ResidualBlock, ResidualStack


def value(variable):
    return keras.ops.convert_to_numpy(variable).astype("float64")


def block_oracle(block, x):
    """`x + conv1x1(relu(conv3x3(relu(x))))`, the 3x3 tap by tap."""
    kernel, padded = (
        value(block.conv.kernel),
        np.pad(np.maximum(x, 0), ((0, 0), (1, 1), (1, 1), (0, 0))),
    )
    height, width = x.shape[1:3]
    hidden = sum(
        padded[:, row : row + height, column : column + width] @ kernel[row, column]
        for row in range(3)
        for column in range(3)
    )
    hidden = np.maximum(hidden + value(block.conv.bias), 0)
    return x + hidden @ value(block.expand.kernel) + value(block.expand.bias)


def test_a_stack_equals_its_formula():
    x = np.random.default_rng(0).normal(size=(2, 4, 3, 6)).astype("float32")
    stack = ResidualStack(2, 3)
    stack.build(x.shape)
    rng = np.random.default_rng(1)
    for variable in stack.variables:
        variable.assign(rng.normal(size=variable.shape))
    expected = x.astype("float64")
    for block in stack.blocks:
        expected = block_oracle(block, expected)
    # Two blocks of sums of 54 values near 5 in float32; outputs reach 100.
    np.testing.assert_allclose(stack(x), np.maximum(expected, 0), rtol=1e-5, atol=1e-4)


def test_no_blocks_leave_the_relu():
    x = np.array([[[[-1.0, 2.0]]]], "float32")
    np.testing.assert_array_equal(ResidualStack(0, 1)(x), [[[[0.0, 2.0]]]])


@pytest.mark.parametrize("layer", [ResidualBlock(3), ResidualStack(2, 3)])
def test_config_describes_the_layer(layer):
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()


def test_wrong_arguments_are_named():
    with pytest.raises(
        ValueError, match="`num_blocks` must be an integer of at least 0. Received: num_blocks=-1"
    ):
        ResidualStack(-1, 4)
    with pytest.raises(ValueError, match="`residual_filters` must be .*: residual_filters=0"):
        ResidualBlock(0)
