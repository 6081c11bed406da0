import keras
import numpy as np
import pytest

from keras_vqvae2.layers import NearestConv2D, SubpixelConv2D

X = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype("float32")


def randomized(layer):
    layer.build(X.shape)
    rng = np.random.default_rng(1)
    for variable in layer.variables:
        variable.assign(rng.normal(size=variable.shape))
    return layer


@pytest.mark.parametrize("activation", [None, "relu"])
def test_nearest_is_repeating_and_convolving(activation):
    layer = randomized(NearestConv2D(6, activation=activation))
    plain = keras.layers.Conv2D(6, 3, padding="same", activation=activation)
    repeated = X.repeat(2, axis=1).repeat(2, axis=2)
    plain.build(repeated.shape)
    # A transposed convolution keeps its kernel flipped, as [height, width, outputs, inputs].
    kernel, bias = layer.get_weights()
    plain.set_weights([np.swapaxes(kernel[::-1, ::-1], 2, 3), bias])
    np.testing.assert_allclose(layer(X), plain(repeated), atol=1e-5)


def test_subpixel_is_a_convolution_whose_channels_are_pixels():
    layer = randomized(SubpixelConv2D(6))
    kernel, bias = layer.get_weights()
    out = keras.ops.convert_to_numpy(layer(X))
    for row in range(2):
        for column in range(2):
            group = slice(6 * (2 * row + column), 6 * (2 * row + column + 1))
            phase = keras.ops.conv(X, kernel[..., group], padding="same") + bias[group]
            np.testing.assert_allclose(out[:, row::2, column::2], phase, atol=1e-5)


def test_subpixel_begins_by_repeating_pixels():
    out = keras.ops.convert_to_numpy(SubpixelConv2D(6)(X))
    repeated = out[:, ::2, ::2].repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(out, repeated, atol=1e-6)
    assert out.std() > 0.1


@pytest.mark.parametrize("kind", [NearestConv2D, SubpixelConv2D])
def test_a_layer_comes_back_from_its_config(kind):
    layer = kind(6, activation="relu", use_bias=False, name="up", dtype="float32")
    copy = kind.from_config(layer.get_config())
    copy.build(X.shape)
    layer.build(X.shape)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(X), layer(X))
    assert copy.get_config() == layer.get_config()
    for shape in (layer(X).shape, layer.compute_output_shape(X.shape)):
        assert tuple(shape) == (2, 6, 10, 6)


@pytest.mark.parametrize("kind", [NearestConv2D, SubpixelConv2D])
def test_computes_in_the_policys_dtype(kind):
    assert keras.backend.standardize_dtype(kind(6, dtype="mixed_bfloat16")(X).dtype) == "bfloat16"
