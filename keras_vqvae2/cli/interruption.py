"""Ctrl-C and SIGTERM: at once where nothing is lost, after the step in a training."""

import contextlib
import signal
import threading

# Of programs that a signal ended, as a shell reports them.
STATUS = 128

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_received: list[int] = []
_deferred: list[bool] = []


@contextlib.contextmanager
def handled():
    """Meanwhile SIGINT and SIGTERM raise a `KeyboardInterrupt`; a second one ends the process.

    Example:

    ```python
    with handled():
        train_vqvae(config)
    ```
    """
    _received.clear()
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets no other thread handle signals
        return
    before = {number: signal.signal(number, _receive) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _receive(number, frame):
    _received.append(number)
    # By the system: Python's handlers wait for the end of a step, however long that is.
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    if not _deferred:
        raise KeyboardInterrupt


@contextlib.contextmanager
def after_the_step(workers):
    """Meanwhile a first signal is only noted; the training asks for it when its state is whole.

    Of several processes each ends at once: none knows how far the others have come.

    Args:
        workers: `processes.Workers`.

    Yields:
        A function without arguments: whether a signal came.

    Example:

    ```python
    with after_the_step(workers) as interrupted:
        fit_resumable(model, data, folder, epochs=9, interrupted=interrupted)
    ```
    """
    if workers.count > 1:
        yield lambda: False
        return
    _deferred.append(True)
    try:
        yield lambda: bool(_received)
    finally:
        _deferred.pop()


def status():
    """Return the exit status of the signal that came, 130 without one."""
    return STATUS + (_received[0] if _received else signal.SIGINT)
