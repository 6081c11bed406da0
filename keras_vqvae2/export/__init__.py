"""Exports of models, and what a server and its users need beside them."""

from keras_vqvae2.export.formats import export_generator, export_vqvae
from keras_vqvae2.export.saved_model import read_signatures

__all__ = ["export_generator", "export_vqvae", "read_signatures"]
