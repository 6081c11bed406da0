import math

import numpy as np
import pytest

from keras_vqvae2.evaluation.report import LevelUsage, level_usage


class Codes:
    """Batches of codes of two levels, in memory."""

    num_embeddings = (4, 8)

    class manifest:
        level_names = ("top", "bottom")
        code_shapes = ((1, 2), (2, 2))
        num_embeddings = (4, 8)

    def __init__(self, *batches):
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return (self.batches[index],)


def test_usage_is_counted_over_all_batches():
    first = np.array([[[0, 1]]], np.int32), np.zeros((1, 2, 2), np.int32)
    second = np.array([[[0, 3]]], np.int32), np.zeros((1, 2, 2), np.int32)
    top, bottom = level_usage(Codes(first, second))
    assert (top.name, top.code_shape, top.num_embeddings) == ("top", (1, 2), 4)
    assert top.usage == 0.75
    # Codes 0, 0, 1, 3: half, a quarter, a quarter.
    assert top.entropy_bits == pytest.approx(1.5)
    assert top.perplexity == pytest.approx(2**1.5)
    assert (bottom.usage, bottom.perplexity) == (1 / 8, pytest.approx(1.0))


@pytest.mark.parametrize(
    ("num_embeddings", "perplexity", "collapsed"),
    [(32, 1.9, True), (32, 2.1, False), (512, 10.0, True), (512, 10.5, False)],
)
def test_a_level_has_collapsed_below_two_codes_or_two_percent(
    num_embeddings, perplexity, collapsed
):
    level = LevelUsage("top", (4, 4), num_embeddings, usage=1.0, perplexity=perplexity)
    assert level.collapsed is collapsed
    assert level.entropy_bits == math.log2(perplexity)
