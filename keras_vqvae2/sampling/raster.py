"""The one loop of autoregressive sampling: position by position, row by row."""

from keras import ops


def raster_scan(next_logits, draw, codes, cache, known=None, unroll_rows=False):
    """Fill a grid of codes in raster order.

    Args:
        next_logits: callable `(codes, cache, index) -> (logits, cache)`. `codes` `[B, H, W]` holds
            the codes drawn so far, `index` is `(row, column)`; logits are `[B, K]`.
        draw: callable `(logits, position) -> codes [B]` int32, with `position` counted in raster
            order.
        codes: int32 tensor `[B, H, W]` to start from; where `known` is true its values stay.
        cache: nest of tensors whose shapes do not change from row to row; `()` if there is none.
        known: bool tensor `[B, H, W]`, or None if no code is known.
        unroll_rows: whether the columns of a row are unrolled in the graph; `column` is then a
            Python integer, and the loop is over rows.

    Returns:
        int32 tensor `[B, H, W]`.
    """
    _, height, width = codes.shape
    # Flat, so that one comparison finds a position.
    positions = ops.reshape(ops.arange(height * width, dtype="int32"), (1, -1))
    flat_known = None if known is None else ops.reshape(known, (-1, height * width))
    columns = range(width) if unroll_rows else None

    def place(flat, drawn, position):
        here = positions == position
        if flat_known is not None:
            here = ops.logical_and(here, ops.logical_not(flat_known))
        return ops.where(here, drawn[:, None], flat)

    def visit(flat, cache, row, column):
        position = row * width + column
        logits, cache = next_logits(ops.reshape(flat, (-1, height, width)), cache, (row, column))
        return place(flat, draw(logits, position), position), cache

    def body(step, flat, cache):
        if columns is None:
            flat, cache = visit(flat, cache, step // width, step % width)
        else:
            for column in columns:
                flat, cache = visit(flat, cache, step, column)
        return step + 1, flat, cache

    steps = height * width if columns is None else height
    flat = ops.reshape(codes, (-1, height * width))
    _, flat, _ = ops.while_loop(
        lambda step, *_: step < steps, body, (ops.zeros((), dtype="int32"), flat, cache)
    )
    return ops.reshape(flat, (-1, height, width))
