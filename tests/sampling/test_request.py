import numpy as np
import pytest

from keras_vqvae2.sampling import request_noise, sample_request


def test_a_request_has_one_entry_an_image():
    request = sample_request(3, seed=2**32 + 7, temperature=0.5, top_k=4, top_p=0.9)
    np.testing.assert_array_equal(request["seed"], [[7, 7, 7], [1, 1, 1]])
    np.testing.assert_array_equal(request["index"], [0, 1, 2])
    np.testing.assert_array_equal(request["options"]["temperature"], np.float32([0.5] * 3))
    np.testing.assert_array_equal(request["options"]["top_k"], [4] * 3)
    np.testing.assert_array_equal(request["options"]["top_p"], np.float32([0.9] * 3))
    assert request["options"]["top_k"].dtype == np.int32


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_options_may_differ_by_image(kind):
    request = sample_request(
        2, seed=0, temperature=kind([1.0, 2.0]), top_k=kind([0, 3]), top_p=kind([0.5, 1.0])
    )
    np.testing.assert_array_equal(request["options"]["temperature"], [1, 2])
    np.testing.assert_array_equal(request["options"]["top_k"], [0, 3])
    np.testing.assert_array_equal(request["options"]["top_p"], [0.5, 1.0])


@pytest.mark.parametrize("off", [None, 0, [0, 0], np.zeros(2, int)], ids=str)
def test_top_k_is_off_for_all(off):
    assert sample_request(2, seed=0, top_k=off)["options"]["top_k"] is None


def test_without_a_seed_each_request_differs():
    first, second = (request_noise(sample_request(2), (3, 3), 0) for _ in range(2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_samples": 0}, "`num_samples` must be .*Received: num_samples=0"),
        ({"num_samples": 2.0}, "`num_samples` must be .*Received: num_samples=2.0"),
        ({"temperature": 0.0}, "`temperature` must be a number positive .*temperature=0.0"),
        ({"temperature": -1}, "Received: temperature=-1"),
        ({"temperature": float("nan")}, "Received: temperature=nan"),
        ({"temperature": float("inf")}, "positive and finite.*Received: temperature=inf"),
        ({"temperature": 1e-50}, "Received: temperature=1e-50"),
        ({"temperature": [1.0, 2.0, 3.0]}, "or 2 of them, one an image"),
        ({"temperature": "hot"}, "Received: temperature='hot'"),
        ({"top_k": -1}, "`top_k` must be an integer at least 0.*Received: top_k=-1"),
        ({"top_k": 2.5}, "Received: top_k=2.5"),
        ({"top_k": [1, -1]}, "Received: top_k="),
        ({"top_p": 0.0}, r"`top_p` must be a number in \(0, 1\].*Received: top_p=0.0"),
        ({"top_p": 1.5}, "Received: top_p=1.5"),
        ({"seed": 0.5}, "`seed` must be an integer. Received: seed=0.5"),
    ],
)
def test_wrong_options_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        sample_request(**{"num_samples": 2, "seed": 0, **kwargs})
