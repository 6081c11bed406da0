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


def test_a_count_goes_on_beyond_what_float32_holds():
    metric = metrics.Perplexity(2)
    metric.counts.assign([2**24, 2**24])
    metric.update_state([0])
    np.testing.assert_array_equal(metric.counts, [2**24 + 1, 2**24])


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
    [metrics.Perplexity(3, name="p"), metrics.CodebookUsage(3), metrics.BitsPerDim(4, name="b")],
)
def test_config_describes_the_metric(metric):
    copy = type(metric).from_config(metric.get_config())
    assert copy.get_config() == metric.get_config()
    assert isinstance(copy, keras.metrics.Metric)
