"""A signal that bends where it nears black and white, in place of being cut there."""

import keras
from keras import ops

LIMIT = 1.02  # a little beyond white, which so is reached at a finite input, of 1.41
FAR = 64.0  # where the curve has long ended, and the sixth power is still a finite number


@keras.saving.register_keras_serializable("keras_vqvae2")
class SoftClip(keras.layers.Layer):
    """Bends a signal so that it stays within the range of pixels.

    `y = 1.02 x / (1 + x^6)^(1/6)`: all but the identity up to half of the range, then level. White
    is the end of the range, and a decoder that has learned white has a ripple around it: where its
    signal is cut, half of each wave is left, a pattern of dots; where it is bent, none is. The
    gradient does not end there either, as that of a cut does.

    Call arguments:
        inputs: float tensor of any shape.

    Returns:
        Tensor of the same shape, in [-1.02, 1.02].

    Example:

    >>> [round(float(y), 2) for y in SoftClip()(ops.convert_to_tensor([0.0, 0.5, 1.0, 2.0]))]
    [0.0, 0.51, 0.91, 1.02]
    """

    def call(self, inputs):
        x = ops.clip(inputs, -FAR, FAR)
        square = ops.square(x)
        # A logarithm and an exponential take half the time of a power and its gradient.
        return LIMIT * x * ops.exp(ops.log(1.0 + square * square * square) * (-1 / 6))

    def compute_output_shape(self, input_shape):
        return input_shape
