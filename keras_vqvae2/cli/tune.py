"""The command `tune`: a search over each stage, the second on the codes of the first's best."""

import dataclasses
import json
import shutil
from pathlib import Path

import keras

from keras_vqvae2.cli.config import BEST_FILE, read_options
from keras_vqvae2.cli.progress import console, progress
from keras_vqvae2.cli.run import (
    SPLITS,
    begin,
    check_learned_codes,
    load_codes,
    load_split,
    load_vqvae,
)
from keras_vqvae2.datasets import extract_codes
from keras_vqvae2.tuning.hyper_priors import HyperHierarchicalPrior
from keras_vqvae2.tuning.hyper_vqvae2 import HyperVQVAE2
from keras_vqvae2.tuning.search import make_tuner, role
from keras_vqvae2.tuning.trials import (
    draw_trials,
    ranked,
    read_trials,
    trials_table,
    values_text,
)

FOLDER = "tuning"
OPTIONS_FILE = "search.json"
STAGES = ("vqvae", "prior")
# From a hyperparameter to the field of `Config` that trains with it, where the names differ.
VQVAE_FIELDS = {"learning_rate": "vqvae_learning_rate"}
PRIOR_FIELDS = {
    "filters": "prior_filters",
    "num_blocks": "prior_blocks",
    "dropout": "prior_dropout",
    "learning_rate": "prior_learning_rate",
}


@dataclasses.dataclass(frozen=True)
class Search:
    """The options of a search that are none of the models it tries.

    Attributes:
        tuner: see `make_tuner`.
        objective: of stage 1, see `HyperVQVAE2`; stage 2 always looks at the bits of a code.
        trials: see `make_tuner`.
        epochs: see `make_tuner`.
        total_epochs: see `make_tuner`.
        tradeoff: see `HyperVQVAE2`.
        max_parameters: see `GuardedHyperModel`.
        max_memory: see `GuardedHyperModel`.
        space: JSON file with the `space` of `make_tuner` for `"vqvae"`, `"prior"` or both; or None.
    """

    tuner: str = "random"
    objective: str | None = None
    trials: int | None = None
    epochs: int = 10
    total_epochs: int | None = None
    tradeoff: float = 0.1
    max_parameters: int | None = None
    max_memory: float | None = None
    space: Path | None = None


def tune(config, search, stage=None):
    """Search for the hyperparameters of each stage.

    Everything lies in `tuning/` of the run directory: in `vqvae2/` and `prior/` KerasTuner's files
    of the trials, `trials.json`, `trials.png`, `best.json` with the fields of `Config` that the
    winner has, and the winner as it was in its best epoch; in `codes/` the codes of the winner of
    stage 1, which stage 2 is searched on.

    Args:
        config: `Config`; what is searched is not taken from it.
        search: `Search`.
        stage: "vqvae" or "prior"; None for one after the other.

    Raises:
        ValueError: if an option is not known or out of its range, the folder holds a search with
            other options, stage 2 comes before stage 1, or all trials have failed.
    """
    if stage not in (None, *STAGES):
        raise ValueError(f"`stage` must be one of {', '.join(STAGES)}. Received: stage={stage!r}")
    if stage is None and role() != "alone":
        raise ValueError(
            "`stage` must be given in a distributed search: stage 2 begins when the chief of "
            "stage 1 has ended. Received: stage=None"
        )
    here = dataclasses.replace(config, run_dir=config.run_dir / FOLDER)
    for name, title, tune_stage in (
        ("vqvae", "The search over stage 1", _tune_vqvae),
        ("prior", "The search over stage 2", _tune_prior),
    ):
        if stage in (None, name):
            if role() == "worker":  # It writes nothing but its trials.
                console.rule(title)
            else:
                begin(config, title)
            tune_stage(here, search)


def _tune_vqvae(config, search):
    data = {split: load_split(config, split) for split in SPLITS}
    hypermodel = HyperVQVAE2(
        data["train"].image_shape,
        num_levels=config.num_levels,
        tradeoff=search.tradeoff,
        max_parameters=search.max_parameters,
        max_memory=search.max_memory,
        seed=config.seed,
    )
    tuner = _run(config, "vqvae", hypermodel, search, search.objective, data)
    if role() == "worker":
        return
    # What is the same in each trial, and another in a config's default.
    fixed = {"num_levels": config.num_levels, "residual_filters": None}
    best = _finish(tuner, config.vqvae_dir, VQVAE_FIELDS, fixed)
    best.save(config.vqvae_file)
    # They may be those of an earlier best.
    shutil.rmtree(config.codes_dir, ignore_errors=True)
    for split in SPLITS:
        with progress(f"codes of {split}") as update:
            extract_codes(best, data[split], config.codes_dir / split, progress=update)


def _tune_prior(config, search):
    if not config.vqvae_file.exists():
        raise ValueError(f"{config.vqvae_file} is missing: search over stage 1 first.")
    vqvae = load_vqvae(config)
    codes = {split: load_codes(config, split, vqvae=vqvae) for split in SPLITS}
    check_learned_codes(config.prior_dir, codes["train"].fingerprint)
    hypermodel = HyperHierarchicalPrior(
        vqvae.code_shapes,
        vqvae.num_embeddings,
        num_classes=codes["train"].num_classes if config.conditional else None,
        image_shape=vqvae.image_shape,
        max_parameters=search.max_parameters,
        max_memory=search.max_memory,
        seed=config.seed,
    )
    tuner = _run(config, "prior", hypermodel, search, None, codes)
    if role() == "worker":
        return
    best = _finish(tuner, config.prior_dir, PRIOR_FIELDS, {"conditional": config.conditional})
    best.save(config.prior_file)


def _run(config, stage, hypermodel, search, objective, data):
    """Search until all trials are done; return the tuner."""
    folder = {"vqvae": config.vqvae_dir, "prior": config.prior_dir}[stage]
    objective = hypermodel.objective(objective)
    options = {"objective": objective.name}
    for name in ("dataset", "seed", "num_levels", "conditional"):
        options[name] = getattr(config, name)
    for name in ("tuner", "epochs", "tradeoff", "max_parameters", "max_memory"):
        options[name] = getattr(search, name)
    spaces = read_options(search.space) if search.space else {}
    options["space"] = spaces.get(stage)
    if role() != "worker":
        _check_options(folder / OPTIONS_FILE, options)
    tuner = make_tuner(
        hypermodel,
        folder,
        tuner=search.tuner,
        objective=objective.name,
        trials=search.trials,
        epochs=search.epochs,
        total_epochs=search.total_epochs,
        space=options["space"],
        seed=config.seed,
        report=lambda record: _say(record, objective),
    )
    callbacks = []
    if config.tensorboard:
        logs = config.run_dir / "logs" / folder.name
        callbacks.append(keras.callbacks.TensorBoard(logs, write_graph=False))
    tuner.search(
        data["train"],
        validation_data=data["validation"],
        epochs=search.epochs,
        verbose=0,
        callbacks=callbacks,
    )
    return tuner


def _check_options(file, options):
    """Refuse to mix trials of two searches in one folder."""
    if file.exists():
        for name, before in json.loads(file.read_text()).items():
            if options[name] != before:
                raise ValueError(
                    f"`{name}` must stay {before!r}: the trials in {file.parent} are of that. "
                    "Take another run directory, or remove that folder. "
                    f"Received: {name}={options[name]!r}"
                )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(options, indent=2) + "\n")


def _say(record, objective):
    """Print a line before a trial and one after it."""
    if record.status == "RUNNING":
        words = values_text(record.values)
    elif record.score is None:
        words = f"failed: {record.reason}"
    else:
        words = (
            f"{objective.name} {record.score:.5f} at epoch {record.best_epoch}, "
            f"{record.parameters:,} parameters, {record.seconds:.0f} s"
        )
    console.print(f"trial {record.trial_id}  {words}", markup=False)


def _finish(tuner, folder, fields, fixed):
    """Write and show what came of a search; return the best model as it was in its best epoch."""
    objective = tuner.oracle.objective
    records = read_trials(folder)
    content = {
        "objective": objective.name,
        "direction": objective.direction,
        "trials": [dataclasses.asdict(record) for record in records],
    }
    (folder / "trials.json").write_text(json.dumps(content, indent=2) + "\n")
    console.print(trials_table(records, objective))
    best = ranked(records, objective.direction)
    if not best:
        raise ValueError(f"All trials in {folder} have failed; trials.json holds the reasons.")
    try:
        draw_trials(records, objective, folder / "trials.png")
    except ImportError:
        console.print("No picture: matplotlib is missing; the extra `plots` installs it.")
    chosen = {fields.get(name, name): value for name, value in best[0].values.items()}
    (folder / BEST_FILE).write_text(json.dumps({**chosen, **fixed}, indent=2) + "\n")
    console.print(f"best: trial {best[0].trial_id}, its options in {folder / BEST_FILE}")
    return tuner.get_best_models()[0]
