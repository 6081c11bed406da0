"""Any value of any argument: a result that works, or an error that names the argument.

Public constructors, functions and methods are found by the names of the package, and their
arguments by their names, which mean the same everywhere: what is new is tried without a word here.
"""

import functools
import inspect
import re
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import keras_vqvae2 as kv

MODULES = (
    *(kv.layers, kv.metrics, kv.models, kv.callbacks, kv.datasets, kv.evaluation, kv.tuning),
)
# Of tensors in a graph, and what Keras or KerasTuner calls.
INNER = re.compile(
    r"call|build|compute_.*|get_config|from_config|condition_map"
    r"|step|init_cache|row|start_row|column|end_row"
    r"|on_.*|write|set_model|find|restore|result|update_.*|.*_tensors|forward|unpack|check_.*"
    r"|call_inputs|inputs_of|request|export|quantize|from_preset|save|load|objective"
    r"|architecture|training|make_model|datasets|measures|declare_hyperparameters|fit|embed_codes"
)


def images(count=4):
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype="uint8")


def data():
    return kv.ImageData.from_arrays(images(), np.arange(4) % 3, label_names=("a", "b", "c"))


@functools.cache
def vqvae():
    keras.utils.set_random_seed(0)
    return kv.VQVAE2((8, 8, 3), filters=4, num_residual_blocks=0, embedding_dim=2, num_embeddings=4)


@functools.cache
def prior():
    return kv.HierarchicalPrior.from_vqvae(vqvae(), filters=4, num_blocks=1, num_classes=3)


@functools.cache
def guided():
    options = {"filters": 4, "num_blocks": 1, "num_classes": 3, "label_dropout": 0.1}
    return kv.ImageGenerator(vqvae(), kv.HierarchicalPrior.from_vqvae(vqvae(), **options))


@functools.cache
def classifier():
    return kv.evaluation.build_classifier((8, 8, 3), 3, filters=2, features=4)


@functools.cache
def levels():
    return tuple(np.zeros((4, *shape), "int32") for shape in vqvae().code_shapes)


@functools.cache
def folder():
    return tempfile.TemporaryDirectory()


@functools.cache
def pictures():
    path = Path(folder().name, "pictures")
    for split in ("train", "validation"):
        (path / split).mkdir(parents=True)
        for number, image in enumerate(images()):
            Image.fromarray(image).save(path / split / f"{number}.png")
    return path


@functools.cache
def code_batches():
    path = Path(folder().name, "codes")
    kv.extract_codes(vqvae(), data(), path)
    return kv.CodeBatches(path, 4)


@functools.cache
def compiled():
    model = guided()
    model.vqvae.compile()
    model.prior.compile()
    return model


def report():
    measured = {"validation": 1.0}
    level = {"bits_per_code": measured, "code_shape": (2, 2)}
    return {"levels": {"top": level}, "reconstruction": {"validation": {"mse": 0.1}}}


@functools.cache
def trials():
    record = kv.tuning.TrialRecord("0", "COMPLETED", 0.5, 1, {"filters": 4})
    return [record, kv.tuning.TrialRecord("1", "FAILED", None, None, {"filters": 8})]


@functools.wraps(kv.extract_codes)
def extract_codes(vqvae, data, directory, **options):
    """Into a folder of its own each time."""
    with tempfile.TemporaryDirectory() as path:
        kv.extract_codes(vqvae, data, path, **options)


@functools.wraps(kv.tuning.make_tuner)
def make_tuner(hypermodel, directory, **options):
    """In a folder of its own each time."""
    with tempfile.TemporaryDirectory() as path:
        kv.tuning.make_tuner(hypermodel, path, **options)


def features(seed):
    return np.random.default_rng(seed).normal(size=(8, 3))


# What an argument is given where another one is odd; a class or function may have its own.
VALUES = {
    "batch_size": lambda: 4,
    "candidates": lambda: 1,
    "classifier": classifier,
    "code_shape": lambda: (2, 2),
    "evaluate.codes": lambda: {"train": code_batches()},
    "evaluate.images": lambda: {"train": kv.ImageBatches(data(), 4)},
    "evaluate.priors": lambda: compiled().prior,
    "evaluate.vqvae": lambda: compiled().vqvae,
    "headline_scores.report": report,
    "code_shapes": lambda: vqvae().code_shapes,
    "codes": levels,
    "data": images,
    "decode": lambda: lambda item: images(1)[0],
    "directory": lambda: "/nowhere",
    "embedding_dim": lambda: 2,
    "features": lambda: 4,
    "filters": lambda: 4,
    "fixed": lambda: False,
    "generated": lambda: features(1),
    "held_out": images,
    "image_shape": lambda: (8, 8, 3),
    "images": images,
    "items": lambda: [0, 1],
    "kernel_size": lambda: 3,
    "labels": lambda: np.arange(4) % 3,
    "level_priors": lambda: prior().level_priors,
    "log_dir": lambda: "/nowhere",
    "mask": lambda: np.ones((8, 8), bool),
    "model": vqvae,
    "name": lambda: None,
    "sample_from_noise.noise": lambda: prior().noise(4, seed=0),
    "num_blocks": lambda: 1,
    "num_classes": lambda: 3,
    "num_dimensions": lambda: 4,
    "num_embeddings": lambda: 4,
    "num_heads": lambda: 2,
    "num_residual_blocks": lambda: 0,
    "num_samples": lambda: 4,
    "prior": prior,
    "priors": prior,
    "rate": lambda: 0.5,
    "real": lambda: features(0),
    "references": lambda: features(1),
    "residual_filters": lambda: 2,
    "rows": lambda: np.array([0]),
    "share": lambda: 0.5,
    "vqvae": vqvae,
    "batches": code_batches,
    "hypermodel": lambda: kv.tuning.HyperVQVAE2((8, 8, 3)),
    "objective": lambda: kv.tuning.HyperVQVAE2((8, 8, 3)).objective(),
    "draw_trials.path": lambda: str(Path(folder().name, "trials.png")),
    "records": trials,
    "report": lambda: None,
    "class_likelihood.model": guided,
    "CodeBatches.directory": lambda: code_batches().directory,
    "CodebookUsage.num_embeddings": lambda: 4,
    "FeatureExtractor.model": classifier,
    "FeatureExtractor.name": lambda: "a",
    "ImageBatches.labels": lambda: None,
    "ImageData.name": lambda: "a",
    "LevelUsage.name": lambda: "top",
    "PixelCNN.codes": lambda: np.zeros((4, 2, 2), "int32"),
    "PixelCNN.labels": lambda: np.arange(4) % 3,
    "TwoStreamGatedBlock.filters": lambda: 4,
    "from_arrays.name": lambda: "a",
    "load.name": lambda: str(pictures()),
    "make_tuner.objective": lambda: None,
    "nearest.features": lambda: features(0),
}

# What Keras itself looks at; flags, which are whatever is true or false; and what is asked for its
# methods or its items, which Python misses where there are none.
THEIRS = re.compile(
    r"name|dtype|seed|.*_initializer|use_bias|ends_vertical|shuffle|drop_remainder|with_labels|flip"
    r"|fixed|cached|writes|interrupted|callback|callbacks|score_fn|decode|items|vqvae|prior|model"
    r"|rows|start|stop|split|places|directory|log_dir|path"
)
# What an argument is called once it is taken apart.
ALSO = {"data": "images", "label_names": "labels"}
# Records and an error, which others make; what others derive from; a network that is learned, or
# judged by such.
LEFT_OUT = {
    *("CodeManifest", "LevelUsage", "TrialRecord", "SearchFailed", "GuardedHyperModel"),
    *("train_classifier", "score_samples", "load_extractor"),
}
# Examples of each argument, where each takes long.
COUNTS = dict.fromkeys(("VQVAE2", "PixelCNN", "HierarchicalPrior", "ImageGenerator"), 4)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 9),  # which a network may be as large as
    st.floats(width=32),
    st.text(max_size=3),
    st.lists(st.integers(-1, 4), max_size=4).map(tuple),
    st.lists(st.floats(width=16), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(0, 2), max_size=2),
    st.builds(object),
)


def public(module):
    """The public classes and functions of a part of the package, by their names."""
    for name in getattr(module, "__all__", None) or vars(module):
        value = getattr(module, name)
        made = inspect.isroutine(value) or inspect.isclass(value)
        if made and value.__module__.startswith(module.__name__) and not name.startswith("_"):
            yield name, value


def arguments(function, label):
    """The usual value of each argument of a function, those that have a default included."""
    owner, _, method = label.rpartition(".")
    usual = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        keys = [f"{method}.{name}", f"{owner}.{name}", name]
        value = next((VALUES[key] for key in keys if key in VALUES), None)
        if value is None and parameter.default is parameter.empty:
            raise AssertionError(f"`VALUES` needs one for the argument `{name}` of {label}")
        usual[name] = parameter.default if value is None else value()
    return usual


def use(result):
    """Run what was built on a tiny input, if it is a layer or a metric of one."""
    if isinstance(result, keras.layers.Layer) and not isinstance(result, keras.Model):
        grid = keras.ops.ones((1, 4, 4, 4))
        codes = keras.ops.zeros((4,), "int32")
        inputs = {
            "LabelDropout": (codes,),
            "TwoStreamGatedBlock": (grid, grid),
            "DiscretizedLogistic": (grid, grid),
            "VectorQuantizer": (keras.ops.ones((1, 4, getattr(result, "embedding_dim", 1))),),
        }
        result(*inputs.get(type(result).__name__, (grid,)))
    elif isinstance(result, keras.metrics.Metric):
        result.result()


def complaint(call, usual, name, odd):
    """What a call with an odd argument is refused for; None if it works."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            use(call(**{**usual, name: odd}))
    except (ValueError, TypeError) as error:
        return str(error)
    return None


CALLS = {
    name: value
    for module in MODULES
    for name, value in public(module)
    if name not in LEFT_OUT and not (inspect.isroutine(value) and INNER.fullmatch(name))
} | {"extract_codes": extract_codes, "make_tuner": make_tuner, "load": kv.datasets.load}
# Layers have their methods for the graphs of models, of tensors.
METHODS_OF = [
    name
    for name, value in CALLS.items()
    if (
        inspect.isclass(value)
        and not issubclass(
            value, (keras.layers.Layer, keras.metrics.Metric, keras.callbacks.Callback)
        )
    )
    or name in COUNTS
]
METHODS = [
    f"{owner}.{name}"
    for owner, value in CALLS.items()
    if owner in METHODS_OF
    for name, method in vars(value).items()
    if inspect.isfunction(method) and not name.startswith("_") and not INNER.fullmatch(name)
]


@functools.cache
def found(label):
    """A public function, class, or method of an instance, and its usual arguments."""
    owner, _, method = label.partition(".")
    call = CALLS[owner]
    if method:
        call = getattr(call(**arguments(call, owner)), method)
    return call, arguments(call, label)


@pytest.mark.long
@pytest.mark.parametrize("label", [*CALLS, *METHODS])
def test_an_odd_argument_works_or_is_named(label):
    call, usual = found(label)
    use(call(**usual))
    names = [name for name in usual if not THEIRS.fullmatch(name)]

    @settings(
        max_examples=COUNTS.get(label.partition(".")[0], 20) * len(names) + 1,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(name=st.sampled_from(names), odd=ODD)
    def explore(name, odd):
        message = complaint(call, usual, name, odd)
        known = message is None or name in message or ALSO.get(name, name) in message
        assert known, (name, odd, message)

    if names:
        explore()
