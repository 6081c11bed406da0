"""The program `keras-vqvae2`."""

from keras_vqvae2.cli.app import app, main

__all__ = ["app", "main"]
