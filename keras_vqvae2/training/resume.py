"""A `fit` that may be killed at any time and taken up again, with the same result."""

import contextlib

import keras

from keras_vqvae2 import files
from keras_vqvae2.distribution.processes import Workers, peers
from keras_vqvae2.training.checkpoints import (
    CheckpointFolder,
    Position,
    callback_state,
    generator_state,
    load_state,
    save_state,
    set_generator_state,
)


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
    checkpoint_steps=None,
    interrupted=None,
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
        checkpoint_steps: steps of an epoch from one checkpoint to the next; None for one an epoch.
        interrupted: see `Checkpoints`.

    Returns:
        A list of dicts: the logs of every epoch so far.

    Raises:
        ValueError: if another of several processes has ended, no checkpoint is intact, or
            `checkpoint_steps` is given to several processes of `tf.distribute`.
        KeyboardInterrupt: as `interrupted` asked for it, when the state is saved.

    Example:

    ```python
    fit_resumable(priors, codes, "runs/emoji32/prior", epochs=60, validation_data=validation_codes,
                  monitor="val_bits_per_code", patience=5)
    ```
    """
    workers = workers or Workers()
    if checkpoint_steps is not None and workers.strategy is not None and workers.count > 1:
        raise ValueError(
            "`checkpoint_steps` must be left out on several processes of `tf.distribute`, which go "
            f"on after the last whole epoch. Received: checkpoint_steps={checkpoint_steps}"
        )
    checkpoints = _BestCheckpoints(
        directory,
        monitor,
        patience,
        steps=checkpoint_steps,
        writes=workers.is_chief,
        interrupted=interrupted,
    )
    position = checkpoints.find()
    with peers(workers):
        # The chief writes what all have read.
        workers.wait()
        if position.epochs < epochs and not checkpoints.stale:
            model.fit(
                data,
                epochs=epochs,
                validation_data=validation_data,
                callbacks=[*callbacks, checkpoints],
                verbose=0,
            )
        else:
            checkpoints.set_model(model)
            checkpoints.restore()
        workers.wait()
    if monitor is not None:
        checkpoints.restore_best(model)
    return checkpoints.history


class Checkpoints(keras.callbacks.Callback):
    """Lets a `fit` be killed at any time: the same call goes on, to the same last bit.

    Each checkpoint holds the weights, the state of moving averages and random generators, the
    optimizer, the metrics of the epoch so far, the logs of all epochs, and the state of further
    callbacks. It is written whole or not at all, with a checksum; the last two are kept, and if the
    newest is damaged, a warning says so and the one before it serves.

    A `fit` that is called again takes the batches of the epoch that were learned already from the
    data once more and passes over them; the first is learned to build what is missing, and then all
    state is replaced. So the data must give an epoch the same batches each time, by the epoch's
    number: `ImageBatches` and `CodeBatches` do, and what is not shuffled does.

    Give it last among the callbacks, of which those before it have then seen what it saves. The
    `epochs` of `fit` count those of earlier calls.

    Args:
        directory: folder of the checkpoints, one for each training.
        steps: steps of an epoch from one checkpoint to the next, beside those at the epochs' ends.
            None for these alone, which on several processes of `tf.distribute` is a must: a metric
            lies in parts there.
        callbacks: those of the same `fit` whose state is kept too: their attributes that are plain
            values or arrays, as the best weights of `keras.callbacks.EarlyStopping` are.
        writes: whether this process writes; of several that train one model, one.
        interrupted: function without arguments, asked after each step and each epoch. Once it is
            true, the state is saved and a `KeyboardInterrupt` ends `fit`.

    Attributes:
        history: the logs of all epochs, those of earlier calls too, a list of dicts.

    Raises:
        ValueError: if `steps` is below 1; in `fit` if no checkpoint of the folder is intact, or
            they are of another model or other data.

    Example:

    ```python
    stop = keras.callbacks.EarlyStopping("val_loss", patience=3, restore_best_weights=True)
    checkpoints = Checkpoints("checkpoints", steps=100, callbacks=[stop])
    vqvae.fit(batches, validation_data=validation, epochs=50, callbacks=[stop, checkpoints])
    ```
    """

    def __init__(self, directory, steps=None, callbacks=(), *, writes=True, interrupted=None):
        super().__init__()
        if steps is not None and steps < 1:
            raise ValueError(f"`steps` must be at least 1, or None. Received: steps={steps}")
        self.folder = CheckpointFolder(directory)
        self.steps = steps
        self.callbacks = list(callbacks)
        self.writes = writes
        self.interrupted = interrupted or (lambda: False)
        self.history = []
        self._found = None
        self._position = Position(0)
        self._waiting = False  # for the step that the checkpoint was taken after

    def find(self):
        """Read the newest intact checkpoint, but for the variables.

        Returns:
            Its `Position`; the beginning if there is none.

        Raises:
            ValueError: if there are some, and none is intact.
        """
        self._position, self._found = self.folder.newest() or (Position(0), None)
        self.history = list(self._found["history"]) if self._found else []
        return self._position

    def restore(self):
        """Give model, callbacks and random generators the state of the checkpoint of `find`."""
        if self._found is None:
            return
        model = self.model
        with _scope(model):
            if not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
            self.folder.load(self._position, model)
        for callback, state in zip(self.callbacks, self._found.get("callbacks", ()), strict=False):
            vars(callback).update(state)
        if "generators" in self._found:
            set_generator_state(self._found["generators"])
        if self.writes:
            self.folder.save_history(self.history)

    def on_train_begin(self, logs=None):
        epochs, steps = self.find()
        self._waiting = steps > 0
        if self._found is None:
            return
        # As Keras's own `BackupAndRestore` begins later.
        self._model._initial_epoch = self.params["epochs"] if self._stopped else epochs
        if not self._waiting:
            self.restore()

    @property
    def _stopped(self):
        return self._found.get("stopped", False)

    def on_epoch_begin(self, epoch, logs=None):
        self._model._initial_epoch = None  # a later `fit` begins where it is told
        if self._waiting:
            self._model.train_function = _pass_over(self._model, self._position.steps)
        else:
            self._position = Position(epoch)

    def on_train_batch_end(self, batch, logs=None):
        if self._waiting:
            self._wait(batch + 1)
            return
        before, self._position = self._position, self._position._replace(steps=batch + 1)
        stop = self.interrupted()
        if stop or (self.steps and before.steps // self.steps < (batch + 1) // self.steps):
            self._save()
        if stop:
            raise KeyboardInterrupt

    def _wait(self, steps):
        """Take up the training once the batches that it has learned are passed over."""
        if steps < self._position.steps:
            return
        if steps > self._position.steps:
            raise ValueError(
                "`steps_per_execution` must divide the steps of the checkpoint. Received: "
                f"{self._position.steps} steps in {self.folder.directory}"
            )
        self._waiting = False
        self._model.train_function = self._model.train_function.original
        self.restore()

    def on_epoch_end(self, epoch, logs=None):
        if self._waiting:
            raise ValueError(
                f"The data must be that of the training in {self.folder.directory}, which has "
                f"taken {self._position.steps} steps of an epoch. Received: an epoch of fewer"
            )
        self.history.append({name: float(value) for name, value in (logs or {}).items()})
        self._position = Position(epoch + 1)
        self._save()
        if self.writes:
            self.folder.save_history(self.history)
        if self.interrupted():
            raise KeyboardInterrupt

    def on_train_end(self, logs=None):
        self._model._initial_epoch = None

    def _save(self):
        if not self.writes:
            return
        content = {
            "history": self.history,
            "stopped": bool(self._model.stop_training),
            "callbacks": [callback_state(callback) for callback in self.callbacks],
            "generators": generator_state(),
        }
        # On JAX this asks for the state of the steps, which is not in the variables meanwhile.
        self.folder.save(self._position, self.model, content)


class _BestCheckpoints(Checkpoints):
    """Keeps the state of the best epoch too, and stops when that lies too far back."""

    def __init__(self, directory, monitor, patience, **options):
        super().__init__(directory, **options)
        self.monitor = monitor
        self.patience = patience
        self.best_file = self.folder.directory / "best.npz"

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

    def restore_best(self, model):
        """Give the model the state of its best epoch.

        Args:
            model: the model that was trained.

        Raises:
            ValueError: if that state is damaged or missing.
        """
        try:
            load_state(model, self.best_file)
        except (files.DamagedFileError, FileNotFoundError) as error:
            found = "missing" if isinstance(error, OSError) else "damaged"
            raise ValueError(
                f"{self.best_file} is {found}, the "
                f"state of the best epoch. Remove {self.folder.directory} to train anew."
            ) from error

    @property
    def _stopped(self):
        return False  # by its patience alone, which another call may change

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        if self.stale:
            self._model.stop_training = True

    def _save(self):
        epochs, steps = self._position
        ranked = self.writes and self.monitor is not None and steps == 0
        if ranked and self.best_epoch == epochs - 1:
            self.folder.directory.mkdir(parents=True, exist_ok=True)
            save_state(self.model, self.best_file)
        super()._save()


def _pass_over(model, steps):
    """A train function that learns one batch, to build all state, and passes over the others."""
    # What an earlier `fit` was interrupted in may still be there.
    original = getattr(model.train_function, "original", model.train_function)
    size = model.steps_per_execution
    left = steps
    first = None

    def pass_over(*arguments):  # an iterator, after a state on JAX; on PyTorch a batch
        nonlocal first, left
        *state, data = arguments
        left -= size
        if first is None or left < 0:
            result = original(*arguments)
            first = result[0] if state else result  # the logs
            return result
        if hasattr(data, "__next__"):
            for _ in range(size):
                next(data, None)
        return (first, *state) if state else first

    pass_over.original = original
    return pass_over


def _scope(model):
    strategy = getattr(model, "distribute_strategy", None)
    return contextlib.nullcontext() if strategy is None else strategy.scope()
