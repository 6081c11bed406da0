"""Layers: the vector quantizer, masked convolutions, gated and plain residual blocks."""

from keras_vqvae2.layers.gated_block import GatedResidualBlock
from keras_vqvae2.layers.masked_conv import MaskedConv2D
from keras_vqvae2.layers.residual import ResidualBlock, ResidualStack
from keras_vqvae2.layers.vector_quantizer import VectorQuantizer

__all__ = [
    "GatedResidualBlock",
    "MaskedConv2D",
    "ResidualBlock",
    "ResidualStack",
    "VectorQuantizer",
]
