"""Models: the VQ-VAE-2, the PixelCNN and its hierarchy, and both together."""

from keras_vqvae2.models.hierarchical_prior import HierarchicalPrior
from keras_vqvae2.models.image_generator import ImageGenerator
from keras_vqvae2.models.pixelcnn import PixelCNN
from keras_vqvae2.models.vqvae2 import VQVAE2

__all__ = ["VQVAE2", "HierarchicalPrior", "ImageGenerator", "PixelCNN"]
