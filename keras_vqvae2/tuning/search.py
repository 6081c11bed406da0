"""A search: one of KerasTuner's tuners, which leaves the outcome of each trial on disk."""

import json
import math
import os
import time
import traceback
from pathlib import Path

import keras_tuner

from keras_vqvae2 import checks, files
from keras_vqvae2.tuning.guarded import GuardedHyperModel
from keras_vqvae2.tuning.trials import OUTCOME_FILE, read_trial

# By which Hyperband divides the trials from round to round.
HYPERBAND_FACTOR = 3


def role():
    """Return what KerasTuner's environment variables make of this process.

    Returns:
        `"alone"`, or in a distributed search `"chief"` or `"worker"`.

    Example:

    >>> role()
    'alone'
    """
    if "KERASTUNER_ORACLE_IP" not in os.environ:
        return "alone"
    return "chief" if "chief" in os.environ.get("KERASTUNER_TUNER_ID", "") else "worker"


def make_tuner(
    hypermodel,
    directory,
    *,
    tuner="random",
    objective=None,
    trials=None,
    epochs=10,
    total_epochs=None,
    space=None,
    executions_per_trial=1,
    seed=0,
    report=None,
):
    """Make a tuner that searches the space of a `GuardedHyperModel`.

    It goes on with what is in `directory`. Failed trials do not end the search. Beside KerasTuner's
    `trial.json` each trial gets a file with what the chief of a distributed search is not told,
    such as why the trial failed: `read_trials` reads both.

    Args:
        hypermodel: a `GuardedHyperModel`.
        directory: folder of the search; in a distributed search one that all processes see.
        tuner: "random", "bayesian", or "hyperband", which trains many models for few epochs and
            goes on with the best.
        objective: name of one of `hypermodel.objectives`; None for the first.
        trials: at most so many. None for 10, for Hyperband for what its schedule takes.
        epochs: of a trial at most. Pass them to `search` too; Hyperband takes them from here.
        total_epochs: instead of `trials`: at most so many trials that all together train so many
            epochs; Hyperband repeats its schedule as often as fits, at least once.
        executions_per_trial: how often each trial trains, each time from a seed of its own; its
            score is the mean.
        space: dictionary from the name of a hyperparameter to the list of values to choose from,
            which replaces that part of the space; None for the whole space.
        seed: integer of at least 0, of the values that are tried.
        report: callable that is given a `TrialRecord` before and after each trial; or None.

    Returns:
        `keras_tuner.Tuner`, on which `search(data, validation_data=..., epochs=...)` is called.

    Raises:
        ValueError: if an argument is not known or out of its range.

    Example:

    ```python
    space = HyperVQVAE2((32, 32, 3), max_parameters=2_000_000, seed=0)
    tuner = make_tuner(space, "search", trials=8, space={"filters": [32, 64]})
    tuner.search(train, validation_data=validation, epochs=5, verbose=0)
    best = tuner.get_best_models()[0]
    ```
    """
    checks.instance("hypermodel", hypermodel, GuardedHyperModel)
    checks.one_of("tuner", tuner, TUNERS)
    if trials is not None and total_epochs is not None:
        raise ValueError(
            "`trials` and `total_epochs` exclude each other. "
            f"Received: trials={trials}, total_epochs={total_epochs}"
        )
    for name, value in (("trials", trials), ("epochs", epochs), ("total_epochs", total_epochs)):
        if value is not None:
            checks.positive_int(name, value)
    options = {
        "objective": hypermodel.objective(objective),
        "hyperparameters": _restricted(hypermodel, space),
        # KerasTuner takes 0 for no seed.
        "seed": checks.non_negative_int("seed", seed) + 1,
        # Trials fail for reasons of their own; KerasTuner would give up after three in a row.
        "max_consecutive_failed_trials": None,
        "directory": os.path.dirname(os.path.abspath(directory)),
        "project_name": os.path.basename(os.path.abspath(directory)),
        "hypermodel": hypermodel,
        "executions_per_trial": checks.positive_int("executions_per_trial", executions_per_trial),
        "report": checks.function_or_none("report", report),
    }
    if tuner == "hyperband":
        rounds = total_epochs and max(1, total_epochs // _hyperband_epochs(epochs))
        options |= {"max_epochs": epochs, "factor": HYPERBAND_FACTOR}
        made = _Hyperband(hyperband_iterations=rounds or 1, **options)
        made.oracle.max_trials = trials
        return made
    if total_epochs is not None:
        trials = max(1, total_epochs // epochs)
    return TUNERS[tuner](max_trials=trials or 10, **options)


def _hyperband_epochs(epochs):
    """About how many epochs one schedule of Hyperband takes, by KerasTuner's documentation."""
    return math.ceil(epochs * max(1.0, math.log(epochs, HYPERBAND_FACTOR)) ** 2)


def _restricted(hypermodel, space):
    """The hyperparameters whose values a caller has given; KerasTuner leaves those as they are."""
    hyperparameters = keras_tuner.HyperParameters()
    if not checks.options("space", space):
        return hyperparameters
    whole = keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(whole)
    for name, values in space.items():
        if name not in whole.values:
            known = ", ".join(whole.values)
            raise ValueError(f"`space` may name {known}. Received: {name!r}")
        if not isinstance(values, list) or not values:
            raise ValueError(
                f"`space` must give a list of values for each name. Received: {name}={values!r}"
            )
        if len(values) == 1:
            hyperparameters.Fixed(name, values[0])
        elif isinstance(values[0], bool):  # A choice of them would give 0 and 1.
            hyperparameters.Boolean(name)
        else:
            hyperparameters.Choice(name, values)
    return hyperparameters


class SearchFailed(ValueError):
    """The error of a search without a successful trial."""


class _Outcomes:
    """The part of a tuner that lets trials fail alone, and writes and reports their outcomes."""

    def __init__(self, *args, report=None, **kwargs):
        self._report = report or (lambda record: None)
        super().__init__(*args, **kwargs)

    def search(self, data, *args, validation_data=None, **kwargs):
        """Search as `keras_tuner.Tuner.search` does, and fail if no trial succeeded.

        Args:
            data: what `hypermodel.datasets` takes.
            *args: must be left out.
            validation_data: what `hypermodel.datasets` takes.
            **kwargs: of `keras_tuner.Tuner.search`.

        Raises:
            ValueError: before any trial, if an argument would let every trial fail.
            SearchFailed: after all of them, if each has failed, with their reasons.
        """
        self.hypermodel.check_search(data, validation_data, args, kwargs)
        super().search(data, *args, validation_data=validation_data, **kwargs)
        if role() == "worker":
            return  # The chief alone has the trials of all.
        trials = self.oracle.trials.values()
        if trials and not any(trial.status == "COMPLETED" for trial in trials):
            records = [read_trial(self.get_trial_dir(trial.trial_id)) for trial in trials]
            reasons = sorted({str(record.reason) for record in records})
            raise SearchFailed(
                f"All {len(records)} trials in {self.project_dir} have failed: {'; '.join(reasons)}"
            )

    def _populate_initial_space(self):
        # KerasTuner builds the first values of the space: impossible ones would end it here.
        hyperparameters = self.oracle.get_space()
        self.hypermodel.declare_hyperparameters(hyperparameters)
        self.oracle.update_space(hyperparameters)

    def reload(self):
        super().reload()
        if role() == "worker":
            return
        # KerasTuner queues what was under way to be run again. But workers outlive their chief and
        # end their trials, a killed one asks for its own by its id, and so does a search alone.
        saved = files.read_json(Path(self.project_dir) / "oracle.json")["ongoing_trials"]
        trials = {tuner_id: self.oracle.trials[trial_id] for tuner_id, trial_id in saved.items()}
        self.oracle.ongoing_trials = {
            tuner_id: trial for tuner_id, trial in trials.items() if trial.status == "RUNNING"
        }
        self.oracle._retry_queue.clear()

    def on_trial_begin(self, trial):
        super().on_trial_begin(trial)
        self._start = time.monotonic()
        self._parameters = None
        self._reason = None
        self._tell(trial)

    def run_trial(self, trial, *args, **kwargs):
        self.hypermodel.execution = 0
        try:
            return super().run_trial(trial, *args, **kwargs)
        except Exception as error:
            expected = isinstance(error, keras_tuner.errors.FailedTrialError)
            self._reason = str(error) if expected else f"{type(error).__name__}: {error}"
            raise

    def _build_and_fit_model(self, trial, *args, **kwargs):
        # Of several executions of a trial each has a seed of its own.
        try:
            return super()._build_and_fit_model(trial, *args, **kwargs)
        finally:
            self.hypermodel.execution += 1

    def _try_run_and_update_trial(self, trial, *args, **kwargs):
        # KerasTuner's own prints a traceback for each failed trial, and lets a trial fail whose
        # result does not reach the chief.
        try:
            self._run_and_update_trial(trial, *args, **kwargs)
            trial.status = "COMPLETED"
        except Exception as error:
            if self._reason is None or isinstance(error, keras_tuner.errors.FatalError):
                raise
            trial.status = "FAILED"
            trial.message = traceback.format_exc()

    def on_epoch_begin(self, trial, model, epoch, logs=None):
        super().on_epoch_begin(trial, model, epoch, logs)
        self._parameters = model.count_params()

    def on_trial_end(self, trial):
        outcome = {
            "parameters": self._parameters,
            "seconds": time.monotonic() - self._start,
            "reason": self._reason,
            "tuner_id": self.tuner_id,
        }
        # Before the chief knows that the trial is over: with the last one it reads these files.
        file = Path(self.get_trial_dir(trial.trial_id)) / OUTCOME_FILE
        file.write_text(json.dumps(outcome, indent=1))
        super().on_trial_end(trial)
        self._tell(trial)

    def _tell(self, trial):
        self._report(read_trial(self.get_trial_dir(trial.trial_id)))


class _RandomSearch(_Outcomes, keras_tuner.RandomSearch):
    pass


class _BayesianOptimization(_Outcomes, keras_tuner.BayesianOptimization):
    pass


class _Hyperband(_Outcomes, keras_tuner.Hyperband):
    pass


TUNERS = {"random": _RandomSearch, "hyperband": _Hyperband, "bayesian": _BayesianOptimization}
"""The tuners that `make_tuner` knows, by name."""
