"""Activations that a gradient computes again, so that they need not be kept."""

import functools

import keras
from keras import ops


def check_rematerialize(rematerialize):
    """Return whether activations are to be computed again, checked.

    Raises:
        ValueError: if they are, and this Keras can't.
    """
    if rematerialize and not hasattr(keras, "remat"):
        raise ValueError(
            "`rematerialize` must be False before Keras 3.9, which can't compute activations "
            f"again. Received: rematerialize={rematerialize} with Keras {keras.__version__}"
        )
    return bool(rematerialize)


def computed(layer, outputs, tensors, drop_shapes, training):
    """Compute the outputs of a layer; in training its gradient does it again if the layer says so.

    Args:
        layer: with `rematerialize`, and with `drop`, a `keras.layers.Dropout`.
        outputs: callable `(drops, *tensors)`, with a function of dropout for each of `drop_shapes`.
        tensors: its further arguments; some may be None.
        drop_shapes: of what dropout is applied to, in order.
        training: whether it is.

    Returns:
        What `outputs` returns.
    """
    if not (layer.rematerialize and training):
        drop = functools.partial(layer.drop, training=training)
        return outputs([drop] * len(drop_shapes), *tensors)
    drops = [drawn_dropout(layer.drop, shape, layer.compute_dtype) for shape in drop_shapes]
    return rematerialized(functools.partial(outputs, drops), *tensors)


def rematerialized(function, *tensors):
    """Call a function, of which only arguments and results are kept for the gradient.

    The gradient calls it again. It must not draw random numbers: the second call would draw others;
    see `drawn_dropout`.

    Args:
        function: of tensors.
        *tensors: its arguments, of which gradients may be asked for; some may be None.

    Returns:
        What the function returns.

    Reference:
        Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost".
    """
    # TensorFlow's takes neither None nor keywords.
    given = [tensor for tensor in tensors if tensor is not None]

    def of_given(*given):
        given = iter(given)
        return function(*(None if tensor is None else next(given) for tensor in tensors))

    return keras.remat(of_given)(*given)


def drawn_dropout(drop, shape, dtype):
    """Draw now what a dropout layer leaves out.

    Args:
        drop: `keras.layers.Dropout`.
        shape: of what it will be applied to.
        dtype: of the same.

    Returns:
        A function of a tensor that does to it what the layer would do in training, each time.
    """
    if not drop.rate:
        return lambda x: x
    mask = drop(ops.ones(shape, dtype), training=True)
    return lambda x: x * mask
