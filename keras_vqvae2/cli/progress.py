"""How the command line shows long work: a bar while it runs, a line for each epoch."""

import contextlib
import time

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console(highlight=False)


def _bar():
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,  # In a log file a bar would be a blank line.
    )


@contextlib.contextmanager
def progress(description):
    """Show a bar for a piece of work.

    Args:
        description: what is being done.

    Yields:
        A function of `(done, total)` that moves the bar.

    Example:

    ```python
    with progress("Generating") as update:
        generator.generate(64, callback=update)
    ```
    """
    with _bar() as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class EpochProgress(keras.callbacks.Callback):
    """A bar over the steps of each epoch, and a line of its metrics at its end.

    Args:
        shown: dict from a name in the logs to a function that puts its value in words. Names that
            the logs do not have are left out.

    Example:

    ```python
    model.fit(data, verbose=0, callbacks=[EpochProgress({"loss": "loss {:.4f}".format})])
    ```
    """

    def __init__(self, shown):
        super().__init__()
        self.shown = shown

    def on_epoch_begin(self, epoch, logs=None):
        self._title = f"epoch {epoch + 1:3d}/{self.params['epochs']}"
        self._start = time.monotonic()
        self._bar = _bar()
        self._task = self._bar.add_task(self._title, total=self.params["steps"])
        self._bar.start()

    def on_train_batch_end(self, batch, logs=None):
        self._bar.update(self._task, completed=batch + 1)

    def on_epoch_end(self, epoch, logs=None):
        self._bar.stop()
        words = [say(logs[name]) for name, say in self.shown.items() if name in (logs or {})]
        words.append(f"{time.monotonic() - self._start:.1f} s")
        console.print("  ".join([self._title, *words]))
