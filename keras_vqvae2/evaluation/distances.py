"""How far two sets of images lie apart, from the features of each."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from keras_vqvae2 import checks


def frechet_distance(real, generated):
    """Fréchet distance of the normal distributions fitted to two sets of features.

    `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`. It depends on the sizes of the sets, which small
    sets make larger: compare distances of equal sizes only.

    Args:
        real: float array `[N, F]`, at least 2 of them.
        generated: float array `[M, F]`, at least 2 of them.

    Returns:
        Float of at least 0.

    Raises:
        ValueError: if there are too few features, or they are not finite.

    Reference:
        Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
        Equilibrium", section 1, equation 6.

    Example:

    >>> features = np.random.default_rng(0).normal(size=(500, 4))
    >>> round(frechet_distance(features, features + 1.0), 4)
    4.0
    """
    least = 2  # of which a covariance can be taken
    real, generated = (x.astype("float64") for x in _checked(least, real=real, generated=generated))
    covariances = [np.atleast_2d(np.cov(x, rowvar=False)) for x in (real, generated)]
    # The trace of the root of a product, by roots of symmetric matrices, which are real.
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    product = np.linalg.eigvalsh(root @ covariances[1] @ root)
    spread = sum(map(np.trace, covariances)) - 2.0 * np.sqrt(np.maximum(product, 0.0)).sum()
    shift = real.mean(axis=0) - generated.mean(axis=0)
    return float(max(shift @ shift + spread, 0.0))


def precision_recall(real, generated, neighbours=5):
    """Precision and recall, density and coverage of generated features.

    Around each feature lies a ball that reaches to its k-th neighbour of the same set.

    Args:
        real: float array `[N, F]`, more than `neighbours` of them.
        generated: float array `[M, F]`, more than `neighbours` of them.
        neighbours: k.

    Returns:
        A dict of floats: `"precision"`, the part of the generated within a real ball; `"recall"`,
        the part of the real within a generated ball; `"density"`, in how many real balls a
        generated one lies, over k (not bounded by 1); `"coverage"`, the part of the real balls
        with a generated one in them.

    Raises:
        ValueError: if there are too few features, or they are not finite.

    Reference:
        Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative
        Models", section 2; Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for
        Generative Models", section 3.

    Example:

    >>> features = np.random.default_rng(0).normal(size=(50, 4))
    >>> scores = precision_recall(features, features)
    >>> scores["precision"], scores["recall"], scores["coverage"]
    (1.0, 1.0, 1.0)
    """
    least = checks.positive_int("neighbours", neighbours) + 1  # none is its own neighbour
    real, generated = _checked(least, real=real, generated=generated)
    real_radii, generated_radii = (_radii(x, neighbours) for x in (real, generated))
    # Squared, as the radii are: one large product instead of all differences.
    distances = (
        np.sum(real**2, axis=1)[:, None] + np.sum(generated**2, axis=1) - 2.0 * real @ generated.T
    )
    # Of a feature on the rim of its own ball rounding may not decide.
    slack = 1e-5 * (1.0 + np.abs(distances))
    in_real = distances <= real_radii[:, None] + slack
    return {
        "precision": float(in_real.any(axis=0).mean()),
        "recall": float((distances <= generated_radii + slack).any(axis=1).mean()),
        "density": float(in_real.sum(axis=0).mean() / neighbours),
        "coverage": float(in_real.any(axis=1).mean()),
    }


def nearest(features, references):
    """Find the nearest reference of each feature.

    Args:
        features: float array `[N, F]`.
        references: float array `[M, F]`.

    Returns:
        `(distances, indices)`, Euclidean, each `[N]`.

    Raises:
        ValueError: if either is empty or not finite.

    Example:

    >>> distances, indices = nearest(np.array([[1.0]]), np.array([[0.0], [3.0]]))
    >>> distances.tolist(), indices.tolist()
    ([1.0], [0])
    """
    features, references = _checked(1, features=features, references=references)
    search = NearestNeighbors(n_neighbors=1).fit(references)
    distances, indices = search.kneighbors(features)
    return distances[:, 0], indices[:, 0]


def _checked(least, **sets):
    """The two sets of features as arrays, or a ValueError that names them and the rule."""
    names = " and ".join(f"`{name}`" for name in sets)
    arrays = [np.asarray(x) for x in sets.values()]
    shapes = [x.shape for x in arrays]
    if any(len(shape) != 2 for shape in shapes) or shapes[0][1] != shapes[1][1]:
        raise ValueError(
            f"{names} must be arrays [N, F] and [M, F]. "
            f"Received: shapes {shapes[0]} and {shapes[1]}"
        )
    if min(map(len, arrays)) < least:
        raise ValueError(
            f"{names} must hold at least {least}, more than {least - 1} features each. "
            f"Received: {len(arrays[0])} and {len(arrays[1])}"
        )
    wrong = [int(np.sum(~np.isfinite(x))) for x in arrays]
    if any(wrong):
        raise ValueError(
            f"{names} must be finite. Received: {wrong[0]} and {wrong[1]} values that are not"
        )
    return arrays


def _radii(features, neighbours):
    """The squared distance of each feature to its k-th neighbour, itself not counted."""
    search = NearestNeighbors(n_neighbors=neighbours + 1).fit(features)
    return search.kneighbors(features)[0][:, -1] ** 2
