"""Sampling: noise from seeds, a code from logits, the raster loop, compilation."""

from keras_vqvae2.sampling.categorical import draw_codes
from keras_vqvae2.sampling.compiled import (
    compile_function,
    graph_rewrites,
    run_in_chunks,
    without_lists,
    without_optimizing,
)
from keras_vqvae2.sampling.guidance import NO_CLASS, doubled, guided, without_class
from keras_vqvae2.sampling.noise import noise_walk, uniform_noise
from keras_vqvae2.sampling.options import RULES, SamplingOptions
from keras_vqvae2.sampling.raster import raster_scan
from keras_vqvae2.sampling.request import draw_for, request_noise, sample_request

__all__ = [
    "NO_CLASS",
    "RULES",
    "SamplingOptions",
    "compile_function",
    "doubled",
    "draw_codes",
    "draw_for",
    "graph_rewrites",
    "guided",
    "noise_walk",
    "raster_scan",
    "request_noise",
    "run_in_chunks",
    "sample_request",
    "uniform_noise",
    "without_class",
    "without_lists",
    "without_optimizing",
]
