"""Layers on rows of a grid, `[W, B, C]`, in few operations.

Columns lie before the batch, since slices of the first axis are not copied. A fresh process waits
for TensorFlow to trace each operation.
"""

from keras import ops


def dense_row(layer, row):
    """Apply a dense layer to a row.

    Of three axes Keras's own call makes thirty nodes of a TensorFlow graph, of two axes four.

    Args:
        layer: built `keras.layers.Dense`.
        row: float tensor `[W, B, C]`.

    Returns:
        float tensor `[W, B, units]`.
    """
    width, _, channels = row.shape
    outputs = layer(ops.reshape(row, (-1, channels)))
    return ops.reshape(outputs, (width, -1, layer.units))


def convolve_rows(rows, kernel):
    """Convolve rows of a grid with a kernel of their number of rows: one row of outputs.

    Args:
        rows: float tensor `[R, W, B, C]`.
        kernel: float tensor `[R, width, C, F]`, the width odd.

    Returns:
        float tensor `[W, B, F]`.
    """
    num_rows, width, channels, filters = kernel.shape
    # Rows as channels, the batch as a second axis that the kernel does not reach along.
    rows = ops.transpose(rows, (1, 2, 0, 3))
    rows = ops.reshape(rows, (1, rows.shape[0], -1, num_rows * channels))
    kernel = ops.transpose(kernel, (1, 0, 2, 3))
    kernel = ops.reshape(kernel, (width, 1, num_rows * channels, filters))
    return ops.conv(rows, kernel, padding="same", data_format="channels_last")[0]
