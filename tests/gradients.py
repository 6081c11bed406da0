"""Gradients and compiled calls on any backend, and what raster order allows to be seen.

Grid positions are counted in raster order: position `n` of a grid `(H, W)` is `divmod(n, W)`.
"""

import keras
import numpy as np


def gradient(function, inputs):
    """Return d(function(inputs)) / d(inputs) of a scalar function, as a NumPy array."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        inputs = tf.convert_to_tensor(inputs)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = function(inputs)
        result = tape.gradient(value, inputs)
        return np.zeros(inputs.shape) if result is None else keras.ops.convert_to_numpy(result)
    if keras.backend.backend() == "torch":
        import torch

        inputs = keras.ops.convert_to_tensor(inputs).requires_grad_()
        with torch.enable_grad():
            value = function(inputs)
        if not value.requires_grad:
            return np.zeros(inputs.shape)
        (result,) = torch.autograd.grad(value, inputs, materialize_grads=True, allow_unused=True)
        return keras.ops.convert_to_numpy(result)
    import jax

    return np.asarray(jax.jit(jax.grad(function))(inputs))


def influence(function, shape, draws=4):
    """Which input positions each output position of a map of grids depends on.

    The objective adds up one output position of each of `H * W` copies of an input, weighted by a
    random number a channel, so that one backward pass gives all gradients. Over several random
    inputs, since a ReLU may hide a dependency at one of them.

    Args:
        function: map of `[B, H, W, C]` to `[B, H, W, C']` that treats examples independently.
        shape: `(H, W, C)`.
        draws: number of random inputs.

    Returns:
        bool array `[H * W, H * W]`: whether output `i` has a gradient by input `j`.
    """
    height, width, channels = shape
    size = height * width
    rng = np.random.default_rng(0)
    inputs = np.repeat(rng.normal(size=(draws, height, width, channels)), size, axis=0)
    chosen = np.tile(np.eye(size), (draws, 1)).reshape(draws * size, height, width, 1)

    def objective(x):
        outputs = function(x)
        weights = np.random.default_rng(1).normal(size=outputs.shape[-1])
        return keras.ops.sum(keras.ops.multiply(outputs, (chosen * weights).astype("float32")))

    gradients = gradient(objective, inputs.astype("float32"))
    return (gradients != 0).reshape(draws, size, size, channels).any(axis=(0, 3))


def taps(kernel_size, mask_type):
    """The visible taps of a masked kernel as bools `[height, width]`."""
    height, width = kernel_size
    order = np.arange(height * width).reshape(height, width)
    centre = order[height // 2, width // 2]
    return order < centre if mask_type == "A" else order <= centre


def visible(grid, kernel_size, mask_type):
    """What one masked convolution lets each position of a grid see, bools `[H * W, H * W]`."""
    height, width = grid
    result = np.zeros((height, width, height, width), bool)
    for down, right in np.argwhere(taps(kernel_size, mask_type)):
        down, right = down - kernel_size[0] // 2, right - kernel_size[1] // 2
        for row in range(height):
            for column in range(width):
                if 0 <= row + down < height and 0 <= column + right < width:
                    result[row, column, row + down, column + right] = True
    return result.reshape(height * width, height * width)


def through(*layers):
    """What a stack of layers sees, the first layer first: each sees what the one before saw."""
    result = layers[0]
    for layer in layers[1:]:
        result = (layer.astype(int) @ result.astype(int)) > 0
    return result


def compiled(layer, **kwargs):
    """The call of a built layer as one compiled function that writes the layer's state.

    On PyTorch it is the call itself.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(lambda *inputs: layer(*inputs, **kwargs))
    if keras.backend.backend() == "torch":
        return lambda *inputs: layer(*inputs, **kwargs)
    import jax

    stateless = jax.jit(
        lambda trainable, state, inputs: layer.stateless_call(trainable, state, *inputs, **kwargs)
    )

    def call(*inputs):
        trainable = [variable.value for variable in layer.trainable_variables]
        state = [variable.value for variable in layer.non_trainable_variables]
        outputs, state = stateless(trainable, state, inputs)
        for variable, value in zip(layer.non_trainable_variables, state, strict=True):
            variable.assign(value)
        return outputs

    return call
