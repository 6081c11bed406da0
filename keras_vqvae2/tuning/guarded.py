"""What the search spaces of both stages share: building, ceilings, and trials that fail alone."""

import abc
import math

import keras
import keras_tuner

from keras_vqvae2 import checks
from keras_vqvae2.evaluation.cost import training_bytes


class GuardedHyperModel(keras_tuner.HyperModel, abc.ABC):
    """A search space whose trials fail alone, each with its reason.

    A subclass says what is searched: `architecture(hp)` gives arguments of the model,
    `training(hp)` choices of its training. `build` makes and compiles the model; `fit` refuses it
    if it is over a ceiling, trains it, and fails the trial if a log is not finite after an epoch.

    A part of the space is narrowed without a subclass by KerasTuner's own `hyperparameters`
    argument, see `make_tuner`.

    Args:
        max_parameters: of a model, those of the codebooks among them; None for no ceiling.
        max_memory: MiB that a train step may take by `info.training_bytes`; None for no ceiling.
        seed: integer that each trial's weights and order of the data start from, whichever process
            runs it; None for another result at each run.
        **kwargs: `name` and `tunable` of `keras_tuner.HyperModel`.

    Raises:
        ValueError: if a ceiling is not positive.
    """

    def __init__(self, *, max_parameters=None, max_memory=None, seed=None, **kwargs):
        for name, value in (("max_parameters", max_parameters), ("max_memory", max_memory)):
            if value is not None:
                checks.number(name, value, "be positive", lambda x: x > 0)
        super().__init__(**kwargs)
        self.max_parameters = max_parameters
        self.max_memory = max_memory
        self.seed = seed
        self.execution = 0  # of a trial that trains several times: which one this is

    @property
    def execution_seed(self):
        """The seed of this execution of a trial; None without a seed."""
        return None if self.seed is None else self.seed + self.execution

    @property
    @abc.abstractmethod
    def objectives(self):
        """What a search may look at: its name in the logs, and whether "min" or "max" is better.

        The first is the default.
        """

    def objective(self, name=None):
        """Return an objective for a tuner, with its direction.

        Args:
            name: one of `objectives`; None for the first.

        Returns:
            `keras_tuner.Objective`.

        Raises:
            ValueError: if the name is not known.
        """
        if name is None:
            name = next(iter(self.objectives))
        checks.one_of("objective", name, self.objectives)
        return keras_tuner.Objective(name, self.objectives[name])

    @abc.abstractmethod
    def architecture(self, hp):
        """Return the searched arguments of the model.

        Args:
            hp: `keras_tuner.HyperParameters`.

        Returns:
            Dictionary from an argument's name to its value.
        """

    @abc.abstractmethod
    def training(self, hp):
        """Return the searched choices of the training.

        Args:
            hp: `keras_tuner.HyperParameters`.

        Returns:
            Dictionary with `"batch_size"`, and what else `datasets` takes.
        """

    @abc.abstractmethod
    def make_model(self, architecture):
        """Return the model of a dictionary of arguments, not compiled."""

    @abc.abstractmethod
    def datasets(self, data, validation_data, training):
        """Return what the model is fitted to and validated on, under the choices of `training`."""

    def measures(self, model, logs):
        """Return further logs of an epoch, for objectives that the model does not log itself.

        Args:
            model: the model in training.
            logs: dictionary of the epoch.

        Returns:
            Dictionary from a name to a float.
        """
        return {}

    def check_result(self, model, epochs, logs):
        """Raise a `keras_tuner.errors.FailedTrialError` if a trained model is of no use.

        Args:
            model: the trained model.
            epochs: that it has trained in all.
            logs: dictionary of its last epoch.
        """

    def _compile(self, hp, model):
        model.compile(keras.optimizers.Adam(hp.Float("learning_rate", 3e-4, 3e-3, sampling="log")))

    def declare_hyperparameters(self, hp):
        """Declare the whole space without a model of it: a tuner asks for this before any trial.

        Args:
            hp: `keras_tuner.HyperParameters`.
        """
        self.architecture(hp)
        self.training(hp)
        # Whatever the model: what is searched here is how it is trained.
        self._compile(hp, keras.Sequential())

    def build(self, hp):
        """Build and compile the model of a trial.

        Args:
            hp: `keras_tuner.HyperParameters`.

        Returns:
            A compiled model.
        """
        if self.seed is not None:
            keras.utils.set_random_seed(self.execution_seed)
        model = self.make_model(self.architecture(hp))
        self._compile(hp, model)
        # A checkpoint is loaded into what exists: a promoted trial goes on with its optimizer.
        model.optimizer.build(model.trainable_variables)
        return model

    def fit(self, hp, model, data, validation_data, callbacks=(), **kwargs):
        """Train the model of a trial.

        Args:
            hp: `keras_tuner.HyperParameters` of the trial.
            model: from `build`.
            data: what `datasets` takes.
            validation_data: what `datasets` takes.
            callbacks: Keras callbacks, those of the tuner.
            **kwargs: of `model.fit`, such as `epochs`.

        Returns:
            `keras.callbacks.History`.

        Raises:
            keras_tuner.errors.FailedTrialError: if the model is over a ceiling, or its training
                diverges or is of no use. The tuner reports it and goes on with the next trial.
        """
        training = self.training(hp)
        self._check_ceilings(model, training["batch_size"])
        data, validation_data = self.datasets(data, validation_data, training)
        if not isinstance(data, keras.utils.PyDataset):
            kwargs["batch_size"] = training["batch_size"]
        # First: the tuner's own callbacks look for the objective in the logs.
        callbacks = [_EpochGuard(self.measures), *callbacks]
        history = model.fit(data, validation_data=validation_data, callbacks=callbacks, **kwargs)
        logs = {name: values[-1] for name, values in history.history.items()}
        self.check_result(model, history.epoch[-1] + 1, logs)
        return history

    def check_search(self, data, validation_data, args, kwargs):
        """Raise a ValueError for arguments of a search that would let every trial fail.

        Args:
            data: the first argument of `search`.
            validation_data: of `search`.
            args: further arguments of `search` by position.
            kwargs: further arguments of `search` by name.
        """
        if args or (refused := {"y", "validation_split", "batch_size"} & set(kwargs)):
            received = f"{len(args)} more arguments" if args else ", ".join(sorted(refused))
            raise ValueError(
                "`search` takes its data as one argument, labels with it, and `validation_data`; "
                f"a batch is searched or the data's own. Received: {received}"
            )
        if validation_data is None:
            raise ValueError(
                "`validation_data` must be given: objectives look at it. "
                "Received: validation_data=None"
            )
        hp = keras_tuner.HyperParameters()
        training = self.training(hp)
        try:
            model = self.make_model(self.architecture(hp))
        except ValueError:
            return  # The first values of a space may be impossible: they fail their own trial.
        for name, batches in zip(
            ("data", "validation_data"),
            self.datasets(data, validation_data, training),
            strict=True,
        ):
            model.check_first_batch(name, batches)

    def _check_ceilings(self, model, batch_size):
        count = model.count_params()
        if self.max_parameters is not None and count > self.max_parameters:
            raise keras_tuner.errors.FailedTrialError(
                f"Refused: {count:,} parameters, over the ceiling of {self.max_parameters:,}."
            )
        size = training_bytes(model, batch_size) / 2**20
        if self.max_memory is not None and size > self.max_memory:
            raise keras_tuner.errors.FailedTrialError(
                f"Refused: about {size:,.1f} MiB to train in batches of {batch_size}, "
                f"over the ceiling of {self.max_memory:,.1f} MiB."
            )


class _EpochGuard(keras.callbacks.Callback):
    """Ends a trial whose logs are not finite, and completes the logs of the others."""

    def __init__(self, measures):
        super().__init__()
        self.measures = measures

    def on_epoch_end(self, epoch, logs=None):
        if wrong := [name for name, value in logs.items() if not math.isfinite(value)]:
            raise keras_tuner.errors.FailedTrialError(
                f"Diverged: {', '.join(wrong)} not finite after epoch {epoch + 1}."
            )
        logs.update(self.measures(self.model, logs))
