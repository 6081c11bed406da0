# The public names, and where each stands.

from . import callbacks, datasets, distribution, evaluation, layers, losses, metrics, models, tuning
from .datasets import CodeBatches, ImageBatches, ImageData, extract_codes
from .layers import (
    CausalAttention,
    DiscretizedLogistic,
    GatedResidualBlock,
    LabelDropout,
    MaskedConv2D,
    NearestConv2D,
    ResidualBlock,
    ResidualStack,
    SubpixelConv2D,
    TwoStreamGatedBlock,
    VectorQuantizer,
    VerticalConv2D,
)
from .metrics import BitsPerDim, CodebookUsage, Perplexity
from .models import VQVAE2, HierarchicalPrior, ImageGenerator, PixelCNN

__version__: str

__all__ = [
    "VQVAE2",
    "BitsPerDim",
    "CausalAttention",
    "CodeBatches",
    "CodebookUsage",
    "DiscretizedLogistic",
    "GatedResidualBlock",
    "HierarchicalPrior",
    "ImageBatches",
    "ImageData",
    "ImageGenerator",
    "LabelDropout",
    "MaskedConv2D",
    "NearestConv2D",
    "Perplexity",
    "PixelCNN",
    "ResidualBlock",
    "ResidualStack",
    "SubpixelConv2D",
    "TwoStreamGatedBlock",
    "VectorQuantizer",
    "VerticalConv2D",
    "callbacks",
    "datasets",
    "distribution",
    "evaluation",
    "extract_codes",
    "layers",
    "losses",
    "metrics",
    "models",
    "tuning",
]
