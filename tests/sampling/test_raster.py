import keras
import numpy as np
import pytest
from keras import ops

from keras_vqvae2.sampling import raster_scan


def scan(codes, known=None):
    """Each code is 1 + the sum of all codes so far, told by the codes and told by the cache."""

    def next_logits(codes, cache, index):
        row, column = index
        position = ops.cast(row * codes.shape[2] + column, "int32")
        flat = ops.reshape(codes, (-1, codes.shape[1] * codes.shape[2]))
        before = ops.arange(flat.shape[1], dtype="int32")[None] < position
        total = ops.sum(ops.where(before, flat, 0), axis=1)
        count, _ = cache
        # As wide as there are codes, of which the scan takes the likelihood.
        told = ops.cast(ops.stack([total, count], axis=1), "float32")
        return ops.pad(told, ((0, 0), (0, 254))), (count + 1, position)

    def draw(logits, position):
        # The cache counts the visits, the loop the positions.
        told = ops.cast(logits[:, :2], "int32")
        return ops.where(told[:, 1] == position, told[:, 0] + 1, 0)

    codes = ops.convert_to_tensor(codes, dtype="int32")
    cache = (ops.zeros(codes.shape[:1], "int32"), ops.zeros((), "int32"))
    return np.asarray(raster_scan(next_logits, draw, codes, cache, known)[0])


def slow_scan(codes, known):
    codes = np.array(codes)
    for index in np.ndindex(*codes.shape):
        if not known[index]:
            flat = codes[index[0]].ravel()
            codes[index] = 1 + flat[: index[1] * codes.shape[2] + index[2]].sum()
    return codes


@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (3, 2), (1, 4)])
def test_positions_are_visited_in_raster_order(grid):
    codes = np.zeros((2, *grid), int)
    expected = slow_scan(codes, np.zeros(codes.shape, bool))
    np.testing.assert_array_equal(scan(codes), expected)


def test_known_codes_stay_and_are_seen():
    rng = np.random.default_rng(0)
    codes, known = rng.integers(0, 5, (3, 2, 3)), rng.random((3, 2, 3)) < 0.5
    expected = slow_scan(codes, known)
    assert (expected[known] == codes[known]).all()
    np.testing.assert_array_equal(scan(codes, known), expected)


def test_the_log_likelihood_is_of_all_codes_known_or_drawn():
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2.0, size=(2, 3, 4)).astype("float32")  # a row of the grid each
    known = rng.random((5, 2, 3)) < 0.5
    codes, log_prob = raster_scan(
        lambda codes, cache, index: (
            ops.broadcast_to(
                ops.take(ops.reshape(logits, (6, 4)), [index[0] * 3 + index[1]], 0), (5, 4)
            ),
            cache,
        ),
        lambda logits, position: ops.broadcast_to(position % 4, (5,)),
        ops.convert_to_tensor(rng.integers(0, 4, (5, 2, 3)), dtype="int32"),
        (),
        known,
    )
    log_softmax = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    chosen = np.take_along_axis(log_softmax[None], np.asarray(codes)[..., None], axis=-1)
    np.testing.assert_allclose(log_prob, chosen.sum(axis=(1, 2, 3)), rtol=1e-5)


def test_a_row_begins_with_what_stands_above_it_and_ends_with_what_the_next_begins_with():
    """Each code is 1 + the sum of the rows above, which only the row's own cache tells."""
    counts = ops.zeros((2,), "int32")

    def start_row(codes, cache, row):
        above = ops.arange(3, dtype="int32")[:, None] < row
        total = ops.sum(ops.where(above, codes, 0), axis=(1, 2))
        return {"rows": cache, "total": total, "column": counts}

    def next_logits(codes, cache, index):
        told = ops.stack([cache["total"], cache["rows"]], axis=1)
        logits = ops.cast(ops.pad(told, ((0, 0), (0, 62))), "float32")
        return logits, {**cache, "column": counts + index[1]}

    def draw(logits, position):
        told = ops.cast(logits[:, :2], "int32")
        return ops.where(told[:, 1] == position // 2, told[:, 0] + 1, 0)

    codes, _ = raster_scan(
        next_logits,
        draw,
        ops.zeros((2, 3, 2), "int32"),
        counts,
        start_row=start_row,
        column_of=lambda cache: {"of": (cache["column"], ())},
        # Columns 0 and 1 of both examples: 1 is their sum.
        end_row=lambda cache, columns: cache["rows"] + ops.sum(columns["of"][0], axis=0),
    )
    np.testing.assert_array_equal(codes, [[[1, 1], [3, 3], [9, 9]]] * 2)


def test_codes_stay_int32():
    result, _ = raster_scan(
        lambda codes, cache, index: (ops.zeros((2, 4)), cache),
        lambda logits, position: ops.zeros((2,), "int32"),
        ops.zeros((2, 2, 2), "int32"),
        (),
    )
    assert keras.backend.standardize_dtype(result.dtype) == "int32"
