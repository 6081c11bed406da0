import numpy as np
import pytest
from scipy.linalg import sqrtm

from keras_vqvae2.evaluation import frechet_distance, nearest, precision_recall


def draw(count, seed=0, features=5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, features)) @ rng.normal(size=(features, features)) + seed


def test_frechet_distance_equals_its_formula_by_the_root_of_a_matrix():
    a, b = draw(200), draw(300, seed=1)
    covariances = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(covariances[0] @ covariances[1])
    shift = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    expected = shift + np.trace(covariances[0] + covariances[1] - 2 * root.real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_equal_and_of_degenerate_sets():
    a = draw(50)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-9)
    # Fewer examples than features: covariances without an inverse.
    few = draw(4, features=8)
    assert frechet_distance(few, few + 2.0) == pytest.approx(8 * 4.0, rel=1e-6)


def slow_scores(real, generated, k):
    def radius(points, index):
        return np.sort(np.linalg.norm(points - points[index], axis=1))[k]

    inside = np.array(
        [[np.linalg.norm(r - g) <= radius(real, i) for g in generated] for i, r in enumerate(real)]
    )
    back = np.array(
        [
            [np.linalg.norm(r - g) <= radius(generated, j) for j, g in enumerate(generated)]
            for r in real
        ]
    )
    return {
        "precision": inside.any(axis=0).mean(),
        "recall": back.any(axis=1).mean(),
        "density": inside.sum(axis=0).mean() / k,
        "coverage": inside.any(axis=1).mean(),
    }


def test_precision_recall_density_and_coverage_equal_their_definitions():
    real, generated = draw(40), draw(30, seed=0) * 0.7
    result = precision_recall(real, generated, neighbours=3)
    assert result == {k: pytest.approx(v) for k, v in slow_scores(real, generated, 3).items()}
    assert 0 < result["recall"] < 1


def test_sets_that_do_not_meet_score_zero():
    result = precision_recall(draw(20), draw(20) + 1e3)
    assert result == {"precision": 0.0, "recall": 0.0, "density": 0.0, "coverage": 0.0}


def test_too_few_features_are_refused():
    with pytest.raises(ValueError, match="more than 5 features each. Received: 5 and 20"):
        precision_recall(draw(5), draw(20))
    for few in (draw(1), draw(0)):
        for sets in ((few, draw(20)), (draw(20), few)):
            with pytest.raises(ValueError, match="`real` and `generated` must hold at least 2, "):
                frechet_distance(*sets)
    assert frechet_distance(draw(2), draw(2)) == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(ValueError, match="`features` and `references` must hold at least 1"):
        nearest(draw(3), draw(0))


@pytest.mark.parametrize("score", [frechet_distance, precision_recall, nearest])
def test_features_of_other_shapes_or_that_are_not_finite_are_refused(score):
    with pytest.raises(
        ValueError, match=r"must be arrays \[N, F\].*shapes \(20, 5\) and \(20, 4\)"
    ):
        score(draw(20), draw(20, features=4))
    with pytest.raises(ValueError, match=r"must be arrays \[N, F\].* shapes \(20,\) and"):
        score(draw(20)[:, 0], draw(20))
    holed = draw(20)
    holed[3, 2] = np.nan
    with pytest.raises(ValueError, match="must be finite. Received: 0 and 1 values"):
        score(draw(20), holed)


def test_nearest_finds_the_closest_reference():
    features, references = draw(7), draw(50, seed=2)
    distances, indices = nearest(features, references)
    every = np.linalg.norm(features[:, None] - references, axis=-1)
    np.testing.assert_array_equal(indices, every.argmin(axis=1))
    np.testing.assert_allclose(distances, every.min(axis=1), rtol=1e-6)
