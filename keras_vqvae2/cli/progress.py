"""How the program shows long work: a bar while it runs, a line for each epoch."""

import contextlib
import functools
import time


@functools.cache
def console():
    """Return the console that all commands write to, a `rich.console.Console`."""
    from rich.console import Console

    return Console(highlight=False)


def tell(config, wrote, *commands):
    """Say what a command has written into a run's folder, and what can be done with it.

    Args:
        config: `Config`.
        wrote: path of the file or folder.
        *commands: of the program, with their words, that take it from there.
    """
    lines = [f"wrote {wrote}"]
    lines += [f"next: keras-vqvae2 {words} --run-dir {config.run_dir}" for words in commands]
    console().print("\n".join(lines), markup=False, soft_wrap=True)  # to be copied whole


def _bar():
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console(),
        transient=True,
        disable=not console().is_terminal,  # In a log file a bar would be a blank line.
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


def epoch_progress(shown):
    """Return a callback that shows a bar over the steps of each epoch, then a line of its metrics.

    Args:
        shown: dict from a name in the logs to a function that puts its value in words. Names that
            the logs do not have are left out.

    Returns:
        `keras.callbacks.Callback`.

    Example:

    ```python
    model.fit(data, verbose=0, callbacks=[epoch_progress({"loss": "loss {:.4f}".format})])
    ```
    """
    import keras

    class EpochProgress(keras.callbacks.Callback):
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
            words = [say(logs[name]) for name, say in shown.items() if name in (logs or {})]
            if skipped := (logs or {}).get("skipped"):
                words.append(f"[red]{skipped:.0f} steps skipped: not finite[/red]")
            words.append(f"{time.monotonic() - self._start:.1f} s")
            # One line in a log too, where 80 columns are all that rich takes for granted.
            console().print("  ".join([self._title, *words]), soft_wrap=True)

    return EpochProgress()
