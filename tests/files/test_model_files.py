"""Models that somebody else may have made: what is refused, in how much memory and time."""

import copy
import json
import shutil
import time
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from keras_vqvae2.files.model_files import load_model
from keras_vqvae2.models import VQVAE2

STATUS, PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MOST_SECONDS = 20
MOST_BYTES = 200 << 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of this package's, as a folder."""
    path = tmp_path_factory.mktemp("models") / "model"
    model = VQVAE2((8, 8, 1), filters=4, num_levels=1, embedding_dim=2, num_embeddings=4)
    model.save(path, zipped=False)
    return path


@pytest.fixture
def own(folder, tmp_path):
    """A copy of that folder, to be changed."""
    return Path(shutil.copytree(folder, tmp_path / "model"))


def zipped(folder, compression=zipfile.ZIP_STORED):
    """The folder as a `.keras` file."""
    path = folder.with_suffix(".keras")
    with zipfile.ZipFile(path, "w", compression) as archive:
        for file in folder.iterdir():
            if file.is_file():
                archive.write(file, file.name)
    return path


def peak():
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


def refused(path, message):
    """Whether a model is refused by one sentence, in bounded memory and time."""
    measured = PEAK.exists()
    if measured:
        PEAK.write_text("5")  # of what the process had at most, from here on
        before = peak()
    begun = time.monotonic()
    with pytest.raises(ValueError, match=message) as error:
        load_model(path)
    assert time.monotonic() - begun < MOST_SECONDS
    assert not measured or peak() - before < MOST_BYTES
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)


def change_config(folder, change):
    file = folder / "config.json"
    config = json.loads(file.read_text())
    change(config)
    file.write_text(json.dumps(config))


def test_file_and_folder_hold_the_same_model(own):
    expected = keras.saving.load_model(zipped(own)).get_weights()
    for path in (own, own.with_suffix(".keras")):
        for weights, other in zip(load_model(path).get_weights(), expected, strict=True):
            np.testing.assert_array_equal(weights, other)


def test_models_of_all_kinds_of_keras_parts_are_taken(tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, activation="swish", kernel_regularizer="l2")(inputs)
    x = keras.layers.Activation("tanh")(keras.layers.BatchNormalization()(x)) * 2.0
    x = keras.layers.Dropout(0.5, seed=2**31 - 1)(keras.ops.mean(x, axis=(1, 2)))
    model = keras.Model(inputs, keras.layers.Dense(2, dtype="mixed_float16")(x))
    rate = keras.optimizers.schedules.CosineDecay(1e-3, 10)
    model.compile(keras.optimizers.Adam(rate), keras.losses.MeanSquaredError(), metrics=["mae"])
    model.fit(np.zeros((2, 8, 8, 3)), np.zeros((2, 2)), verbose=0)
    model.save(tmp_path / "a.keras")
    loaded = load_model(tmp_path / "a.keras")
    for one, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_class_of_the_callers_own_is_taken_once_it_is_registered(tmp_path):
    @keras.saving.register_keras_serializable("mine")
    class Mine(keras.layers.Layer):
        def call(self, inputs):
            return inputs

    keras.Sequential([keras.Input((2,)), Mine()]).save(tmp_path / "a.keras")
    assert isinstance(load_model(tmp_path / "a.keras").layers[0], Mine)
    del keras.saving.get_custom_objects()["mine>Mine"]
    refused(tmp_path / "a.keras", "must be registered with Keras first. Received: 'Mine'")


FOREIGN = {
    "a lambda": {"module": "keras.layers", "class_name": "Lambda"},
    "a lambda by its inner name": {"module": "keras.src.layers.core", "class_name": "Lambda"},
    "a lambda as a value": {"class_name": "__lambda__", "config": {"value": ""}},
    "a system call": {"module": "os", "class_name": "function", "config": "system"},
    "a module of its name": {"module": "keras_evil", "class_name": "Dense"},
    "a function that fetches": {"module": "keras.utils", "class_name": "get_file"},
    "a switch": {"module": "keras.config", "class_name": "enable_unsafe_deserialization"},
    "a pickle": {"module": "keras.layers", "class_name": "TorchModuleWrapper"},
    "a SavedModel": {"module": "keras.layers", "class_name": "TFSMLayer"},
    "a file": {"module": "keras.layers", "class_name": "StringLookup"},
    "a class whose name is none": {"module": "keras.layers", "class_name": ["Dense"]},
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_part_of_a_model_is_refused(own, name):
    entry = {"config": {}, "registered_name": None, **FOREIGN[name]}
    change_config(own, lambda config: config["config"].update(inner=[{"deep": entry}]))
    for path in (own, zipped(own)):
        refused(path, "must consist of Keras's and this package's classes")


def test_a_config_that_fits_no_constructor_is_a_sentence(own):
    change_config(own, lambda config: config["config"].update(filters="many"))
    refused(own, r"must hold a model of this version. .*filters")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("filters", 10**7, "of the size of its weights. Received: a layer"),
        ("num_embeddings", 10**12, "of the size of its weights. Received: a layer"),
        ("num_levels", 10**12, "at most 1,024 of each part. Received: num_levels=1000000000000"),
        ("num_residual_blocks", 10**12, "at most 1,024 of each part"),
    ],
)
def test_a_config_of_more_than_its_weights_is_refused(own, field, value, message):
    change_config(own, lambda config: config["config"].update({field: value}))
    refused(own, message)
    refused(zipped(own), message)


def test_a_config_without_end_is_refused(own):
    (own / "config.json").write_text("[" * 10**6)
    refused(zipped(own), "is damaged")
    with open(own / "config.json", "w") as sparse:
        sparse.truncate(1 << 40)
    with pytest.raises(ValueError, match=r"config.json must have at most 16,777,216 bytes"):
        load_model(own)


def test_a_file_that_unpacks_to_more_than_it_is_is_refused(own):
    with open(own / "model.weights.h5", "r+b") as file:
        file.truncate(1 << 26)  # of zeros, which become some kilobytes
    refused(zipped(own, zipfile.ZIP_DEFLATED), "neither compressed nor encrypted")


def test_members_beside_those_of_a_model_are_refused(own):
    (own / "model.weights.npz").write_bytes(b"")
    refused(zipped(own), "must hold config.json, metadata.json and model.weights.h5")
    (own / "model.weights.h5").unlink()
    refused(own, "Received: a folder without model.weights.h5")


WEIGHTS = {
    "that are compressed": lambda group: group.create_dataset(
        "bomb", (1 << 31,), "f4", compression="gzip", chunks=(1 << 20,)
    ),
    "that are not there": lambda group: group.create_dataset("bomb", (1 << 40,), "f4"),
    "in another file": lambda group: group.create_dataset(
        "bomb", (4,), "u1", external=[("/etc/passwd", 0, 4)]
    ),
    "of another file": lambda group: group.__setitem__("bomb", h5py.ExternalLink("x.h5", "/")),
    "by a link": lambda group: group.__setitem__("bomb", h5py.SoftLink("/")),
    "of a virtual array": lambda group: group.create_virtual_dataset(
        "bomb", h5py.VirtualLayout((4,), "f4")
    ),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_do_not_lie_in_the_file_are_refused(own, name):
    with h5py.File(own / "model.weights.h5", "a") as file:
        WEIGHTS[name](file.create_group("layers/other/vars"))
    refused(zipped(own), r"must hold (its weights as they are|no links|the weights that it tells)")
    with pytest.raises(ValueError, match=r"model.weights.h5 must hold "):
        load_model(own)


def test_groups_that_hold_each_other_have_an_end(own):
    with h5py.File(own / "model.weights.h5", "a") as file:
        file["layers/again"] = file["/"]
    load_model(own)


def test_a_link_out_of_a_folder_is_refused(own, tmp_path):
    (own / "config.json").rename(tmp_path / "config.json")
    (own / "config.json").symlink_to(tmp_path / "config.json")
    with pytest.raises(ValueError, match=r"config.json must lie in its folder"):
        load_model(own)


def test_files_of_other_formats_are_refused(tmp_path):
    for name in ("a.h5", "a.keras", "a.pkl"):
        (tmp_path / name).write_bytes(b"\x80\x04anything")
        refused(tmp_path / name, "is damaged")


def test_a_layer_may_be_made_again_after_a_refusal(own):
    before = copy.copy(keras.layers.Layer.add_weight)
    change_config(own, lambda config: config["config"].update(filters=10**7))
    refused(own, "of the size of its weights")
    assert keras.layers.Layer.add_weight == before
