import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_vqvae2.sampling import draw_codes

LARGEST_BELOW_ONE = np.float32(1 - 2**-24)


def draw(logits, uniforms, temperature=None, top_k=None, top_p=None):
    """`draw_codes` of one distribution at many uniform numbers."""
    uniforms = np.asarray(uniforms, "float32")
    size = len(uniforms)

    def rows(value, dtype):
        return None if value is None else np.full(size, value, dtype)

    arguments = [
        np.tile(np.asarray(logits, "float32"), (size, 1)),
        uniforms,
        rows(temperature, "float32"),
        rows(top_k, "int32"),
        rows(top_p, "float32"),
    ]
    codes = draw_codes(*(x if x is None else ops.convert_to_tensor(x) for x in arguments))
    return np.asarray(codes)


def filtered(logits, temperature=1.0, top_k=None, top_p=None):
    """The distribution that the options ask for: sort, cut, renormalize, code by code."""
    logits = np.asarray(logits, "float64") / temperature
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    order = np.argsort(-probabilities, kind="stable")
    if top_k:
        probabilities[order[top_k:]] = 0.0
        probabilities /= probabilities.sum()
    if top_p is not None:
        reached = 0.0
        for code in order:
            if reached >= top_p:
                probabilities[code] = 0.0
            reached += probabilities[code]
    return probabilities / probabilities.sum()


LOGITS = np.random.default_rng(0).normal(scale=1.5, size=9)
OPTIONS = [
    {},
    {"temperature": 0.4},
    {"temperature": 3.0},
    {"top_k": 1},
    {"top_k": 4},
    {"top_k": 9},
    {"top_k": 100},
    {"top_p": 0.5},
    {"top_p": 1e-6},
    {"top_p": 0.999},
    {"top_k": 5, "top_p": 0.7},
    {"temperature": 2.0, "top_k": 6, "top_p": 0.9},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_frequencies_are_those_of_the_filtered_distribution(options):
    expected = filtered(LOGITS, **options)
    codes = draw(LOGITS, np.random.default_rng(1).random(20000), **options)
    observed = np.bincount(codes, minlength=9)
    assert not observed[expected == 0].any()
    if (expected > 0).sum() == 1:
        return  # All draws are the one code there is.
    possible = expected > 0
    # A right sampler fails one seed in a thousand; this seed is fixed.
    assert stats.chisquare(observed[possible], 20000 * expected[possible]).pvalue > 1e-3


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_code_is_the_inverse_of_the_cdf(options):
    cumulative = np.cumsum(filtered(LOGITS, **options))
    uniforms = np.random.default_rng(2).random(5000)
    assert_inverse(draw(LOGITS, uniforms, **options), uniforms, cumulative)


def assert_inverse(codes, uniforms, cumulative):
    # A float32 sum is off by a few 2**-24; nearer to a step neither code is wrong.
    clear = np.abs(uniforms[:, None] - cumulative).min(axis=1) > 1e-5
    assert clear.mean() > 0.9
    expected = (cumulative <= uniforms[:, None]).sum(axis=1)
    np.testing.assert_array_equal(codes[clear], expected[clear])


def test_ties_with_the_last_of_top_k_are_included():
    assert set(draw([1.0, 0.0, 0.0, -9.0], np.linspace(0, 0.999, 500), top_k=2)) == {0, 1, 2}


def test_options_are_of_each_row():
    logits = np.tile(np.float32([0.0, 1.0, 2.0, 3.0]), (4, 1))
    codes = draw_codes(
        ops.convert_to_tensor(logits),
        ops.full((4,), 0.01),
        ops.array([1.0, 1.0, 1e-3, 1.0]),
        ops.array([0, 1, 0, 0]),
        ops.array([1.0, 1.0, 1.0, 0.5]),
    )
    np.testing.assert_array_equal(codes, [0, 3, 3, 3])


@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"top_p": 0.9}], ids=str)
def test_the_ends_of_the_unit_interval_give_possible_codes(options):
    impossible = -np.inf
    logits = [impossible, impossible, 0.3, impossible, 0.1, 0.2, impossible, impossible]
    assert list(draw(logits, [0.0, LARGEST_BELOW_ONE], **options)) == [2, 5]


def test_a_code_of_probability_zero_is_never_drawn():
    rng = np.random.default_rng(3)
    for size in (5, 64, 512):
        for _ in range(4):
            logits = rng.normal(scale=3.0, size=size)
            impossible = rng.random(size) < 0.6
            impossible[-1] = True
            logits[impossible] = -np.inf
            # At and next to each step of the CDF, where rounding decides.
            weights = np.exp(logits - logits.max()).astype("float32")
            steps = np.cumsum(weights) / weights.sum()
            near = [steps * (1 + ulps * 2**-24) for ulps in range(-4, 5)]
            uniforms = np.clip(np.concatenate([[0.0], *near]), 0.0, LARGEST_BELOW_ONE)
            codes = draw(logits, uniforms)
            assert codes.min() >= 0
            assert codes.max() < size
            assert not impossible[codes].any()


def test_extreme_logits_and_temperatures():
    uniforms = np.linspace(0, 0.999, 50)
    assert set(draw([1e30, -1e30, 0.0], uniforms)) == {0}
    # 7 / 2e-38 is more than float32 can hold; the likeliest code remains.
    assert set(draw([1.0, 7.0, 2.0], uniforms, temperature=2e-38)) == {1}
    assert set(draw([1.0, 7.0, 2.0], uniforms, temperature=1e38)) == {0, 1, 2}


def test_products_that_round_their_factors_change_no_draw(monkeypatch):
    """As a GPU does by TF32: eleven bits of each factor, sums in float32."""

    def rounded(x):
        mantissa, exponent = np.frexp(np.asarray(x))
        return np.ldexp(np.round(mantissa * 2**11) / 2**11, exponent).astype("float32")

    rng = np.random.default_rng(4)
    logits, uniforms = rng.normal(scale=2.0, size=512), rng.random(20000)
    products = []
    matmul = ops.matmul
    monkeypatch.setattr(
        "keras_vqvae2.sampling.categorical.ops.matmul",
        lambda a, b: products.append(None) or matmul(rounded(a), rounded(b)),
    )
    codes = draw(logits, uniforms)
    assert products
    assert_inverse(codes, uniforms, np.cumsum(filtered(logits)))


def test_half_precision_logits():
    assert list(draw_codes(ops.array([[0.0, 9.0]], "float16"), ops.array([0.5]))) == [1]
