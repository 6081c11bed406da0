"""The configuration of a run, saved with it as `config.json`.

A flag names one field among those of all parts, so fields may be given nested or, under the names
of their flags, flat.
"""

import json
import typing
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import ValidationError

from keras_vqvae2 import files
from keras_vqvae2.cli.config_parts import (
    AugmentationOptions,
    AverageOptions,
    CodeOptions,
    Count,
    DataOptions,
    Part,
    PassOptions,
    Positive,
    PriorOptions,
    PriorTraining,
    SamplingOptions,
    Share,
    Splits,
    VQVAEOptions,
    VQVAETraining,
    option,
)
from keras_vqvae2.cli.run_folder import RunFolder


class Config(Part, RunFolder, title="Run"):
    """All that decides a run, and the places of its files.

    The defaults are the size "small" on the embedded emoji; `Config.create` starts from a named
    size. Fields are given nested as they are here, or flat under the names of their flags.

    Raises:
        ValueError: if a size, a wiring or a field is not known, or a field is of the wrong type or
            below its least value.

    Example:

    ```python
    config = Config.create("tiny", run_dir="runs/first", vqvae_epochs=2)
    config.save()  # runs/first/config.json
    assert Config.load("runs/first/config.json") == config
    ```
    """

    run_dir: Path = option(Path("runs/emoji32"), "Folder of all files of the run.", strict=False)
    seed: Count = option(0, "Seed of weights, order of the data and samples.")
    tensorboard: bool = option(True, "Write TensorBoard logs to RUN_DIR/logs.")
    cosine_decay: bool = option(
        True, "Let both learning rates fall to zero at the end, as half a cosine."
    )
    steady: Share = option(
        0.75, "Share of the steps before they fall; 0 to let them fall from the first on.", le=1
    )
    data_dir: Path | None = option(None, "Folder that the data set's files lie in.", strict=False)
    batch_size: Positive = option(32, "Images a step, in both stages.")
    checkpoint_steps: Positive | None = option(
        None, "Steps from one checkpoint to the next within an epoch; left out, one an epoch."
    )
    num_samples: Positive = option(64, "Images to generate, or to reconstruct.")
    data: DataOptions
    splits: Splits
    augmentation: AugmentationOptions
    passes: PassOptions
    vqvae: VQVAEOptions
    vqvae_training: VQVAETraining
    prior: PriorOptions
    codes: CodeOptions
    average: AverageOptions
    prior_training: PriorTraining
    sampling: SamplingOptions

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**nested(_defaults(FLAGS) | flat(options)))
        except ValidationError as error:
            raise ValueError(_first_finding(error)) from None

    @classmethod
    def create(cls, size: str = "small", **options: Any) -> "Config":
        """Return the config of a named size, with some fields changed.

        Args:
            size: a name in `SIZES`: "tiny" for tests, "small" for a CPU, "base" for the
                specification's 22 M parameters.
            **options: fields and their values; they win over the size. `wiring="best"` puts the
                parts together as the small size has them, the best way of docs/quality.md, and
                `"specified"` as the others have them.

        Returns:
            A `Config`.
        """
        return cls(size=size, **options)

    @classmethod
    def load(cls, path: str | Path) -> "Config":
        """Read a config from a JSON file; fields that it does not name keep their defaults.

        Args:
            path: the file. Beside fields it may name a `"size"` and a `"wiring"` to start from.

        Returns:
            A `Config`.
        """
        options = read_run(path)
        try:
            return cls(**options)
        except ValueError as error:
            raise ValueError(f"{error} In {path}.") from error

    def updated(self, options: Mapping[str, Any]) -> "Config":
        """Return a copy with some fields changed; a `"size"` or `"wiring"` is applied first.

        Args:
            options: fields and their values, as `{"size": "tiny", "filters": 8}`.

        Returns:
            A `Config`.
        """
        return Config(**{**flat(self), **flat(options)})

    def save(self) -> None:
        """Write the config to `config.json` in its run directory."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        files.write_text(self.file, files.signed_json(json.loads(self.model_dump_json())))


class Flag(NamedTuple):
    """What a flag sets: a field by its path, of such types, in the section of help of its part."""

    path: tuple[str, ...]
    default: Any
    kinds: list[type]
    help: str
    section: str


def _flags(part: type[Part], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Flag]]:
    for name, field in part.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Part):
            yield from _flags(field.annotation, (*path, name))
        else:
            own = typing.cast(dict, field.json_schema_extra)["flag"]
            section, help = str(part.model_config["title"]), str(field.description)
            flag = Flag((*path, name), field.default, _kinds(field.annotation), help, section)
            yield own or part.flag_form.format(name), flag


def _kinds(annotation: Any) -> list[type]:
    """The types of a single value: of `tuple[int, int] | None` these are int and NoneType."""
    if typing.get_origin(annotation) is Annotated:
        return _kinds(annotation.__origin__)
    inner = [kind for kind in typing.get_args(annotation) if kind is not Ellipsis]
    return list(dict.fromkeys(kind for each in inner for kind in _kinds(each))) or [annotation]


FLAGS = dict(_flags(Config))
_FLAG_OF = {flag.path: name for name, flag in FLAGS.items()}


def _defaults(names: Iterable[str]) -> dict[str, Any]:
    return {name: FLAGS[name].default for name in names}


# For tests: seconds on any machine.
_TINY = {
    "filters": 16,
    "num_residual_blocks": 1,
    "residual_filters": 8,
    "embedding_dim": 8,
    "num_embeddings": 32,
    "prior_filters": 16,
    "prior_blocks": 2,
    "vqvae_learning_rate": 2e-3,
    "prior_learning_rate": 1e-3,
}
# The specification: 22 M parameters in all.
_BASE = {
    "filters": 256,
    "num_residual_blocks": 2,
    "residual_filters": None,
    "embedding_dim": 64,
    "num_embeddings": 512,
    "prior_filters": 256,
    "prior_blocks": 16,
    "vqvae_learning_rate": 1e-3,
    "prior_learning_rate": 1e-3,
}
# How the specification puts the parts together.
_SPECIFIED = {
    "condition_on_coarser": False,
    "codebook_metric": "euclidean",
    "prior_two_stream": False,
    "prior_attention_blocks": (0,),
    "prior_conditioning_blocks": 0,
}
# The small size, that of the defaults, is for a CPU: all three stages in a few minutes.
SIZES = {"tiny": _TINY, "small": _defaults(_TINY), "base": _BASE}
# The defaults are the best of docs/quality.md. Any size may have either.
WIRINGS = {"specified": _SPECIFIED, "best": _defaults(_SPECIFIED)}
# What a size has where no wiring is named.
_WIRING_OF = {"tiny": "specified", "small": "best", "base": "specified"}
# Named groups of fields that a config can start from.
STARTS: dict[str, dict[str, dict[str, Any]]] = {"size": SIZES, "wiring": WIRINGS}


def flat(options: Mapping[str, Any] | Config, before: Container[str] = ()) -> dict[str, Any]:
    """Return fields under the names of their flags, after those of a size or a wiring.

    Args:
        options: fields, nested or flat, and perhaps a `"size"` and a `"wiring"`; or a `Config`.
        before: fields that are decided already, unless a wiring is named: a size brings its own.

    Returns:
        A dict from the names of flags to values.

    Raises:
        ValueError: if the size, the wiring or a field is not known.

    Example:

    >>> flat({"prior": {"filters": 8}, "seed": 1})
    {'prior_filters': 8, 'seed': 1}
    """
    rest = dict(options)
    names = {kind: rest.pop(kind, None) for kind in STARTS}
    started: dict[str, Any] = {}
    for kind, name in names.items():
        if name is not None:
            if not isinstance(name, str) or name not in STARTS[kind]:
                known = ", ".join(STARTS[kind])
                raise ValueError(f"`{kind}` must be one of {known}. Received: {name}.")
            started |= STARTS[kind][name]
    if names["size"] is not None and names["wiring"] is None:
        own = WIRINGS[_WIRING_OF[names["size"]]]
        started |= {field: value for field, value in own.items() if field not in before}
    return started | dict(_flattened(rest))


def _flattened(options: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, value in options.items():
        here = (*path, name)
        if here in _FLAG_OF:
            yield _FLAG_OF[here], value
        elif name in FLAGS and not path:
            yield name, value
        elif isinstance(value, Mapping | Part):
            yield from _flattened(dict(value), here)
        else:
            known = ", ".join(sorted(FLAGS))
            raise ValueError(f"A config has no field `{'.'.join(here)}`. It has: {known}.")


def nested(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `flat` gives as the config has it, part by part.

    Args:
        options: fields under the names of their flags.

    Returns:
        A dict, with one for each part that has any of the fields.

    Example:

    >>> nested({"prior_filters": 8, "seed": 1})
    {'prior': {'filters': 8}, 'seed': 1}
    """
    result: dict[str, Any] = {}
    for name, value in options.items():
        *parts, field = FLAGS[name].path
        inner = result
        for part in parts:
            inner = inner.setdefault(part, {})
        inner[field] = value
    return result


def read_options(path: str | Path) -> dict[str, Any]:
    """Read the object that a JSON file holds, as the fields of a config.

    Args:
        path: the file.

    Returns:
        A dict, as written.

    Raises:
        ValueError: if the file is missing, is not a JSON object, or is a run's and was changed.
    """
    try:
        return files.read_signed_json(path)
    except (OSError, files.DamagedFileError) as error:
        raise ValueError(
            f"A config must be a readable JSON file. {error}. If you changed it yourself, remove "
            "its field `checksum`."
        ) from None


def read_run(path: str | Path) -> dict[str, Any]:
    """Read the options of a run; before `clipping` was one of them, all runs had "hard".

    Args:
        path: the file, of any options; that of a run names its `run_dir`.

    Returns:
        A dict, as `read_options` gives it, perhaps with that clipping.

    Raises:
        ValueError: as of `read_options`.
    """
    options = read_options(path)
    return {"clipping": "hard", **options} if "run_dir" in options else options


_RULES = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "greater than {gt}",
    "less_than_equal": "at most {le}",
}


def _first_finding(error: ValidationError) -> str:
    """What pydantic found first, in our words."""
    found = error.errors()[0]
    name = _FLAG_OF[tuple(key for key in found["loc"] if isinstance(key, str))]
    kinds = " or ".join(kind.__name__ for kind in FLAGS[name].kinds)
    rule = _RULES.get(found["type"], "of type {kinds}").format(kinds=kinds, **found.get("ctx", {}))
    return f"`{name}` must be {rule}. Received: {found['input']!r}."
