"""The command `tune`: a search over each stage, the second on the codes of the first's best."""

import contextlib
import dataclasses
import json
import shutil
from pathlib import Path

import click

import keras_vqvae2 as kv
from keras_vqvae2 import files
from keras_vqvae2.cli.config import Config, flat, nested, read_options
from keras_vqvae2.cli.flags import FILE, config_command
from keras_vqvae2.cli.progress import console, progress
from keras_vqvae2.cli.run import SPLITS, begin, check_learned_codes, load_codes, load_split
from keras_vqvae2.cli.run_folder import BEST_FILE
from keras_vqvae2.cli.run_models import learns_classes, load_vqvae

FOLDER = "tuning"
OPTIONS_FILE = "search.json"
STAGES = ("vqvae", "prior")
# The parts of the config that a stage is built and trained by: what is searched lies in these, or
# beside all parts.
PARTS = {"vqvae": ("vqvae", "vqvae_training", "augmentation"), "prior": ("prior", "prior_training")}


@config_command("tune", "--run-dir runs/photos --stage vqvae --trials 12")
@click.option("--stage", help="vqvae or prior; left out, one after the other.")
@click.option("--tuner", default="random", show_default=True, help="random, hyperband or bayesian.")
@click.option(
    "--objective",
    help="Of stage 1: val_reconstruction_mse, val_codebook_usage or val_rate_distortion.",
)
@click.option("--trials", type=int, help="Trials at most.")
@click.option("--epochs", default=10, show_default=True, help="Epochs of a trial at most.")
@click.option(
    "--total-epochs", type=int, help="Instead of --trials: epochs of all trials together."
)
@click.option(
    "--tradeoff",
    default=0.1,
    show_default=True,
    help="Of val_rate_distortion: error worth a bit an image dimension.",
)
@click.option("--max-parameters", type=int, help="Refuse models with more parameters.")
@click.option("--max-memory", type=float, help="Refuse models that take more MiB to train.")
@click.option("--space", type=FILE, help="JSON file: hyperparameters and the values to try.")
def command(config, stage, **options):
    """Search for the options of both stages, in RUN_DIR/tuning; goes on where it stopped."""
    tune(config, Search(**options), stage)


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
    spaces = read_options(search.space) if search.space else {}
    role = kv.tuning.role()
    if stage is None and role != "alone":
        raise ValueError(
            "`stage` must be given in a distributed search: stage 2 begins when the chief of "
            "stage 1 has ended. Received: stage=None"
        )
    for number, name in enumerate(STAGES, start=1):
        if stage in (None, name):
            title = f"The search over stage {number}"
            if role == "worker":  # It writes nothing but its trials.
                console().rule(title)
            else:
                begin(config, title)
            {"vqvae": _tune_vqvae, "prior": _tune_prior}[name](config, search, spaces.get(name))


def _folder(config):
    """The config of the search's own folder."""
    return config.updated({"run_dir": config.run_dir / FOLDER})


def _tune_vqvae(config, search, space):
    here = _folder(config)
    data = {split: load_split(config, split) for split in SPLITS}
    num_levels = config.vqvae.num_levels
    hypermodel = kv.tuning.HyperVQVAE2(
        data["train"].image_shape,
        num_levels=num_levels,
        tradeoff=search.tradeoff,
        max_parameters=search.max_parameters,
        max_memory=search.max_memory,
        seed=config.seed,
    )
    tuner = _run(config, here.vqvae_dir, hypermodel, search, search.objective, space, data)
    if kv.tuning.role() == "worker":
        return
    # What is the same in each trial, and another in a config's default.
    fixed = {"num_levels": num_levels, "residual_filters": None}
    best = _finish(tuner, here.vqvae_dir, PARTS["vqvae"], {"vqvae": fixed})
    files.write_archive(here.vqvae_file, best.save)
    # They may be those of an earlier best.
    shutil.rmtree(here.codes_dir, ignore_errors=True)
    for split in SPLITS:
        with progress(f"codes of {split}") as update:
            kv.extract_codes(best, data[split], here.codes_dir / split, progress=update)


def _tune_prior(config, search, space):
    here = _folder(config)
    if not here.vqvae_file.exists():
        raise ValueError(f"{here.vqvae_file} is missing: search over stage 1 first.")
    vqvae = load_vqvae(here)
    codes = {split: load_codes(here, split, vqvae=vqvae) for split in SPLITS}
    mark = check_learned_codes(here.prior_dir, codes["train"].fingerprint)
    by_class = learns_classes(config, codes["train"].num_classes)
    hypermodel = kv.tuning.HyperHierarchicalPrior(
        vqvae.code_shapes,
        vqvae.num_embeddings,
        num_classes=codes["train"].num_classes if by_class else None,
        image_shape=vqvae.image_shape,
        max_parameters=search.max_parameters,
        max_memory=search.max_memory,
        seed=config.seed,
    )
    tuner = _run(config, here.prior_dir, hypermodel, search, None, space, codes, mark)
    if kv.tuning.role() == "worker":
        return
    best = _finish(tuner, here.prior_dir, PARTS["prior"], {"codes": {"with_labels": by_class}})
    files.write_archive(here.prior_file, best.save)


def _run(config, folder, hypermodel, search, objective, space, data, mark=lambda: None):
    """Search until all trials are done; return the tuner."""
    objective = hypermodel.objective(objective)
    fields = flat(config)
    options = {name: fields[name] for name in ("dataset", "seed", "num_levels", "conditional")}
    for name in ("tuner", "epochs", "tradeoff", "max_parameters", "max_memory"):
        options[name] = getattr(search, name)
    options |= {"objective": objective.name, "space": space}
    is_worker = kv.tuning.role() == "worker"
    if not is_worker:
        _check_options(folder, options)
    tuner = kv.tuning.make_tuner(
        hypermodel,
        folder,
        tuner=search.tuner,
        objective=objective.name,
        trials=search.trials,
        epochs=search.epochs,
        total_epochs=search.total_epochs,
        space=space,
        seed=config.seed,
        report=lambda record: _say(record, objective),
    )
    if not is_worker:  # All inputs have turned out well.
        config.save()
        mark()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / OPTIONS_FILE).write_text(json.dumps(options, indent=2) + "\n")
    callbacks = []
    if config.tensorboard:
        import keras

        logs = folder.parent / "logs" / folder.name
        callbacks.append(keras.callbacks.TensorBoard(logs, write_graph=False))
    # `_finish` says that all trials have failed, when it has written what is known of them.
    with contextlib.suppress(kv.tuning.SearchFailed):
        tuner.search(
            data["train"],
            validation_data=data["validation"],
            epochs=search.epochs,
            verbose=0,
            callbacks=callbacks,
        )
    return tuner


def _check_options(folder, options):
    """Refuse to mix trials of two searches in one folder."""
    file = folder / OPTIONS_FILE
    for name, before in files.read_json(file).items() if file.exists() else ():
        if options[name] != before:
            raise ValueError(
                f"`{name}` must stay {before!r}: the trials in {folder} are of that. "
                "Take another run directory, or remove that folder. "
                f"Received: {name}={options[name]!r}"
            )


def _say(record, objective):
    """Print a line before a trial and one after it."""
    from keras_vqvae2.tuning.trials import values_text

    if record.status == "RUNNING":
        words = values_text(record.values)
    elif record.score is None:
        words = f"failed: {record.reason}"
    else:
        words = (
            f"{objective.name} {record.score:.5f} at epoch {record.best_epoch}, "
            f"{record.parameters:,} parameters, {record.seconds:.0f} s"
        )
    console().print(f"trial {record.trial_id}  {words}", markup=False)


def _finish(tuner, folder, parts, fixed):
    """Write and show what came of a search; return the best model as it was in its best epoch."""
    from keras_vqvae2.tuning.trials import ranked

    objective = tuner.oracle.objective
    records = kv.tuning.read_trials(folder)
    content = {
        "objective": objective.name,
        "direction": objective.direction,
        "trials": [dataclasses.asdict(record) for record in records],
    }
    (folder / "trials.json").write_text(json.dumps(content, indent=2) + "\n")
    console().print(kv.tuning.trials_table(records, objective))
    best = ranked(records, objective.direction)
    if not best:
        raise ValueError(f"All trials in {folder} have failed; trials.json holds the reasons.")
    try:
        kv.tuning.draw_trials(records, objective, folder / "trials.png")
    except ImportError:
        console().print("No picture: matplotlib is missing; the extra `plots` installs it.")
    chosen = flat(_placed(best[0].values, parts)) | flat(fixed)
    (folder / BEST_FILE).write_text(json.dumps(nested(chosen), indent=2) + "\n")
    console().print(f"best: trial {best[0].trial_id}, its options in {folder / BEST_FILE}")
    return tuner.get_best_models()[0]


def _placed(values, parts):
    """Hyperparameters as the config has them: each in the part with a field of its name."""
    placed = {}
    for name, value in values.items():
        fields = Config.model_fields
        part = next((part for part in parts if name in fields[part].annotation.model_fields), None)
        (placed.setdefault(part, {}) if part else placed)[name] = value
    return placed
