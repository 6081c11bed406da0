import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_vqvae2 import ops


def value(tensor):
    return keras.ops.convert_to_numpy(tensor)


def points(count, dim=3):
    """Vectors of moderate size; one shape an argument, since each shape is compiled anew on JAX."""
    return arrays("float32", (count, dim), elements=st.floats(-8, 8, width=32))


@settings(max_examples=50, deadline=None)
@given(points(6), points(5))
def test_squared_distances_equal_brute_force_less_the_norm(vectors, codebook):
    expected = np.empty((6, 5))
    for n, vector in enumerate(vectors.astype("float64")):
        for k, code in enumerate(codebook.astype("float64")):
            expected[n, k] = sum((vector - code) ** 2) - sum(vector**2)
    # Terms of at most 8 * 8 * 3 = 192, times 2, in float32 of relative precision 6e-8.
    np.testing.assert_allclose(value(ops.squared_distances(vectors, codebook)), expected, atol=2e-4)


@settings(max_examples=50, deadline=None)
@given(points(6), points(5))
def test_no_code_is_nearer_than_the_nearest(vectors, codebook):
    codes = value(ops.nearest_code(vectors, codebook))
    distances = np.square(vectors[:, None].astype("float64") - codebook[None]).sum(axis=-1)
    # Two codes nearer to each other than float32 can tell may stand for one another.
    assert (distances[np.arange(6), codes] <= distances.min(axis=1) + 5e-4).all()
    assert codes.dtype == np.int32


def test_the_lowest_index_wins_a_tie():
    # Small integers: every product and sum is exact.
    codebook = np.float32([[5, 5], [1, 0], [-1, 0], [1, 0], [0, 1]])
    vectors = np.float32([[1, 0], [0, 0], [2, 0], [5, 5]])
    np.testing.assert_array_equal(ops.nearest_code(vectors, codebook), [1, 1, 1, 0])


@pytest.mark.parametrize("size", [7, 20, 64, 192])
def test_the_lowest_index_wins_a_tie_whatever_the_number_of_codes(size):
    rng = np.random.default_rng(size)
    # Integers of two bits: many codes are equal, and many more are equally far.
    vectors, codebook = (rng.integers(-2, 2, (n, 3)).astype("float32") for n in (200, size))
    expected = np.square(vectors[:, None] - codebook[None]).sum(axis=-1).argmin(axis=1)
    np.testing.assert_array_equal(value(ops.nearest_code(vectors, codebook)), expected)


def test_a_vector_that_is_no_number_gets_a_code_of_the_codebook():
    codebook = np.random.default_rng(0).normal(size=(128, 3)).astype("float32")
    codes = value(ops.nearest_code(np.full((2, 3), np.nan, "float32"), codebook))
    assert ((codes >= 0) & (codes < 128)).all()


@pytest.mark.parametrize("count", [1, 6, 7, 20])
def test_blocks_of_vectors_find_the_same_codes(monkeypatch, count):
    rng = np.random.default_rng(count)
    vectors, codebook = (rng.normal(size=(n, 3)).astype("float32") for n in (count, 10))
    at_once = value(ops.nearest_code(vectors, codebook))
    monkeypatch.setattr(ops, "LARGE_CODEBOOK", 10)
    monkeypatch.setattr(ops, "BLOCK", 60)  # six vectors
    np.testing.assert_array_equal(value(ops.nearest_code(vectors, codebook)), at_once)


@pytest.mark.parametrize("codes", [[0, 2, 2, 1, 2], [4, 4, 4, 4, 4]])
def test_code_statistics_count_and_add_up(codes):
    vectors = np.random.default_rng(0).integers(-9, 9, (5, 2)).astype("float32")
    counts, sums = ops.code_statistics(vectors, np.int32(codes), 5)
    for code in range(5):
        chosen = np.equal(codes, code)
        assert counts[code] == chosen.sum()
        np.testing.assert_array_equal(sums[code], vectors[chosen].sum(axis=0))


@settings(max_examples=50, deadline=None)
@given(
    arrays("float32", 7, elements=st.floats(0, 1000, width=32)), st.sampled_from([1e-5, 0.1, 10.0])
)
def test_smoothing_keeps_the_total_and_the_order(counts, epsilon):
    smooth = value(ops.smoothed_counts(counts, epsilon))
    # A sum of seven float32 numbers, divided and multiplied by itself.
    np.testing.assert_allclose(smooth.sum(), counts.sum(), rtol=1e-5, atol=1e-30)
    if counts.sum() > 1e-3:
        assert (smooth > 0).all()
        assert (np.diff(smooth[np.argsort(counts, kind="stable")]) >= 0).all()
        assert np.ptp(smooth) <= np.ptp(counts) * (1 + 1e-5)


def slow_kmeans(vectors, centroids, iterations):
    vectors, centroids = vectors.astype("float64"), centroids.astype("float64")
    for _ in range(iterations):
        codes = [np.square(centroids - vector).sum(axis=1).argmin() for vector in vectors]
        for code in set(codes):
            centroids[code] = np.mean(
                [v for v, c in zip(vectors, codes, strict=True) if c == code], 0
            )
    return centroids


@pytest.mark.parametrize("iterations", [0, 1, 7])
def test_kmeans_equals_a_slow_one(iterations):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 2)).astype("float32")
    centroids = np.concatenate([vectors[:5], [[99.0, 99.0]]]).astype("float32")
    result = value(ops.kmeans(vectors, centroids, iterations))
    # Means of at most 40 numbers near 1 in float32.
    np.testing.assert_allclose(result, slow_kmeans(vectors, centroids, iterations), atol=1e-5)
    np.testing.assert_array_equal(result[5], [99.0, 99.0])


@settings(max_examples=50, deadline=None)
@given(arrays("int32", 6, elements=st.integers(0, 10**6)), st.sampled_from([1.0, 1e-8, 0.37]))
def test_entropy_is_that_of_the_distribution_at_any_scale(counts, scale):
    result = float(ops.entropy_bits((counts * scale).astype("float32")))
    p = counts[counts > 0] / max(counts.sum(), 1)
    # Six terms p log p below 0.54 in float32.
    assert abs(result - -(p * np.log2(p)).sum()) < 1e-5
    assert -1e-6 <= result <= np.log2(6) + 1e-5


def test_entropy_of_equal_counts_is_the_logarithm_of_their_number():
    assert float(ops.entropy_bits(np.full(64, 3))) == pytest.approx(6.0, abs=1e-5)
    assert float(ops.entropy_bits(np.zeros(4))) == 0.0


def test_pixels_and_signal_are_inverse():
    pixels = np.arange(256, dtype="uint8")
    signal = value(ops.pixels_to_signal(pixels))
    assert (signal.min(), signal.max(), signal.dtype) == (-1.0, 1.0, np.float32)
    np.testing.assert_array_equal(ops.to_uint8(ops.signal_to_pixels(signal)), pixels)
    np.testing.assert_array_equal(ops.signal_to_pixels(np.float32([-1.5, 2.0])), [0.0, 255.0])
    np.testing.assert_array_equal(ops.to_uint8(np.float32([0.4, 0.6, 254.7])), [0, 1, 255])


def test_straight_through_is_the_quantized_value():
    inputs, quantized = keras.ops.array([1.0, 2.0]), keras.ops.array([4.0, -1.0])
    np.testing.assert_array_equal(ops.straight_through(inputs, quantized), [4.0, -1.0])
