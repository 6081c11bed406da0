"""The configuration of a run: one typed record, saved with the run as `config.json`."""

import dataclasses
import json
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIZES: dict[str, dict[str, int | None]] = {
    # For tests: seconds on any machine.
    "tiny": {
        "filters": 16,
        "num_residual_blocks": 1,
        "residual_filters": 8,
        "embedding_dim": 8,
        "num_embeddings": 32,
        "prior_filters": 16,
        "prior_blocks": 2,
    },
    # For a CPU: all three stages in a few minutes.
    "small": {
        "filters": 64,
        "num_residual_blocks": 2,
        "residual_filters": 32,
        "embedding_dim": 32,
        "num_embeddings": 128,
        "prior_filters": 96,
        "prior_blocks": 6,
    },
    # The specification: 22 M parameters in all.
    "base": {
        "filters": 256,
        "num_residual_blocks": 2,
        "residual_filters": None,
        "embedding_dim": 64,
        "num_embeddings": 512,
        "prior_filters": 256,
        "prior_blocks": 16,
    },
}
_SMALL = SIZES["small"]

# How the parts are put together; any size may have either.
WIRINGS: dict[str, dict[str, Any]] = {
    "specified": {
        "condition_on_coarser": False,
        "codebook_metric": "euclidean",
        "prior_two_stream": False,
        "prior_attention_blocks": 0,
        "prior_conditioning_blocks": 0,
    },
    # The best combination of docs/quality.md.
    "best": {
        "condition_on_coarser": True,
        "codebook_metric": "cosine",
        "prior_two_stream": True,
        "prior_attention_blocks": 2,
        "prior_conditioning_blocks": 2,
    },
}
# Named groups of fields that a config can start from.
STARTS = {"size": SIZES, "wiring": WIRINGS}

FILE_NAME = "config.json"
# In the folder of a search: the fields that its winner has.
BEST_FILE = "best.json"

# What a stage leaves behind depends on these fields: it can be taken up again with the same only.
FIXED = {
    "vqvae2": (
        "dataset",
        "image_size",
        "train_split",
        "validation_split",
        "filters",
        "num_residual_blocks",
        "residual_filters",
        "num_levels",
        "embedding_dim",
        "num_embeddings",
        "decay",
        "commitment_cost",
        "condition_on_coarser",
        "reconstruction_loss",
        "codebook_metric",
        "codebook_gradient",
    ),
    "prior": (
        "prior_filters",
        "prior_blocks",
        "prior_dropout",
        "prior_two_stream",
        "prior_attention_blocks",
        "prior_conditioning_blocks",
        "prior_label_smoothing",
        "prior_ema",
        "conditional",
    ),
}


def _option(default: Any, group: str, help: str, at_least: float | None = None) -> Any:
    """A field of `Config`; `group` and `help` are what the command line shows of it."""
    metadata = {"group": group, "help": help, "at_least": at_least}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Config:
    """All that decides a run, and the places of its files.

    The defaults are the size "small" on the embedded emoji; `Config.create` starts from a named
    size. Each field is also a flag of the command line.

    Raises:
        ValueError: if a field is of the wrong type or below its least value.

    Example:

    ```python
    config = Config.create("tiny", run_dir="runs/first", vqvae_epochs=2)
    config.save()  # runs/first/config.json
    assert Config.load("runs/first/config.json") == config
    ```
    """

    run_dir: Path = _option(Path("runs/emoji32"), "Run", "Folder of all files of the run.")
    seed: int = _option(0, "Run", "Seed of weights, order of the data and samples.", at_least=0)
    tensorboard: bool = _option(True, "Run", "Write TensorBoard logs to RUN_DIR/logs.")
    cosine_decay: bool = _option(
        False, "Run", "Let both learning rates fall to zero over the epochs, as half a cosine."
    )

    dataset: str = _option(
        "emoji32",
        "Data",
        "emoji32, fashion_mnist, a folder of images, or a name of TensorFlow Datasets.",
    )
    data_dir: Path | None = _option(None, "Data", "Folder that the data set's files lie in.")
    image_size: int | None = _option(
        None, "Data", "Height and width to crop and resize to: folders, TensorFlow Datasets.", 1
    )
    train_split: str = _option("train", "Data", "Split to learn from.")
    validation_split: str = _option("validation", "Data", "Split to judge by, as 'train[90%:]'.")
    batch_size: int = _option(64, "Data", "Images a step, in both stages.", at_least=1)
    flip: bool = _option(False, "Data", "Mirror training images at random.")
    shift: int = _option(0, "Data", "Move training images by up to so many pixels.", at_least=0)
    code_noise: float = _option(
        0.0, "Data", "Noise, in grey levels of 255, on the images of all passes but the first.", 0
    )
    code_passes: int = _option(
        1, "Data", "Passes over the augmented training images whose codes stage 2 learns.", 1
    )

    filters: int = _option(_SMALL["filters"], "VQ-VAE-2", "Channels of the features.", 1)
    num_residual_blocks: int = _option(
        _SMALL["num_residual_blocks"], "VQ-VAE-2", "Residual blocks in a stack.", 0
    )
    residual_filters: int | None = _option(
        _SMALL["residual_filters"], "VQ-VAE-2", "Channels inside a residual block.", 1
    )
    num_levels: int = _option(2, "VQ-VAE-2", "Levels of codes.", 1)
    embedding_dim: int = _option(_SMALL["embedding_dim"], "VQ-VAE-2", "Length of a code vector.", 1)
    num_embeddings: int = _option(
        _SMALL["num_embeddings"], "VQ-VAE-2", "Codes in each codebook.", 1
    )
    decay: float = _option(0.99, "VQ-VAE-2", "Decay of the codebooks' moving averages.", 0)
    commitment_cost: float = _option(0.25, "VQ-VAE-2", "Weight of the commitment loss.", 0)
    condition_on_coarser: bool = _option(
        False, "VQ-VAE-2", "Quantize what a finer level adds to the decoded coarser ones."
    )
    reconstruction_loss: str = _option(
        "mse", "VQ-VAE-2", "mse, l1, or discretized_logistic for a likelihood of pixels."
    )
    codebook_metric: str = _option("euclidean", "VQ-VAE-2", "The nearest code's: or cosine.")
    codebook_gradient: str = _option(
        "straight_through", "VQ-VAE-2", "What passes the quantizers backwards: or rotation."
    )
    vqvae_epochs: int | None = _option(
        None, "VQ-VAE-2", "Epochs of stage 1; left out, enough for about 1,200 steps.", 1
    )
    decoder_epochs: int = _option(
        0, "VQ-VAE-2", "Epochs after those in which the decoder learns alone, of fixed codes.", 0
    )
    vqvae_learning_rate: float = _option(1e-3, "VQ-VAE-2", "Learning rate of stage 1 (Adam).", 0)

    prior_filters: int = _option(_SMALL["prior_filters"], "Prior", "Channels of each PixelCNN.", 1)
    prior_blocks: int = _option(
        _SMALL["prior_blocks"], "Prior", "Gated blocks of each PixelCNN.", 1
    )
    prior_dropout: float = _option(0.1, "Prior", "Dropout in each PixelCNN.", 0)
    prior_two_stream: bool = _option(
        False, "Prior", "Two streams in each PixelCNN: no blind spot, twice the weights."
    )
    prior_attention_blocks: int = _option(
        0, "Prior", "Causal attention layers among the blocks of the coarsest level.", 0
    )
    prior_conditioning_blocks: int = _option(
        0, "Prior", "Residual blocks on the coarser codes that a PixelCNN is given.", 0
    )
    prior_label_smoothing: float = _option(
        0.0, "Prior", "Share of the training target spread over all codes.", 0
    )
    prior_ema: float = _option(
        0.0, "Prior", "Momentum of a moving average of the weights, which is what is kept.", 0
    )
    prior_precision: str = _option(
        "float32", "Prior", "Of the training: or mixed_bfloat16. The saved prior is float32."
    )
    conditional: bool = _option(False, "Prior", "Learn the codes of each class.")
    prior_epochs: int | None = _option(
        None, "Prior", "Epochs of stage 2 at most; left out, enough for about 800 steps.", 1
    )
    prior_learning_rate: float = _option(1e-3, "Prior", "Learning rate of stage 2 (Adam).", 0)
    patience: int = _option(
        5, "Prior", "Epochs without a better validation likelihood that end stage 2.", 1
    )
    allow_collapse: bool = _option(False, "Prior", "Train the prior of a collapsed level too.")

    num_samples: int = _option(64, "Samples", "Images to generate, or to reconstruct.", 1)
    temperature: float = _option(1.0, "Samples", "Below 1: the likelier codes more often.", 0)
    top_k: int | None = _option(None, "Samples", "Draw among the k likeliest codes only.", 1)
    top_p: float | None = _option(
        None, "Samples", "Draw among the likeliest codes up to this sum.", 0
    )

    def __post_init__(self):
        types = typing.get_type_hints(Config)
        for field in dataclasses.fields(self):
            value = _converted(field.name, getattr(self, field.name), types[field.name])
            object.__setattr__(self, field.name, value)
            least = field.metadata["at_least"]
            if least is not None and value is not None and value < least:
                raise ValueError(f"`{field.name}` must be at least {least}. Received: {value}.")

    @classmethod
    def create(cls, size: str = "small", **options: Any) -> "Config":
        """Return the config of a named size, with some fields changed.

        Args:
            size: a name in `SIZES`: "tiny" for tests, "small" for a CPU, "base" for the
                specification's 22 M parameters.
            **options: fields and their values; they win over the size. `wiring="best"` is how the
                best combination of docs/quality.md is put together.

        Returns:
            A `Config`.

        Raises:
            ValueError: if the size, the wiring or a field is not known.

        Example:

        ```python
        Config.create("base", dataset="fashion_mnist", data_dir="fashion-mnist")
        ```
        """
        return cls().updated({"size": size, **options})

    @classmethod
    def load(cls, path: str | Path) -> "Config":
        """Read a config from a JSON file; fields that it does not name keep their defaults.

        Args:
            path: the file. Beside fields it may name a `"size"` and a `"wiring"` to start from.

        Returns:
            A `Config`.

        Raises:
            ValueError: if the file is missing, is not JSON, or holds what is no field.

        Example:

        ```python
        Config.load("runs/emoji32/config.json")
        ```
        """
        return cls().updated(read_options(path))

    def updated(self, options: dict[str, Any]) -> "Config":
        """Return a copy with some fields changed; a `"size"` or `"wiring"` is applied first.

        Args:
            options: field names and values, as read from JSON or from flags.

        Returns:
            A `Config`.

        Raises:
            ValueError: if the size, the wiring or a field is not known.

        Example:

        ```python
        config = config.updated({"size": "tiny", "filters": 8})
        ```
        """
        options = dict(options)
        for kind, named in STARTS.items():
            name = options.pop(kind, None)
            if name is not None:
                if name not in named:
                    names = ", ".join(named)
                    raise ValueError(f"`{kind}` must be one of {names}. Received: {name}.")
                options = {**named[name], **options}
        known = {field.name for field in dataclasses.fields(self)}
        if unknown := sorted(set(options) - known):
            raise ValueError(f"A config has no field `{unknown[0]}`. It has: {sorted(known)}.")
        return dataclasses.replace(self, **options)

    def save(self) -> None:
        """Write the config to `config.json` in its run directory.

        Example:

        ```python
        Config.create("tiny", run_dir="runs/first").save()
        ```
        """
        self.run_dir.mkdir(parents=True, exist_ok=True)
        # Moved to its place when complete: another worker may read it.
        partial = self.file.with_suffix(".partial")
        partial.write_text(json.dumps(dataclasses.asdict(self), indent=2, default=str) + "\n")
        partial.replace(self.file)

    @property
    def file(self) -> Path:
        """Where the config itself is saved."""
        return self.run_dir / FILE_NAME

    @property
    def vqvae_dir(self) -> Path:
        """Folder of stage 1: checkpoints, history and the final model."""
        return self.run_dir / "vqvae2"

    @property
    def vqvae_file(self) -> Path:
        """The trained `VQVAE2`."""
        return self.vqvae_dir / "vqvae2_final.keras"

    @property
    def codes_dir(self) -> Path:
        """Folder of the codes, with one folder a split."""
        return self.run_dir / "codes"

    @property
    def prior_dir(self) -> Path:
        """Folder of stage 2: checkpoints, history and the final model."""
        return self.run_dir / "prior"

    @property
    def prior_file(self) -> Path:
        """The trained `HierarchicalPrior`."""
        return self.prior_dir / "prior_final.keras"

    @property
    def report_file(self) -> Path:
        """What was measured of the trained models."""
        return self.run_dir / "report.json"

    @property
    def saved_model_dir(self) -> Path:
        """Folder of the exported versions, for TensorFlow Serving."""
        return self.run_dir / "saved_model"


def read_options(path: str | Path) -> dict[str, Any]:
    """Read the fields that a JSON file of a config names.

    Args:
        path: the file.

    Returns:
        A dict from field name to value, as written.

    Raises:
        ValueError: if the file is missing or is not a JSON object.

    Example:

    ```python
    config = config.updated(read_options("wide.json"))
    ```
    """
    try:
        options = json.loads(Path(path).read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"A config must be a readable JSON file. {path}: {error}") from None
    if not isinstance(options, dict):
        raise ValueError(f"A config must be a JSON object. Received in {path}: {options!r}.")
    return options


def _converted(name: str, value: Any, kind: Any) -> Any:
    """Bring a value from JSON or from a caller to the type of its field, or refuse it."""
    kinds = typing.get_args(kind) or (kind,)
    if isinstance(value, str) and Path in kinds:
        return Path(value)
    if isinstance(value, int) and not isinstance(value, bool) and float in kinds:
        return float(value)
    # A bool is an int to Python, but no number of epochs.
    if isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds):
        return value
    wanted = " or ".join(kind.__name__ for kind in kinds)
    raise ValueError(f"`{name}` must be of type {wanted}. Received: {value!r}.")
