"""What a training step costs: memory and floating-point operations."""

import math

import keras

from keras_vqvae2 import checks
from keras_vqvae2.layers import (
    CausalAttention,
    GatedResidualBlock,
    TwoStreamGatedBlock,
    VectorQuantizer,
)

FLOAT_BYTES = 4
# Of each parameter while Adam trains: the value, its gradient and two moments.
COPIES_OF_PARAMETERS = 4
# Of each layer's output: itself and its gradient. TensorFlow on a CPU, which frees what it can, was
# measured at 70 to 80 % of the estimate (batches of 512, VQ-VAE-2 of 128 filters, prior of 96).
COPIES_OF_ACTIVATIONS = 2
# Of the forward pass: itself, and the gradients of the inputs and of the kernels.
PASSES_OF_A_STEP = 3


def training_bytes(model, batch_size):
    """Estimate the memory that a train step takes, in float32.

    The sum of parameters and of all layers' outputs, each times the copies that training keeps.
    What a backend sets aside to compute convolutions is not in it.

    Args:
        model: a built `VQVAE2` or `HierarchicalPrior`.
        batch_size: `B`.

    Returns:
        Bytes.

    Example:

    ```python
    training_bytes(VQVAE2((32, 32, 3)), batch_size=128) / 2**30
    ```
    """
    batch_size = checks.positive_int("batch_size", batch_size)
    values = sum(_values(leaf) for leaf in _leaves(model))
    # Of what is computed again one layer's is there at a time.
    causal = (CausalAttention, GatedResidualBlock, TwoStreamGatedBlock)
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, causal)]
    again = [_computed_again(layer) for layer in layers if layer.rematerialize]
    values += max(again, default=0) - sum(again)
    trainable = _count(model.trainable_variables)
    constant = _count(model.non_trainable_variables)
    copies = COPIES_OF_PARAMETERS * trainable + COPIES_OF_ACTIVATIONS * batch_size * values
    return FLOAT_BYTES * (copies + constant)


def forward_flops(model):
    """Count the floating-point operations of the matrix products for one example.

    Two for each number of a kernel at each position; masked taps of a kernel are not computed.

    Args:
        model: a built `VQVAE2`, `HierarchicalPrior` or `PixelCNN`, or a part of one.

    Returns:
        Operations.

    Example:

    ```python
    forward_flops(VQVAE2((32, 32, 3)).encoder) / 1e9
    ```
    """
    return sum(_flops(layer) for layer in _leaves(model))


def training_flops(model, batch_size):
    """Count the operations of a train step: three times those of its forward pass.

    Args:
        model: as of `forward_flops`.
        batch_size: `B`.

    Returns:
        Operations.

    Example:

    ```python
    training_flops(VQVAE2((32, 32, 3)), batch_size=128) / 1e12
    ```
    """
    return PASSES_OF_A_STEP * checks.positive_int("batch_size", batch_size) * forward_flops(model)


def _leaves(model):
    """The layers of a model that hold no layers: the others make next to nothing of their own."""
    checks.instance("model", model, keras.Layer)
    layers = model._flatten_layers(include_self=False)
    return [layer for layer in layers if not list(layer._flatten_layers(include_self=False))]


def _flops(layer):
    shape = (layer.get_build_config() or {}).get("input_shape")
    if isinstance(layer, VectorQuantizer):
        # The product with the codebook and its norms.
        return 2 * math.prod(shape[1:3]) * (layer.embedding_dim + 1) * layer.num_embeddings
    if shape is None or not hasattr(layer, "kernel"):
        return 0
    # A transposed convolution has a product at each position of its input.
    transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    positions = shape if transposed else layer.compute_output_shape(shape)
    return 2 * math.prod(positions[1:-1]) * math.prod(layer.kernel.shape)


def _values(layer):
    """Numbers that a layer makes of one example."""
    shape = (layer.get_build_config() or {}).get("input_shape")
    if isinstance(layer, VectorQuantizer):
        # The distances to all codes, and the chosen vectors.
        return math.prod(shape[1:3]) * (layer.num_embeddings + layer.embedding_dim)
    if shape is None or not layer.trainable_variables:
        return 0
    return math.prod(layer.compute_output_shape(shape)[1:])


def _computed_again(layer):
    """Numbers that a layer makes of one example beside its outputs, which the next one keeps."""
    outputs = {"expand", "vertical_expand"}
    return sum(_values(leaf) for leaf in _leaves(layer) if leaf.name not in outputs)


def _count(variables):
    return sum(math.prod(variable.shape) for variable in variables)
