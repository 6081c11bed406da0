import keras
import numpy as np
import pytest

from keras_vqvae2 import metrics


def perplexity(codes, size):
    p = np.bincount(np.ravel(codes), minlength=size) / np.size(codes)
    return np.prod(np.where(p > 0, p, 1.0) ** -p)


BATCHES = [np.random.default_rng(i).integers(0, 5 * i + 3, (4 - i, 2, 3)) for i in range(3)]
ALL_CODES = np.concatenate(BATCHES)


def test_perplexity_and_usage_are_of_the_epoch_not_the_mean_of_batches():
    kinds = metrics.Perplexity(20), metrics.CodebookUsage(20)
    for metric in kinds:
        for batch in BATCHES:
            metric.update_state(batch)
    # Float32 sums of 20 terms.
    assert float(kinds[0].result()) == pytest.approx(perplexity(ALL_CODES, 20), rel=1e-5)
    assert float(kinds[1].result()) == pytest.approx(len(np.unique(ALL_CODES)) / 20, rel=1e-6)
    assert float(kinds[0].result()) > max(perplexity(b, 20) for b in BATCHES)
    for metric in kinds:
        metric.reset_state()
        metric.update_state(np.zeros((2, 2), "int32"))
    assert float(kinds[0].result()) == pytest.approx(1.0)
    assert float(kinds[1].result()) == pytest.approx(1 / 20)


def set_counts(metric, counts):
    metric.words.assign(
        np.stack(np.divmod(np.array(counts, "int64"), metrics.WORD)).astype("int32")
    )


def exact_counts(metric):
    high, low = keras.ops.convert_to_numpy(metric.words).astype("int64")
    return (high * metrics.WORD + low).tolist()


@pytest.mark.parametrize("start", [2**24 - 1, 2**24, 2**31 - 1, 2**31, 10**12])
def test_a_count_goes_on_beyond_what_float32_and_int32_hold(start):
    perplexity, usage = metrics.Perplexity(3), metrics.CodebookUsage(3)
    for metric in (perplexity, usage):
        set_counts(metric, [start, start, 0])
        metric.update_state([0, 0, 0])
        assert exact_counts(metric) == [start + 3, start, 0]
    assert float(perplexity.result()) == pytest.approx(2.0, rel=1e-6)
    assert float(usage.result()) == pytest.approx(2 / 3, rel=1e-6)


def test_a_code_seen_once_among_many_is_used():
    metric = metrics.CodebookUsage(2)
    set_counts(metric, [10**12, 0])
    metric.update_state([1])
    assert float(metric.result()) == 1.0


def compiled(update):
    """The function as an epoch runs it: compiled, where a compiler might simplify sums."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(update, jit_compile=True)
    if keras.backend.backend() == "torch":
        return lambda *values: update(*map(keras.ops.convert_to_tensor, values))
    import jax

    return jax.jit(update)


def test_a_mean_goes_on_beyond_what_float32_adds_up():
    metric = metrics.EpochMean()
    add = compiled(metrics._add_exactly)
    sums, rest, batch = np.zeros(2, "float32"), np.zeros(2, "float32"), np.array([4.3e6, 1e6])
    for _ in range(21):  # doubled, which is exact, and added to: as by 10 million batches
        sums, rest = 2 * sums, 2 * rest
        for _ in range(5):
            sums, rest = add(sums, rest, batch.astype("float32"))
    metric.sums.assign(keras.ops.stack([sums, rest]))
    count = 5 * (2**21 - 1)
    total = keras.ops.convert_to_numpy(metric.sums).astype("float64").sum(axis=0)
    np.testing.assert_allclose(total, batch * count, rtol=1e-12)
    assert float(metric.result()) == pytest.approx(4.3, rel=1e-6)


@pytest.mark.parametrize("kind", [metrics.EpochMean, lambda: metrics.BitsPerDim(1)])
def test_small_batches_are_not_lost_in_a_large_sum(kind):
    metric = kind()
    metric.sums.assign([[2.0**40, 2.0**40], [0.0, 0.0]])
    for _ in range(3):
        metric.update_state([0.0, 0.0])
    count = keras.ops.convert_to_numpy(metric.sums).astype("float64")[:, 1].sum()
    assert count == 2**40 + 6


def test_a_mean_follows_keras_where_float32_suffices():
    rng = np.random.default_rng(0)
    for values, weight in (
        (rng.random(7), None),
        (rng.random(7), rng.random(7)),
        (rng.random(7), rng.random((7, 1))),
        (3.5, 12.0),
        (np.array([1.0, np.inf]), None),
    ):
        ours, theirs = metrics.EpochMean(), keras.metrics.Mean()
        assert float(ours.result()) == 0.0
        for metric in (ours, theirs):
            metric.update_state(values, weight)
            metric.update_state(2.0)
        assert float(ours.result()) == pytest.approx(float(theirs.result()), rel=1e-6)
        ours.reset_state()
        assert float(ours.result()) == 0.0


def test_weights_do_not_unsee_a_code():
    metric = metrics.CodebookUsage(4)
    metric.update_state([0, 1], sample_weight=[0.0, 0.0])
    assert float(metric.result()) == 0.5


def test_bits_per_dim_is_the_weighted_mean_of_nats_by_dimensions():
    metric = metrics.BitsPerDim(6)
    rng = np.random.default_rng(0)
    nats, weights = rng.random((2, 5)) * 30, rng.random((2, 5))
    for values, weight in zip(nats, weights, strict=True):
        metric.update_state(values, weight)
    expected = (nats * weights).sum() / weights.sum() / 6 / np.log(2)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "metric",
    [
        metrics.Perplexity(3, name="p"),
        metrics.CodebookUsage(3),
        metrics.EpochMean(name="m"),
        metrics.BitsPerDim(4, name="b"),
    ],
)
def test_config_describes_the_metric(metric):
    copy = type(metric).from_config(metric.get_config())
    assert copy.get_config() == metric.get_config()
    assert isinstance(copy, keras.metrics.Metric)
