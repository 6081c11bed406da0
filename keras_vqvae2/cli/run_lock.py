"""One process at a time writes into a run folder."""

import contextlib
import json
import os
import socket

import click
from filelock import FileLock, Timeout

LOCK_FILE = "run.lock"
HOLDER_FILE = "run.lock.json"


@contextlib.contextmanager
def locked(config, workers):
    """Keep a run folder from other processes meanwhile; the lock ends with its process.

    Args:
        config: `Config`.
        workers: `processes.Workers`, which share the lock: the chief has it.

    Yields:
        `workers`.

    Raises:
        ValueError: if another process has the lock; it names that process.

    Example:

    ```python
    with locked(config, share(None)) as workers:
        train_vqvae(config, workers)
    ```
    """
    if not workers.is_chief:
        yield workers
        return
    folder = config.run_dir
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / HOLDER_FILE
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"{folder} is in use by {_name(holder)}. Wait for its end, or take another run "
            "directory."
        ) from None
    try:
        # Beside the lock, which is emptied by each process that asks for it.
        command = click.get_current_context(silent=True)
        name = command.info_name if command else "a script"
        holder.write_text(json.dumps([os.getpid(), socket.gethostname(), name]))
        yield workers
    finally:
        # While it is held: who locks a file that is gone by then tries again.
        for name in (HOLDER_FILE, LOCK_FILE):
            (folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            for each in made:  # unless something came of it
                each.rmdir()
        lock.release()


def _name(holder):
    try:
        pid, host, command = json.loads(holder.read_text())
    except (OSError, ValueError):  # it has only just begun
        return "another process"
    return f"process {pid} on {host} ({command})"
