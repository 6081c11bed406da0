"""Exports, asked in processes and engines that know nothing of Keras or of this package."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_vqvae2 import VQVAE2
from keras_vqvae2.export import export_vqvae, read_signatures
from keras_vqvae2.sampling import request_noise, sample_request

pytestmark = pytest.mark.tensorflow_only

SIZES = (1, 3, 64)
OPTIONS = ("labels", "temperature", "top_k", "top_p")

# Loads the SavedModel in both ways and runs what it is given, where nothing else can be imported.
CLEAN_PROCESS = """
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder


class Hide:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] not in {"keras", "keras_vqvae2"}:
            return PathFinder.find_spec(name, path, target)


sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Hide]
folder, tests = sys.argv[1:]
sys.path.insert(0, tests)
import numpy as np
import tensorflow as tf
from session_model import SessionModel

data, results = dict(np.load(folder + "/inputs.npz")), {}
loaded = tf.saved_model.load(folder + "/1")
session = SessionModel(folder + "/1")
for name in sorted({key.rsplit("/", 1)[0] for key in data}):
    inputs = {key.rsplit("/", 1)[1]: data[key] for key in data if key.startswith(name + "/")}
    signature = name.split("/")[0]
    tensors = {key: tf.constant(value) for key, value in inputs.items()}
    ways = {
        "loaded": {k: v.numpy() for k, v in loaded.signatures[signature](**tensors).items()},
        "session": session.run(signature, inputs),
    }
    for way, outputs in ways.items():
        results.update({f"{way}/{name}/{key}": value for key, value in outputs.items()})
assert not {"keras", "keras_vqvae2"} & set(sys.modules)
np.savez(folder + "/outputs.npz", **results)
"""


def request(size, **changes):
    """Inputs of all signatures, each row with options of its own."""
    return {**_request(size), **changes}


@functools.cache
def _request(size):
    rng = np.random.default_rng(size)
    inputs = {
        "seed": rng.integers(-(2**62), 2**62, size),
        "labels": rng.integers(0, 9, size).astype("int32"),
        "temperature": rng.uniform(0.5, 2.0, size).astype("float32"),
        "top_k": rng.integers(0, 4, size).astype("int32"),
        "top_p": rng.uniform(0.5, 1.0, size).astype("float32"),
        "images": rng.integers(0, 256, (size, 16, 8, 3), dtype="uint8"),
        "mask": np.repeat(rng.random((size, 4, 1)) < 0.5, 4, axis=1) & np.ones(8, bool),
        "codes_top": rng.integers(0, 7, (size, 2, 1)).astype("int32"),
        "codes_bottom": rng.integers(0, 7, (size, 4, 2)).astype("int32"),
    }
    noise = [sample_request(1, seed) for seed in inputs["seed"]]
    for stream, (level, shape) in enumerate({"top": (2, 1), "bottom": (4, 2)}.items()):
        rows = [np.asarray(request_noise(row, shape, stream)) for row in noise]
        inputs[f"uniforms_{level}"] = np.concatenate(rows)
    return inputs


@pytest.fixture(scope="module")
def exported(class_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "models" / "1"
    class_model.export(path)
    return path


@pytest.fixture(scope="module")
def signatures(exported):
    return read_signatures(exported)


@pytest.fixture(scope="module")
def session(exported):
    from session_model import SessionModel

    return SessionModel(exported)


@pytest.fixture(scope="module")
def answers(exported, signatures):
    """What a clean process answers: `(way, signature, size) -> outputs`."""
    folder = exported.parent
    inputs = {
        f"{name}/{size}/{key}": request(size)[key]
        for name, signature in signatures.items()
        if name != "serving_default"
        for size in SIZES
        for key in signature.inputs
    }
    np.savez(folder / "inputs.npz", **inputs)
    command = [sys.executable, "-c", CLEAN_PROCESS, str(folder), str(Path(__file__).parents[1])]
    subprocess.run(command, check=True, timeout=300)
    outputs = np.load(folder / "outputs.npz")

    def get(way, name, size):
        start = f"{way}/{name}/{size}/"
        return {key[len(start) :]: outputs[key] for key in outputs.files if key.startswith(start)}

    return get


@pytest.fixture(scope="module")
def own_codes(class_model):
    """The codes that the model itself samples for each row: `size -> codes`."""

    @functools.cache
    def get(size):
        inputs = request(size)
        codes = [
            class_model.prior.sample(1, seed=seed, **row_options(inputs, row))
            for row, seed in enumerate(inputs["seed"])
        ]
        return tuple(np.concatenate(level) for level in zip(*codes, strict=True))

    return get


@pytest.fixture(scope="module")
def own_completions(class_model):
    """The images that the model itself completes of each row: `size -> images`."""

    @functools.cache
    def get(size):
        inputs = request(size)
        images = [
            class_model.complete(
                inputs["images"][row : row + 1],
                inputs["mask"][row : row + 1],
                seed=seed,
                **row_options(inputs, row),
            )
            for row, seed in enumerate(inputs["seed"])
        ]
        return np.concatenate(images)

    return get


@pytest.fixture(params=["loaded", "session"])
def way(request):
    return request.param


def row_options(inputs, row):
    return {key: inputs[key][row] for key in OPTIONS}


@pytest.mark.parametrize("size", SIZES)
def test_images_are_encoded_and_decoded_as_by_the_model(class_model, answers, way, size):
    inputs = request(size)
    top, bottom = class_model.vqvae.encode(inputs["images"])
    encoded = answers(way, "encode", size)
    np.testing.assert_array_equal(encoded["codes_top"], top)
    np.testing.assert_array_equal(encoded["codes_bottom"], bottom)
    decoded = class_model.vqvae.decode((inputs["codes_top"], inputs["codes_bottom"]))
    assert_close_images(answers(way, "decode", size)["images"], decoded)
    reconstructed = class_model.reconstruct(inputs["images"])
    assert_close_images(answers(way, "reconstruct", size)["images"], reconstructed)
    log_prob = class_model.log_prob(inputs["images"], labels=inputs["labels"])
    np.testing.assert_allclose(answers(way, "log_prob", size)["log_prob"], log_prob, rtol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_each_row_is_what_its_seed_generates(class_model, own_codes, answers, way, size):
    codes = own_codes(size)
    outputs = answers(way, "sample", size)
    assert_close_images(outputs["images"], class_model.vqvae.decode(codes))
    log_prob = sum(class_model.prior.log_prob(codes, labels=request(size)["labels"]))
    np.testing.assert_allclose(outputs["log_prob"], log_prob, rtol=1e-4)
    for key, value in answers(way, "sample_from_noise", size).items():
        np.testing.assert_array_equal(value, outputs[key])


@pytest.mark.parametrize("size", SIZES)
def test_each_row_is_completed_as_by_the_model(own_completions, answers, way, size):
    assert_close_images(answers(way, "complete", size)["images"], own_completions(size))


def assert_close_images(images, expected):
    assert images.dtype == np.uint8
    assert np.abs(images.astype("float32") - expected).max() <= 1


def test_a_row_does_not_depend_on_the_others(session, answers):
    whole = request(64)
    images = answers("session", "sample", 64)["images"]
    keys = ("seed", *OPTIONS)
    # Any rows, in any order, among others or alone; and for all batches one and the same order.
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 31):
        for rows in rng.integers(0, 64, (4, size)):
            inputs = {key: whole[key][rows] for key in keys}
            np.testing.assert_array_equal(session.run("sample", inputs)["images"], images[rows])


def test_an_option_of_one_row_is_of_all(session):
    inputs = {key: request(5)[key] for key in ("seed", *OPTIONS)}
    for key in OPTIONS:
        one = {**inputs, key: inputs[key][:1]}
        all_ = {**inputs, key: np.repeat(inputs[key][:1], 5)}
        np.testing.assert_array_equal(
            session.run("sample", one)["images"], session.run("sample", all_)["images"]
        )


def test_the_signatures_are_those_of_the_design(signatures):
    options = {"labels": 0, "temperature": 1, "top_k": 0, "top_p": 1}
    codes, noise = {"codes_top", "codes_bottom"}, {"uniforms_top", "uniforms_bottom"}
    expected = {
        "sample": ({"seed"}, options, {"images", "log_prob"}),
        "serving_default": ({"seed"}, options, {"images", "log_prob"}),
        "sample_from_noise": (noise, options, {"images", "log_prob"}),
        "reconstruct": ({"images"}, {}, {"images"}),
        "encode": ({"images"}, {}, codes),
        "decode": (codes, {}, {"images"}),
        "log_prob": ({"images"}, {"labels": 0}, {"log_prob"}),
        "complete": ({"images", "mask", "seed"}, options, {"images"}),
    }
    assert signatures.keys() == expected.keys()
    import tensorflow as tf

    example = request(1)
    for name, (required, defaults, outputs) in expected.items():
        signature = signatures[name]
        assert set(signature.inputs) == required | defaults.keys()
        assert set(signature.outputs) == outputs
        assert signature.defaults.keys() == defaults.keys()
        for key, value in defaults.items():
            assert tf.make_ndarray(signature.defaults[key]).tolist() == [value]
        for key, info in signature.inputs.items():
            assert tf.as_dtype(info.dtype).as_numpy_dtype == example[key].dtype, key
            shape = [dim.size for dim in info.tensor_shape.dim]
            assert shape == [-1, *example[key].shape[1:]]


def test_the_graph_holds_plain_operations_alone(exported):
    from tensorflow.core.protobuf import saved_model_pb2

    saved_model = saved_model_pb2.SavedModel()
    saved_model.ParseFromString((exported / "saved_model.pb").read_bytes())
    graph = saved_model.meta_graphs[0].graph_def
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    kinds = {node.op for node in nodes}
    assert {"While", "StatelessWhile"} & kinds, "the sampler is a loop in the graph"
    refused = ("PyFunc", "Xla", "Random", "Multinomial", "RngSkip", "Bitcast")
    assert not [kind for kind in kinds if any(word in kind for word in refused)]
    assert not any("_XlaMustCompile" in f.attr for f in graph.library.function)
    assert not any(node.attr["_XlaMustCompile"].b for node in nodes)


def test_each_variable_is_stored_once(class_model, exported):
    import tensorflow as tf

    stored = tf.train.list_variables(str(exported / "variables" / "variables"))
    shapes = sorted(tuple(shape) for name, shape in stored if "VARIABLE_VALUE" in name)
    assert shapes == sorted(tuple(weight.shape) for weight in class_model.weights)


WRONG = [
    ("sample", {"seed": np.zeros((2, 1), "int64")}, "seed.*not compatible with expected shape"),
    ("sample", {"seed": np.zeros((), "int64")}, "seed"),
    ("sample", {"seed": np.zeros(0, "int64")}, "`seed` must hold at least one row"),
    ("sample", {"seed": np.zeros(3, "float32")}, "seed"),
    ("sample", {"labels": np.int32([0, 9, 0])}, r"`labels` must be in \[0, 9\).*\[0 9 0\]"),
    ("sample", {"labels": np.int32([-1])}, r"`labels` must be in \[0, 9\).*\[-1\]"),
    ("sample", {"labels": np.int32([1, 2])}, "`labels` must have one row, or as many as `seed`"),
    ("sample", {"labels": np.zeros(3, "int64")}, "labels"),
    ("sample", {"temperature": np.float32([1, np.nan, 1])}, "`temperature` must be positive"),
    ("sample", {"temperature": np.float32([0])}, "`temperature` must be positive and finite"),
    ("sample", {"temperature": np.float32([np.inf])}, "`temperature` must be positive and finite"),
    ("sample", {"temperature": np.float32([-1])}, "`temperature` must be positive and finite"),
    ("sample", {"top_p": np.float32([0])}, r"`top_p` must be in \(0, 1\].*\[0\]"),
    ("sample", {"top_p": np.float32([1.5])}, r"`top_p` must be in \(0, 1\].*\[1.5\]"),
    ("sample", {"top_p": np.float32([np.nan])}, r"`top_p` must be in \(0, 1\]"),
    ("sample", {"top_k": np.int32([-2])}, r"`top_k` must be at least 0.*\[-2\]"),
    ("sample_from_noise", {"uniforms_top": np.ones((3, 2, 1), "float32")}, "`uniforms_top` must"),
    ("sample_from_noise", {"uniforms_bottom": np.zeros((2, 4, 2), "float32")}, "as many rows"),
    ("decode", {"codes_top": np.full((3, 2, 1), 7, "int32")}, r"`codes_top` must be in \[0, 7\)"),
    ("decode", {"codes_bottom": np.full((3, 4, 2), -1, "int32")}, "`codes_bottom` must be in"),
    ("decode", {"codes_bottom": np.zeros((3, 2, 4), "int32")}, "codes_bottom"),
    ("encode", {"images": np.zeros((16, 8, 3), "uint8")}, "images"),
    ("encode", {"images": np.zeros((1, 8, 8, 3), "uint8")}, "images"),
    ("encode", {"images": np.zeros((1, 16, 8, 1), "uint8")}, "images"),
    ("encode", {"images": np.zeros((0, 16, 8, 3), "uint8")}, "`images` must hold at least one"),
    ("log_prob", {"labels": np.int32([9])}, "`labels` must be in"),
    ("complete", {"mask": np.zeros((3, 8, 8), bool)}, "mask"),
    ("complete", {"seed": np.zeros(1, "int64")}, "`seed` must have as many rows as `images`"),
]


@pytest.mark.parametrize(("name", "changes", "message"), WRONG)
def test_the_graph_itself_refuses_wrong_inputs(session, signatures, name, changes, message):
    import tensorflow as tf

    given = request(3, **changes)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"(?s){message}"):
        session.run(name, {key: given[key] for key in signatures[name].inputs})


def test_nothing_is_written_over(class_model, exported):
    before = (exported / "saved_model.pb").stat().st_mtime_ns
    with pytest.raises(ValueError, match=f"`path` must not exist.*Received: path={exported}"):
        class_model.export(exported)
    assert (exported / "saved_model.pb").stat().st_mtime_ns == before


def test_a_failed_export_leaves_nothing(class_model, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError("the disk is full")

    monkeypatch.setattr("tensorflow.saved_model.save", fail)
    with pytest.raises(OSError, match="full"):
        class_model.export(tmp_path / "1")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def vqvae_of_one_level(tmp_path_factory):
    model = VQVAE2((8, 8, 1), filters=4, num_residual_blocks=0, num_levels=1, num_embeddings=5)
    path = tmp_path_factory.mktemp("vqvae") / "1"
    model.export(path)
    return model, path


def test_a_vqvae_has_three_signatures(vqvae_of_one_level):
    import tensorflow as tf

    model, path = vqvae_of_one_level
    signatures = read_signatures(path)
    assert signatures.keys() == {"serving_default", "reconstruct", "encode", "decode"}
    assert set(signatures["decode"].inputs) == {"codes_0"}
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype="uint8")
    loaded = tf.saved_model.load(str(path)).signatures
    codes = loaded["encode"](images=tf.constant(images))
    np.testing.assert_array_equal(codes["codes_0"], model.encode(images)[0])
    assert_close_images(loaded["decode"](**codes)["images"].numpy(), model(images))
    assert_close_images(
        loaded["serving_default"](images=tf.constant(images))["images"].numpy(), model(images)
    )


def test_half_precision_is_exported(tmp_path):
    import tensorflow as tf

    model = VQVAE2(
        (8, 8, 1), 4, num_residual_blocks=0, num_levels=1, num_embeddings=5, dtype="mixed_bfloat16"
    )
    export_vqvae(model, tmp_path / "1")
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype="uint8")
    outputs = tf.saved_model.load(str(tmp_path / "1")).signatures["encode"](
        images=tf.constant(images)
    )
    np.testing.assert_array_equal(outputs["codes_0"], model.encode(images)[0])


ON_JAX = """
import sys
import keras, numpy as np
import keras_vqvae2 as kv

assert keras.backend.backend() == "jax"
model = keras.saving.load_model(sys.argv[1] + "/model.keras")
images = np.load(sys.argv[1] + "/images.npy")
np.savez(sys.argv[1] + "/jax.npz", codes=model.encode(images)[0], images=model(images))
model.export(sys.argv[1] + "/1")
"""


@pytest.mark.long
def test_a_model_on_jax_gives_the_same_export(vqvae_of_one_level, signatures, tmp_path):
    import tensorflow as tf

    model, path = vqvae_of_one_level
    model.save(tmp_path / "model.keras")
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), dtype="uint8")
    np.save(tmp_path / "images.npy", images)
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    command = [sys.executable, "-c", ON_JAX, str(tmp_path)]
    subprocess.run(command, check=True, timeout=300, env=environment)
    assert read_signatures(tmp_path / "1") == read_signatures(path)
    expected = np.load(tmp_path / "jax.npz")
    loaded = tf.saved_model.load(str(tmp_path / "1")).signatures
    outputs = loaded["encode"](images=tf.constant(images))
    np.testing.assert_array_equal(outputs["codes_0"], expected["codes"])
    assert_close_images(loaded["decode"](**outputs)["images"].numpy(), expected["images"])


def test_a_failure_in_the_process_on_tensorflow_is_told(class_model, tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no TensorFlow here >&2\nexit 3\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(type(class_model), "save", lambda self, file: None)
    with pytest.raises(RuntimeError, match="process on TensorFlow failed:\nno TensorFlow here"):
        class_model.export(tmp_path / "model" / "1")
    assert not list((tmp_path / "model").iterdir())
