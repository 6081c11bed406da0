import keras
import numpy as np

from keras_vqvae2.layers.rows import convolve_rows, dense_row


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_a_dense_layer_of_a_row_is_that_of_each_vector():
    layer = keras.layers.Dense(4)
    row = draw(0, 5, 2, 3)
    expected = layer(row)
    np.testing.assert_allclose(dense_row(layer, keras.ops.convert_to_tensor(row)), expected, 1e-5)


def test_rows_are_convolved_as_by_a_loop_over_columns_and_taps():
    rows, kernel = draw(0, 2, 5, 4, 3), draw(1, 2, 3, 3, 6)
    expected = np.zeros((5, 4, 6))
    for row, column, tap in np.ndindex(2, 5, 3):
        seen = column + tap - 1
        if 0 <= seen < 5:
            expected[column] += rows[row, seen] @ kernel[row, tap]
    outputs = convolve_rows(keras.ops.convert_to_tensor(rows), keras.ops.convert_to_tensor(kernel))
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
