"""VQ-VAE-2 and PixelCNN priors in Keras 3: discrete codes of images, learned, sampled and scored.

Images hold pixels in [0, 255], channels last; codes are int32 grids; a list of levels is coarse to
fine. Each public name stands in its folder, and here.
"""

import importlib

from keras_vqvae2 import callbacks, datasets, layers, losses, metrics, models
from keras_vqvae2.datasets import CodeBatches, ImageBatches, ImageData, extract_codes
from keras_vqvae2.layers import (
    CausalAttention,
    DiscretizedLogistic,
    GatedResidualBlock,
    MaskedConv2D,
    ResidualBlock,
    ResidualStack,
    TwoStreamGatedBlock,
    VectorQuantizer,
    VerticalConv2D,
)
from keras_vqvae2.metrics import BitsPerDim, CodebookUsage, Perplexity
from keras_vqvae2.models import VQVAE2, HierarchicalPrior, ImageGenerator, PixelCNN

__version__ = "0.1.0"

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
    "MaskedConv2D",
    "Perplexity",
    "PixelCNN",
    "ResidualBlock",
    "ResidualStack",
    "TwoStreamGatedBlock",
    "VectorQuantizer",
    "VerticalConv2D",
    "callbacks",
    "datasets",
    "evaluation",
    "extract_codes",
    "layers",
    "losses",
    "metrics",
    "models",
    "tuning",
]


def __getattr__(name):
    """Import on demand what takes libraries of its own: KerasTuner, scikit-learn."""
    if name in ("evaluation", "tuning"):
        return importlib.import_module(f"keras_vqvae2.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
