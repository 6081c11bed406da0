"""The one loop of autoregressive sampling: row by row, position by position."""

from keras import ops

from keras_vqvae2.losses import code_nll
from keras_vqvae2.sampling.compiled import empty_row, filled_row, with_column


def raster_scan(
    next_logits, draw, codes, cache, known=None, start_row=None, column_of=None, end_row=None
):
    """Fill a grid of codes in raster order.

    Args:
        next_logits: callable `(codes, cache, index) -> (logits, cache)`. `codes` `[B, H, W]` holds
            the codes drawn so far, `index` is `(row, column)`, scalar tensors; logits are `[B, K]`.
        draw: callable `(logits, position) -> codes [B]` int32, with `position` counted in raster
            order.
        codes: int32 tensor `[B, H, W]` to start from; where `known` is true its values stay.
        cache: nest of tensors whose shapes do not change from row to row; `()` if there is none.
        known: bool tensor `[B, H, W]`, or None if no code is known.
        start_row: callable `(codes, cache, row) -> cache`, of the cache that `next_logits` hands on
            within a row; None for the same.
        column_of: callable `cache -> column`, what the next row needs of a position, of the cache
            after its visit: a nest of tensors `[B, ...]`. It is also called with the cache of
            `start_row`, for their shapes. None for nothing.
        end_row: callable `(cache, columns) -> cache` back, with the columns of the row stacked to
            `[W, B, ...]`; None for the same cache.

    Returns:
        `(codes, log_prob)`: int32 `[B, H, W]`, and the sum over the positions, the known ones too,
        of the log-likelihood of their codes under the logits, float32 `[B]`.
    """
    _, height, width = codes.shape
    # Flat, so that one comparison finds a position.
    positions = ops.reshape(ops.arange(height * width, dtype="int32"), (1, -1))
    flat_known = None if known is None else ops.reshape(known, (-1, height * width))

    def as_grid(flat):
        return ops.reshape(flat, (-1, height, width))

    def visit(row, state):
        column, flat, log_prob, cache, columns = state
        position = row * width + column
        logits, cache = next_logits(as_grid(flat), cache, (row, column))
        code = draw(logits, position)
        if flat_known is not None:
            stays = ops.take(flat_known, position, axis=1)
            code = ops.where(stays, ops.take(flat, position, axis=1), code)
        flat = ops.where(positions == position, code[:, None], flat)
        if column_of is not None:
            columns = with_column(columns, column, column_of(cache))
        return column + 1, flat, log_prob - code_nll(code, logits), cache, columns

    def visit_row(_, state):
        # Counts of our own: PyTorch's are Python numbers, which wait for their way to the device.
        row, flat, log_prob, cache = state
        if start_row is not None:
            cache = start_row(as_grid(flat), cache, row)
        columns = () if column_of is None else empty_row(column_of(cache), width)
        start = (ops.zeros((), "int32"), flat, log_prob, cache, columns)
        state = ops.fori_loop(0, width, lambda _, state: visit(row, state), start)
        _, flat, log_prob, cache, columns = state
        if end_row is not None:
            cache = end_row(cache, filled_row(columns))
        return row + 1, flat, log_prob, cache

    flat = ops.reshape(codes, (-1, height * width))
    start = (ops.zeros((), "int32"), flat, ops.zeros_like(flat[:, 0], "float32"), cache)
    _, flat, log_prob, _ = ops.fori_loop(0, height, visit_row, start)
    return as_grid(flat), log_prob
