"""What came of a search: its trials as records, a table and a picture."""

import dataclasses
from pathlib import Path

import keras_tuner
import numpy as np
from rich.table import Table

from keras_vqvae2 import checks, files

OUTCOME_FILE = "outcome.json"


@dataclasses.dataclass(frozen=True)
class TrialRecord:
    """One trial of a search.

    Attributes:
        trial_id: KerasTuner's name of the trial; its files lie in `trial_<trial_id>/`.
        status: "COMPLETED", "FAILED", or of an unfinished trial "RUNNING".
        score: value of the objective in the best epoch; None if the trial has not completed.
        best_epoch: the epoch of that value, counted from 1; None likewise.
        values: dictionary of the hyperparameters.
        parameters: of the model; None if the trial failed before it trained.
        seconds: that the trial took.
        reason: why it failed; None if it did not.
        tuner_id: of the process that ran it.
    """

    trial_id: str
    status: str
    score: float | None
    best_epoch: int | None
    values: dict
    parameters: int | None = None
    seconds: float | None = None
    reason: str | None = None
    tuner_id: str | None = None


def read_trial(directory):
    """Read one trial.

    Args:
        directory: folder of the trial.

    Returns:
        `TrialRecord`.

    Example:

    ```python
    read_trial("runs/emoji32/tuning/vqvae2/trial_0")
    ```
    """
    directory = Path(directory)
    trial = files.read_json(directory / "trial.json")
    outcome = directory / OUTCOME_FILE
    completed = trial["status"] == "COMPLETED"
    values = trial["hyperparameters"]["values"]
    # Of a trial that Hyperband goes on with, KerasTuner counts from where it went on.
    begun = values.get("tuner/initial_epoch", 0)
    return TrialRecord(
        trial_id=trial["trial_id"],
        status=trial["status"],
        score=trial["score"] if completed else None,
        best_epoch=begun + trial["best_step"] + 1 if completed else None,
        # What Hyperband keeps among them is no choice of a model.
        values={name: value for name, value in values.items() if not name.startswith("tuner/")},
        **(files.read_json(outcome) if outcome.exists() else {}),
    )


def read_trials(directory):
    """Read the trials of a search, from any process, at any time.

    Args:
        directory: folder of the search.

    Returns:
        A list of `TrialRecord`s in the order in which they began.

    Example:

    ```python
    [record.score for record in read_trials("runs/emoji32/tuning/vqvae2")]
    ```
    """
    return [read_trial(file.parent) for file in sorted(Path(directory).glob("trial_*/trial.json"))]


def ranked(records, direction):
    """Return the completed trials, the best first.

    Args:
        records: a list of `TrialRecord`s.
        direction: "min" or "max", of the objective.

    Returns:
        A list of `TrialRecord`s.

    Example:

    ```python
    best = ranked(read_trials("search"), "min")[0]
    ```
    """
    completed = [record for record in records if record.status == "COMPLETED"]
    return sorted(completed, key=lambda record: record.score, reverse=direction == "max")


def values_text(values):
    """Return hyperparameters as one line: `filters=64 decay=0.99`."""
    return " ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in values.items()
    )


def trials_table(records, objective):
    """Return a table of trials, the best first and the failed last, to be printed by rich.

    Args:
        records: a list of `TrialRecord`s.
        objective: `keras_tuner.Objective` of the search.

    Returns:
        `rich.table.Table`.

    Example:

    ```python
    rich.print(trials_table(read_trials("search"), hypermodel.objective()))
    ```
    """
    _check(records, objective)
    title = f"Trials by {objective.name}"
    table = Table("trial", "score", "epoch", "parameters", "seconds", "options", title=title)
    best = ranked(records, objective.direction)
    for record in [*best, *(record for record in records if record not in best)]:
        table.add_row(
            record.trial_id,
            record.status.lower() if record.score is None else f"{record.score:.5f}",
            "" if record.best_epoch is None else str(record.best_epoch),
            "" if record.parameters is None else f"{record.parameters:,}",
            "" if record.seconds is None else f"{record.seconds:.0f}",
            values_text(record.values) + (f"\n{record.reason}" if record.reason else ""),
        )
    return table


def draw_trials(records, objective, path):
    """Draw the completed trials: score against parameters, and all values side by side.

    In the parallel coordinates on the right each line is a trial, each upright a hyperparameter
    with the values that were tried in order, evenly spaced; the last is the score. Good trials are
    yellow.

    Args:
        records: a list of `TrialRecord`s.
        objective: `keras_tuner.Objective` of the search.
        path: PNG file to write.

    Raises:
        ImportError: without matplotlib, which the extra `plots` installs.
        ValueError: if there is no completed trial, or the objective is none.

    Example:

    ```python
    draw_trials(read_trials("search"), hypermodel.objective(), "trials.png")
    ```
    """
    from matplotlib.figure import Figure

    _check(records, objective)
    completed = ranked(records, objective.direction)[::-1]  # The best is drawn last, on top.
    if not completed:
        raise ValueError(f"`records` must hold a completed trial. Received: records={records!r}")
    scores = np.array([record.score for record in completed])
    colors = _unit(scores if objective.direction == "max" else -scores)
    figure = Figure(figsize=(13, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 2])

    sizes = [record.parameters or np.nan for record in completed]
    left.scatter(sizes, scores, c=colors, edgecolors="grey", s=60)
    for record, size in zip(completed, sizes, strict=True):
        at = (size, record.score)
        left.annotate(record.trial_id, at, xytext=(5, 5), textcoords="offset points", fontsize=8)
    left.set(xscale="log", xlabel="parameters", ylabel=objective.name)

    names = list(completed[0].values)
    columns = [_ranks([record.values[name] for record in completed]) for name in names]
    heights = np.stack([*map(_unit, columns), _unit(scores)], axis=1)  # [trials, names + score]
    colormap = left.collections[0].cmap
    for record_heights, color in zip(heights, colors, strict=True):
        right.plot(record_heights, color=colormap(color), linewidth=2, alpha=0.8)
    for position, column in enumerate([*([r.values[n] for r in completed] for n in names), scores]):
        for height, value in ((-0.06, min(column)), (1.03, max(column))):
            text = f"{value:.3g}" if isinstance(value, float) else str(value)
            right.text(position, height, text, ha="center", fontsize=8)
        right.axvline(position, color="grey", linewidth=0.8)
    right.set_xticks(range(len(names) + 1), [*names, objective.name], rotation=25, ha="right")
    right.tick_params(axis="x", pad=12)
    right.set(yticks=[], ylim=(-0.1, 1.1))
    right.spines[:].set_visible(False)
    figure.savefig(path, dpi=110)


def _check(records, objective):
    checks.instance("objective", objective, keras_tuner.Objective)
    if not isinstance(records, (tuple, list)) or not all(
        isinstance(record, TrialRecord) for record in records
    ):
        raise ValueError(f"`records` must be a list of `TrialRecord`. Received: {records!r}")


def _unit(values):
    """Values stretched to [0, 1]; 0.5 where they are all equal."""
    values = np.asarray(values, float)
    span = np.ptp(values)
    return (values - values.min()) / span if span else np.full(len(values), 0.5)


def _ranks(values):
    """The place of each value among those that were tried, evenly spaced on an axis."""
    order = sorted(set(values))
    return [order.index(value) for value in values]
