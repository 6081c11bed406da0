"""A page to play with a trained model: what it shows, uploads within bounds, and its widgets."""

from keras_vqvae2.page.layout import build_page
from keras_vqvae2.page.uploads import read_upload
from keras_vqvae2.page.views import View, complete, reconstruct, sample, walk

__all__ = ["View", "build_page", "complete", "read_upload", "reconstruct", "sample", "walk"]
