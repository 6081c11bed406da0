import numpy as np
import pytest

from keras_vqvae2.layers import DiscretizedLogistic


def build(log_scale):
    layer = DiscretizedLogistic()
    layer.build((None, 1, 1, 1))
    layer.log_scale.assign([log_scale])
    return layer


@pytest.mark.parametrize("log_scale", [-6.0, -2.3, 0.5])
@pytest.mark.parametrize("mean", [-1.2, -0.3, 0.999])
def test_the_probabilities_of_all_levels_add_up_to_one(log_scale, mean):
    levels = (np.arange(256) / 127.5 - 1.0).astype("float32").reshape(-1, 1, 1, 1)
    nats = np.asarray(build(log_scale)(levels, np.full_like(levels, mean)), "float64")
    # 256 probabilities from float32 logarithms.
    assert np.exp(-nats).sum() == pytest.approx(1.0, abs=1e-4)


def test_levels_between_the_ends_have_the_difference_of_the_cdf():
    layer = build(-2.0)
    images = np.float32([[[[0.2]]], [[[-0.5]]]])
    means = np.float32([[[[0.25]]], [[[-0.1]]]])
    x, m, scale = (np.asarray(v, "float64") for v in (images, means, np.exp(-2.0)))

    def cdf(value):
        return 1 / (1 + np.exp(-(value - m) / scale))

    expected = -np.log(cdf(x + 1 / 255) - cdf(x - 1 / 255)).ravel()
    np.testing.assert_allclose(layer(images, means), expected, rtol=1e-5)


def test_an_image_is_the_sum_of_its_pixels_and_far_means_stay_finite():
    layer = DiscretizedLogistic()
    rng = np.random.default_rng(0)
    images, means = rng.uniform(-1, 1, (2, 3, 4, 2, 2)).astype("float32")
    whole = np.asarray(layer(images, means))
    single = build(-2.3)
    parts = [
        np.asarray(
            single(images[i, r, c, ch].reshape(1, 1, 1, 1), means[i, r, c, ch].reshape(1, 1, 1, 1))
        )
        for i, r, c, ch in np.ndindex(3, 4, 2, 2)
    ]
    np.testing.assert_allclose(whole, np.reshape(parts, (3, -1)).sum(axis=1), rtol=1e-5)
    assert np.isfinite(layer(images, 100 * np.ones_like(images))).all()
