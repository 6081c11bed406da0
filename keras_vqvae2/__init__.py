"""VQ-VAE-2 and PixelCNN priors in Keras 3: discrete codes of images, learned, sampled and scored.

Images hold pixels in [0, 255], channels last; codes are int32 grids; a list of levels is coarse to
fine. Each public name stands in its folder, and here.
"""

import importlib

from keras_vqvae2 import callbacks, datasets, layers, losses, metrics, models
from keras_vqvae2.datasets import CodeBatches, ImageBatches, ImageData, extract_codes
from keras_vqvae2.layers import (
    GatedResidualBlock,
    MaskedConv2D,
    ResidualBlock,
    ResidualStack,
    VectorQuantizer,
)
from keras_vqvae2.metrics import BitsPerDim, CodebookUsage, Perplexity
from keras_vqvae2.models import VQVAE2, HierarchicalPrior, ImageGenerator, PixelCNN

__version__ = "0.1.0"

__all__ = [
    "VQVAE2",
    "BitsPerDim",
    "CodeBatches",
    "CodebookUsage",
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
    "VectorQuantizer",
    "callbacks",
    "datasets",
    "extract_codes",
    "layers",
    "losses",
    "metrics",
    "models",
    "tuning",
]


def __getattr__(name):
    """Import `tuning` when it is asked for: it takes KerasTuner, which nothing else needs."""
    if name == "tuning":
        return importlib.import_module("keras_vqvae2.tuning")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
