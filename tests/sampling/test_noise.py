import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_vqvae2.sampling.noise import noise_walk, split_seed, threefry, uniform_noise

MASK = 0xFFFFFFFF


def slow_threefry(key, counter):
    """Threefry-2x32 with 20 rounds on Python integers, as the paper's figure 2 has it."""
    keys = (*key, key[0] ^ key[1] ^ 0x1BD11BDA)
    x, y = (counter[0] + keys[0]) & MASK, (counter[1] + keys[1]) & MASK
    for number in range(20):
        rotation = (13, 15, 26, 6, 17, 29, 16, 24)[number % 8]
        x = (x + y) & MASK
        y = ((y << rotation | y >> (32 - rotation)) & MASK) ^ x
        if number % 4 == 3:
            injection = number // 4 + 1
            x = (x + keys[injection % 3]) & MASK
            y = (y + keys[(injection + 1) % 3] + injection) & MASK
    return x, y


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((MASK, MASK), (MASK, MASK), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_the_published_vectors(key, counter, expected):
    """Of the Random123 distribution, `kat_vectors`: threefry2x32 of 20 rounds."""
    words = [ops.convert_to_tensor([word], dtype="uint32") for word in (*key, *counter)]
    result = threefry(words[:2], words[2:])
    assert tuple(int(word[0]) for word in result) == expected
    assert slow_threefry(key, counter) == expected


def noise(seed, indices, shape, stream=0):
    words = tuple(np.full(len(indices), word, "uint32") for word in split_seed(seed))
    return np.asarray(uniform_noise(words, np.asarray(indices, "uint32"), shape, stream))


@pytest.mark.parametrize("seed", [0, 3, -1, 2**40 + 5, 2**64 - 1])
def test_noise_is_the_same_function_on_any_backend(seed):
    """Bit for bit what plain integers give, so the backends agree with each other too."""
    result = noise(seed, [0, 1, 77], (2, 3), stream=2)
    key = (seed & MASK, (seed >> 32) & MASK)
    for row, index in enumerate([0, 1, 77]):
        for position in range(6):
            word, _ = slow_threefry(key, (index, (2 << 24) + position))
            assert result[row].ravel()[position] == (word >> 8) / 2**24
    assert result.dtype == np.float32


def test_noise_is_uniform_in_the_unit_interval():
    sample = noise(0, range(100), (20, 25)).ravel()
    assert sample.min() >= 0
    assert sample.max() < 1
    # 50,000 numbers; a right generator fails one seed in a thousand, and the seed is fixed.
    assert stats.kstest(sample, "uniform").pvalue > 1e-3
    pairs = np.histogram2d(sample[:-1], sample[1:], bins=10)[0]
    assert stats.chisquare(pairs.ravel()).pvalue > 1e-3


def test_a_row_depends_on_seed_index_and_stream_alone():
    whole = noise(3, range(10), (4, 5))
    np.testing.assert_array_equal(noise(3, [7, 2], (4, 5)), whole[[7, 2]])
    others = [noise(4, range(10), (4, 5)), noise(3 + 2**32, range(10), (4, 5))]
    others.append(noise(3, range(10), (4, 5), stream=1))
    for other in others:
        # 200 numbers of 24 bits: one coincidence in 80,000 such comparisons.
        assert not (other == whole).any()
    assert len(np.unique(whole)) == whole.size


@pytest.mark.parametrize(
    ("seed", "words"),
    [(0, (0, 0)), (-1, (MASK, MASK)), (2**32, (0, 1)), (2**64 - 1, (MASK, MASK))],
)
def test_a_seed_has_64_bits(seed, words):
    assert split_seed(seed) == words
    assert split_seed(np.uint8(7)) == (7, 0)


@pytest.mark.parametrize("seed", [1.5, "7", True, None, np.array([1, 2]), [3]])
def test_a_seed_that_is_no_integer_is_named(seed):
    with pytest.raises(ValueError, match="`seed` must be an integer. Received: seed="):
        split_seed(seed)


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1])
def test_a_seed_too_large_is_named(seed):
    with pytest.raises(ValueError, match=f"`seed` must fit in 64 bits. Received: seed={seed}"):
        split_seed(seed)


def test_a_walk_leads_from_one_noise_to_another_and_stays_uniform():
    start, end = [noise(0, range(1), (40, 50))], [noise(1, range(1), (40, 50))]
    (walk,) = noise_walk(start, end, 5)
    assert (walk.shape, walk.dtype) == ((5, 40, 50), np.float32)
    np.testing.assert_array_equal(walk[[0, -1]], np.concatenate([*start, *end]))
    assert walk.min() >= 0
    assert walk.max() < 1
    way = np.diff(walk, axis=0)
    steps = np.minimum(np.abs(way), 1 - np.abs(way))  # around the circle
    assert steps.max() <= 1 / 8 + 1e-6, "half the circle in four steps"
    assert np.ptp(steps, axis=0).max() < 1e-6
    for place in walk:
        # A right walk fails one pair of seeds in two hundred; these are fixed.
        assert stats.kstest(place.ravel(), "uniform").pvalue > 1e-3


def test_a_walk_has_two_ends():
    with pytest.raises(ValueError, match="`steps` must be at least 2. Received: steps=1"):
        noise_walk([np.zeros((1, 1, 1))], [np.zeros((1, 1, 1))], 1)
