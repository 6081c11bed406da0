"""A `fit` that may be killed at any time and taken up again, with the same result."""

import functools
import json
import os
from pathlib import Path

import keras
import numpy as np

from keras_vqvae2.distribution.processes import Workers, peers


def fit_resumable(
    model,
    data,
    directory,
    *,
    epochs,
    validation_data=None,
    monitor=None,
    patience=None,
    callbacks=(),
    workers=None,
):
    """Train up to a number of epochs, going on from where an earlier call stopped.

    After each epoch the state and the logs are kept in `directory`. With `monitor` the model ends
    with the state of its best epoch. Keras's `BackupAndRestore` and `EarlyStopping` almost do this,
    but the one leaves out random generators, and the other forgets its best epoch in a restart.

    Args:
        model: a compiled model of this package, built the same way each time.
        data: `ImageBatches` or `CodeBatches`, whose order depends on the epoch alone.
        directory: folder of the checkpoints and of `history.json`, the logs of each epoch.
        epochs: epochs in all, those of earlier calls included.
        validation_data: data for `fit` to evaluate after each epoch.
        monitor: name in the logs of what is to become small.
        patience: epochs without a smaller `monitor` that end the training.
        callbacks: further Keras callbacks.
        workers: `workers.Workers` of several processes, which all see `directory`; the chief
            writes to it. None for one process.

    Returns:
        A list of dicts: the logs of every epoch so far.

    Raises:
        ValueError: if another of several processes has ended.

    Example:

    ```python
    fit_resumable(priors, codes, "runs/emoji32/prior", epochs=60, validation_data=validation_codes,
                  monitor="val_bits_per_code", patience=5)
    ```
    """
    workers = workers or Workers()
    checkpoints = _Checkpoints(Path(directory), monitor, patience, workers.is_chief)
    with workers.scope():
        done = checkpoints.restore(model)
    with peers(workers):
        # The chief writes what all have read.
        workers.wait()
        if done < epochs and not checkpoints.stale:
            model.fit(
                data,
                epochs=epochs,
                initial_epoch=done,
                validation_data=validation_data,
                callbacks=[*callbacks, checkpoints],
                verbose=0,
            )
        workers.wait()
    if monitor is not None:
        load_state(model, checkpoints.best_file)
    return checkpoints.history


class _Checkpoints(keras.callbacks.Callback):
    """Keeps the last and the best state; `history.json` says which epoch the last one is of."""

    def __init__(self, directory, monitor, patience, writes):
        super().__init__()
        self.writes = writes
        self.directory = directory
        self.monitor = monitor
        self.patience = patience
        self.history_file = directory / "history.json"
        self.best_file = directory / "best.npz"
        self.history = []

    @property
    def best_epoch(self):
        """Index of the first epoch with the smallest monitored value."""
        values = [logs[self.monitor] for logs in self.history]
        return values.index(min(values))

    @property
    def stale(self):
        """Whether the best epoch lies so far back that training is to end."""
        if self.patience is None or not self.history:
            return False
        return len(self.history) - 1 - self.best_epoch >= self.patience

    def restore(self, model):
        """Load the last state, if there is one; return how many epochs it has seen."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.history_file.exists():
            self.history = json.loads(self.history_file.read_text())
            model.optimizer.build(model.trainable_variables)
            load_state(model, self._state_file(len(self.history)))
        return len(self.history)

    def on_epoch_end(self, epoch, logs=None):
        self.history.append({name: float(value) for name, value in (logs or {}).items()})
        if self.writes:
            self._save(epoch)
        if self.stale:
            self.model.stop_training = True

    def _save(self, epoch):
        if self.monitor is not None and self.best_epoch == epoch:
            _write(self.best_file, functools.partial(save_state, self.model))
        _write(self._state_file(epoch + 1), functools.partial(save_state, self.model))
        # The one step that counts: killed before it, the epoch has not been; after it, it has.
        _write(self.history_file, lambda file: file.write_text(json.dumps(self.history, indent=1)))
        self._state_file(epoch).unlink(missing_ok=True)

    def _state_file(self, epochs):
        return self.directory / f"epoch_{epochs:04d}.npz"


def save_state(model, file):
    """Save all variables of a model and its optimizer, those of random generators among them.

    `model.save_weights` leaves out the random generators: a training that goes on from its file
    draws other dropout masks and other restarts of codes than one that was never stopped.

    Args:
        model: a compiled, built Keras model.
        file: path to write, ending in `.npz`.
    """
    np.savez(file, *[keras.ops.convert_to_numpy(v) for v in _variables(model)])


def load_state(model, file):
    """Load what `save_state` saved into a model that was built and compiled the same way.

    Args:
        model: a compiled, built Keras model.
        file: path to read.
    """
    with np.load(file) as arrays:
        for variable, name in zip(_variables(model), arrays.files, strict=True):
            variable.assign(arrays[name])


def _variables(model):
    return model.trainable_variables + model.non_trainable_variables + model.optimizer.variables


def _write(path, write):
    """Write a file beside its place and move it there, so that it is whole or is not there."""
    temporary = path.with_name(f"writing_{path.name}")
    write(temporary)
    os.replace(temporary, path)
