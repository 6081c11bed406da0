"""The one loop of autoregressive sampling: position by position, row by row."""

from keras import ops

from keras_vqvae2.losses import code_nll


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
        `(codes, log_prob)`: int32 `[B, H, W]`, and the sum over the positions, the known ones too,
        of the log-likelihood of their codes under the logits, float32 `[B]`.
    """
    _, height, width = codes.shape
    # Flat, so that one comparison finds a position.
    positions = ops.reshape(ops.arange(height * width, dtype="int32"), (1, -1))
    flat_known = None if known is None else ops.reshape(known, (-1, height * width))
    columns = range(width) if unroll_rows else None

    def visit(flat, log_prob, cache, row, column):
        position = row * width + column
        logits, cache = next_logits(ops.reshape(flat, (-1, height, width)), cache, (row, column))
        code = draw(logits, position)
        if flat_known is not None:
            stays = ops.take(flat_known, position, axis=1)
            code = ops.where(stays, ops.take(flat, position, axis=1), code)
        flat = ops.where(positions == position, code[:, None], flat)
        return flat, log_prob - code_nll(code, logits), cache

    def body(_, state):
        # A count of our own: PyTorch's is a Python number, which waits for its way to the device.
        step, flat, log_prob, cache = state
        if columns is None:
            flat, log_prob, cache = visit(flat, log_prob, cache, step // width, step % width)
        else:
            for column in columns:
                flat, log_prob, cache = visit(flat, log_prob, cache, step, column)
        return step + 1, flat, log_prob, cache

    steps = height * width if columns is None else height
    flat = ops.reshape(codes, (-1, height * width))
    start = (ops.zeros((), "int32"), flat, ops.zeros_like(flat[:, 0], "float32"), cache)
    _, flat, log_prob, _ = ops.fori_loop(0, steps, body, start)
    return ops.reshape(flat, (-1, height, width)), log_prob
