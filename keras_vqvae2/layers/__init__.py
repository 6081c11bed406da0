"""Layers: the vector quantizer, causal convolutions and attention, residual blocks."""

from keras_vqvae2.layers.causal_attention import CausalAttention
from keras_vqvae2.layers.discretized_logistic import DiscretizedLogistic
from keras_vqvae2.layers.gated_block import GatedResidualBlock
from keras_vqvae2.layers.label_dropout import LabelDropout
from keras_vqvae2.layers.masked_conv import MaskedConv2D
from keras_vqvae2.layers.residual import ResidualBlock, ResidualStack
from keras_vqvae2.layers.soft_clip import SoftClip
from keras_vqvae2.layers.two_stream_block import TwoStreamGatedBlock
from keras_vqvae2.layers.upsampling import UPSAMPLING, NearestConv2D, SubpixelConv2D
from keras_vqvae2.layers.vector_quantizer import VectorQuantizer
from keras_vqvae2.layers.vertical_conv import VerticalConv2D

__all__ = [
    "UPSAMPLING",
    "CausalAttention",
    "DiscretizedLogistic",
    "GatedResidualBlock",
    "LabelDropout",
    "MaskedConv2D",
    "NearestConv2D",
    "ResidualBlock",
    "ResidualStack",
    "SoftClip",
    "SubpixelConv2D",
    "TwoStreamGatedBlock",
    "VectorQuantizer",
    "VerticalConv2D",
]
