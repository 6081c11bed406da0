"""Models small enough to enumerate: weights, all their grids, and counts against probabilities."""

import itertools

import numpy as np
from scipy import stats


def randomize(model, seed=0):
    """Weights that do not depend on the backend, and distributions that are far from uniform."""
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        shape, kind = variable.shape, variable.path.rsplit("/", 1)[-1]
        scale = {"bias": 0.3, "embeddings": 1.0}.get(kind)
        # A masked kernel is [taps, inputs, outputs], a dense one [inputs, outputs].
        variable.assign(rng.normal(scale=scale or 1.3 * np.prod(shape[:-1]) ** -0.5, size=shape))
    return model


def tell_images_apart(vqvae):
    """As `randomize`, of a VQ-VAE-2, and codes so far apart that each image tells its own."""
    randomize(vqvae)
    for quantizer in vqvae.quantizers:
        quantizer.sums.assign(np.random.default_rng(1).normal(size=quantizer.sums.shape))
    return vqvae


def every_grid(shape, num_embeddings):
    """All grids of codes, `[K ** (H * W), H, W]`, the last position running fastest."""
    size = shape[0] * shape[1]
    grids = list(itertools.product(range(num_embeddings), repeat=size))
    return np.array(grids, "int32").reshape(-1, *shape)


def pearson(observed, probabilities):
    """The p-value of counts under a distribution; cells that expect less than 5 are pooled."""
    expected = probabilities / probabilities.sum() * observed.sum()
    rare = expected < 5
    if rare.any():
        observed = np.append(observed[~rare], observed[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
    return stats.chisquare(observed, expected).pvalue
