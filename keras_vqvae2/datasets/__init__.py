"""Images for stage 1, and codes on disk for stage 2."""

from keras_vqvae2.datasets.augmentation import Augmentation
from keras_vqvae2.datasets.code_batches import CodeBatches
from keras_vqvae2.datasets.extraction import extract_codes
from keras_vqvae2.datasets.image_batches import ImageBatches
from keras_vqvae2.datasets.image_data import ImageData, LazyImages
from keras_vqvae2.datasets.loading import load
from keras_vqvae2.datasets.manifest import CodeManifest, weights_fingerprint

__all__ = [
    "Augmentation",
    "CodeBatches",
    "CodeManifest",
    "ImageBatches",
    "ImageData",
    "LazyImages",
    "extract_codes",
    "load",
    "weights_fingerprint",
]
