import contextlib
import json
import shutil

import keras
import numpy as np
import pytest

from keras_vqvae2.datasets import ImageBatches
from keras_vqvae2.distribution.processes import Workers
from keras_vqvae2.models import VQVAE2
from keras_vqvae2.training import CheckedFit
from keras_vqvae2.training.checkpoints import _variables, callback_state, read_history
from keras_vqvae2.training.resume import Checkpoints, fit_resumable

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
LABELS = np.arange(20) % 2


class Killed(Exception):
    pass


class KillIn(keras.callbacks.Callback):
    """Ends the training in the middle of an epoch, as a kill does."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.current = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.current == self.epoch and batch == 1:
            raise Killed


class Small(CheckedFit, keras.Sequential):
    """Few layers, quick to trace, that are fitted as the package's models are."""

    def check_data(self, batch, name):
        return


def small_model():
    """A model with all kinds of state: weights, statistics, a random generator, an optimizer."""
    layers = [
        keras.layers.Flatten(),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(1),
    ]
    model = Small([keras.Input((8, 8, 1)), *layers])
    model.compile(optimizer="adam", loss="mse")
    return model


def vqvae_model():
    model = VQVAE2(
        (8, 8, 1), filters=8, num_residual_blocks=1, num_levels=1, embedding_dim=4, num_embeddings=8
    )
    model.compile(optimizer="adam")
    return model


def train(directory, epochs, build=small_model, **options):
    keras.utils.set_random_seed(0)
    model = build()
    data = ImageBatches(
        (IMAGES, LABELS), batch_size=8, shuffle=True, seed=3, flip=True, with_labels=True
    )
    validation = ImageBatches((IMAGES[:8], LABELS[:8]), batch_size=8, with_labels=True)
    history = fit_resumable(
        model, data, directory, epochs=epochs, validation_data=validation, **options
    )
    return model, history


def state(model):
    variables = model.variables + model.optimizer.variables
    return {v.path: keras.ops.convert_to_numpy(v) for v in variables}


def assert_same_state(model, other):
    for (path, value), other_value in zip(state(model).items(), state(other).values(), strict=True):
        np.testing.assert_array_equal(value, other_value, err_msg=path)


@pytest.mark.parametrize("build", [small_model, vqvae_model])
def test_a_killed_training_ends_as_an_undisturbed_one(tmp_path, build):
    whole, history = train(tmp_path / "whole", 4, build)
    with pytest.raises(Killed):
        train(tmp_path / "killed", 4, build, callbacks=[KillIn(epoch=2)])
    resumed, resumed_history = train(tmp_path / "killed", 4, build)
    assert resumed_history == history
    assert_same_state(resumed, whole)


def test_more_epochs_go_on_from_where_training_ended(tmp_path):
    whole, history = train(tmp_path / "whole", epochs=3)
    train(tmp_path / "longer", epochs=1)
    longer, longer_history = train(tmp_path / "longer", epochs=3)
    assert longer_history == history
    assert_same_state(longer, whole)


def test_a_finished_training_is_not_repeated(tmp_path):
    whole, history = train(tmp_path, epochs=2)
    again, history_again = train(tmp_path, epochs=2, callbacks=[KillIn(epoch=2)])
    assert history_again == history
    assert_same_state(again, whole)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "epoch_0001.npz",
        "epoch_0002.npz",
        "history.json",
    ]


class Score(keras.callbacks.Callback):
    """Puts a score of each epoch into the logs."""

    def __init__(self, scores):
        super().__init__()
        self.scores = scores

    def on_epoch_end(self, epoch, logs=None):
        logs["score"] = self.scores[epoch]


def test_it_stops_when_stale_and_ends_with_the_best_weights(tmp_path):
    scores = [3.0, 1.0, 2.0, 1.0, 5.0]
    best, history = train(
        tmp_path / "stale", epochs=9, monitor="score", patience=2, callbacks=[Score(scores)]
    )
    assert [logs["score"] for logs in history] == scores[:4]
    expected, _ = train(tmp_path / "two", epochs=2)
    assert_same_state(best, expected)


def test_the_best_epoch_is_remembered_across_a_kill(tmp_path):
    options = {"epochs": 9, "monitor": "score", "patience": 2}
    scores = Score([3.0, 1.0, 2.0, 4.0, 5.0])
    with pytest.raises(Killed):
        train(tmp_path / "killed", callbacks=[scores, KillIn(epoch=3)], **options)
    best, history = train(tmp_path / "killed", callbacks=[scores], **options)
    assert len(history) == 4
    expected, _ = train(tmp_path / "two", epochs=2)
    assert_same_state(best, expected)
    _, again = train(tmp_path / "killed", callbacks=[scores], **options)
    assert again == history == json.loads((tmp_path / "killed" / "history.json").read_text())


def test_only_the_chief_writes(tmp_path):
    options = {"epochs": 1, "monitor": "loss"}
    other = Workers(index=1)
    train(tmp_path, epochs=1, workers=other)
    assert list(tmp_path.iterdir()) == []
    _, history = train(tmp_path, **options)
    names = {"best.npz", "epoch_0001.npz", "history.json"}
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert set(before) == names
    _, again = train(tmp_path, workers=other, **options | {"epochs": 2})
    assert again[:1] == history
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch came after such files")
def test_files_of_before_checkpoints_held_the_history_are_taken_up(tmp_path):
    whole, history = train(tmp_path / "whole", epochs=3)
    train(tmp_path / "old", epochs=1)
    model, _ = train(tmp_path / "old", epochs=2)
    variables = [keras.ops.convert_to_numpy(v) for v in _variables(model)]
    (tmp_path / "old" / "epoch_0001.npz").unlink()
    np.savez(tmp_path / "old" / "epoch_0002.npz", *variables)
    # It was killed before the next epoch counted.
    np.savez(tmp_path / "old" / "epoch_0003.npz", *variables)
    resumed, resumed_history = train(tmp_path / "old", epochs=3)
    assert resumed_history == history
    assert_same_state(resumed, whole)


DAMAGES = {
    "cut to nothing": lambda data: b"",
    "cut in half": lambda data: data[: len(data) // 2],
    "without its last byte": lambda data: data[:-1],
    "a bit flipped": lambda data: data[:-300] + bytes([data[-300] ^ 16]) + data[-299:],
    "removed": None,
}


@pytest.fixture(scope="module")
def three_epochs(tmp_path_factory):
    """What three epochs give, and the folder of a training of two."""
    folder = tmp_path_factory.mktemp("three_epochs")
    train(folder / "two", epochs=2)
    return *train(folder / "whole", epochs=3), folder / "two"


@pytest.mark.parametrize(
    ("name", "damage"),
    [("history.json", "cut in half"), *(("epoch_0002.npz", damage) for damage in DAMAGES)],
)
def test_a_damaged_newest_file_costs_an_epoch_at_most(tmp_path, three_epochs, name, damage):
    whole, history, two = three_epochs
    shutil.copytree(two, tmp_path / "run")
    hurt(tmp_path / "run" / name, damage)
    told = name.endswith("npz") and damage not in ("removed", "without its last byte")
    with (
        pytest.warns(UserWarning, match=f"{name} is damaged.*goes on from epoch_0001.npz")
        if (told)
        else contextlib.nullcontext()
    ):
        resumed, resumed_history = train(tmp_path / "run", epochs=3)
    assert resumed_history == history
    assert json.loads((tmp_path / "run" / "history.json").read_text()) == history
    assert_same_state(resumed, whole)
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == [
        "epoch_0002.npz",
        "epoch_0003.npz",
        "history.json",
    ]


@pytest.mark.parametrize("damage", ["cut in half", "a bit flipped", "removed"])
def test_without_an_intact_checkpoint_it_says_so(tmp_path, three_epochs, damage):
    shutil.copytree(three_epochs[-1], tmp_path / "run")
    for epoch in (1, 2):
        hurt(tmp_path / "run" / f"epoch_000{epoch}.npz", damage)
    with pytest.raises(ValueError, match=r"intact checkpoint.*remove that folder to train anew"):
        train(tmp_path / "run", epochs=3)


def test_a_damaged_best_state_is_named(tmp_path):
    options = {"epochs": 2, "monitor": "loss"}
    train(tmp_path, **options)
    hurt(tmp_path / "best.npz", "cut in half")
    with pytest.raises(ValueError, match=r"best.npz is damaged.*Remove .* to train anew"):
        train(tmp_path, **options)
    (tmp_path / "best.npz").unlink()
    with pytest.raises(ValueError, match=r"best.npz is missing.*Remove .* to train anew"):
        train(tmp_path, **options)


def test_checkpoints_of_another_model_are_refused(three_epochs):
    with pytest.raises(ValueError, match=r"epoch_0002.npz must be of this model"):
        train(three_epochs[-1], epochs=3, build=vqvae_model)


class KillAt(keras.callbacks.Callback):
    """Ends the training after a step of an epoch."""

    def __init__(self, epoch, step):
        super().__init__()
        self.at = (epoch, step)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch + 1) == self.at:
            raise Killed


def fit(directory, build=small_model, epochs=6, callbacks=(), steps=1, **options):
    """A user's own `fit`, with early stopping whose state counts."""
    keras.utils.set_random_seed(0)
    model = build()
    arrays = (IMAGES, LABELS)
    batches = ImageBatches(arrays, batch_size=5, shuffle=True, seed=3, flip=True, with_labels=True)
    stop = keras.callbacks.EarlyStopping("loss", patience=1, restore_best_weights=True)
    checkpoints = Checkpoints(directory, steps=steps, callbacks=[stop], **options)
    try:
        given = [stop, *callbacks, checkpoints]
        model.fit(batches, epochs=epochs, callbacks=given, verbose=0)
    except (Killed, KeyboardInterrupt):
        return None
    return model, checkpoints.history, callback_state(stop)


def metric_model():
    """A model with a metric that is built at its first step, and one of weighted sums."""
    model = small_model()
    model.compile("adam", "mse", metrics=["mae", keras.metrics.BinaryAccuracy()])
    return model


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return {build: fit(folder / build.__name__, build) for build in (metric_model, vqvae_model)}


def assert_same_result(result, expected):
    (model, history, stop), (whole, expected_history, expected_stop) = result, expected
    assert history == expected_history
    assert_same_state(model, whole)
    for state in (stop, expected_stop):
        state.pop("monitor_op", None)  # Keras finds it in the first epoch of a `fit`
    assert stop.keys() == expected_stop.keys()
    for name, value in expected_stop.items():
        for one, other in zip(
            keras.tree.flatten(stop[name]), keras.tree.flatten(value), strict=True
        ):
            np.testing.assert_array_equal(one, other, err_msg=name)


@pytest.mark.parametrize("build", [metric_model, vqvae_model])
def test_a_kill_in_mid_epoch_leaves_no_trace(tmp_path, undisturbed, build):
    """At the first, an inner and the last step of an epoch, one after the other."""
    for epoch, step in ((0, 1), (0, 4), (1, 3)):
        assert fit(tmp_path, build, callbacks=[KillAt(epoch, step)]) is None
    assert (tmp_path / "epoch_0001_step_000002.npz").exists()
    assert_same_result(fit(tmp_path, build), undisturbed[build])


def test_a_damaged_checkpoint_in_mid_epoch_costs_its_steps(tmp_path, undisturbed):
    assert fit(tmp_path, metric_model, callbacks=[KillAt(1, 3)]) is None
    hurt(tmp_path / "epoch_0001_step_000002.npz", "a bit flipped")
    with pytest.warns(UserWarning, match="is damaged.*goes on from epoch_0001_step_000001.npz"):
        result = fit(tmp_path, metric_model)
    assert_same_result(result, undisturbed[metric_model])


def test_an_interruption_saves_the_step(tmp_path, undisturbed):
    asked = iter([False, False, True])
    options = {"steps": None, "interrupted": lambda: next(asked)}
    assert fit(tmp_path, metric_model, **options) is None
    assert [file.name for file in tmp_path.iterdir()] == ["epoch_0000_step_000003.npz"]
    assert_same_result(fit(tmp_path, metric_model), undisturbed[metric_model])


def test_a_training_that_has_ended_stays_as_it_is(tmp_path, undisturbed):
    first = fit(tmp_path, metric_model)
    assert 1 < len(first[1]) < 6  # the loss of so few images is noise
    again = fit(tmp_path, metric_model, callbacks=[KillAt(len(first[1]), 1)])
    assert_same_result(again, undisturbed[metric_model])
    assert again[0]._initial_epoch is None


def test_fewer_steps_than_the_checkpoint_has_taken_are_refused(tmp_path):
    assert fit(tmp_path, callbacks=[KillAt(0, 4)]) is None
    model = small_model()
    with pytest.raises(ValueError, match=r"has taken 3 steps of an epoch"):
        model.fit(
            ImageBatches((IMAGES, LABELS), batch_size=10, with_labels=True),
            callbacks=[Checkpoints(tmp_path)],
            verbose=0,
        )
    with pytest.raises(ValueError, match=r"`steps` must be at least 1.*Received: steps=0"):
        Checkpoints(tmp_path, steps=0)


def test_stages_of_the_program_resume_in_mid_epoch_too(tmp_path, three_epochs):
    whole, history, _ = three_epochs
    with pytest.raises(Killed):
        train(tmp_path, 3, callbacks=[KillAt(1, 3)], checkpoint_steps=2)
    assert (tmp_path / "epoch_0001_step_000002.npz").exists()
    resumed, resumed_history = train(tmp_path, 3)
    assert resumed_history == history
    assert_same_state(resumed, whole)


def hurt(file, damage):
    change = DAMAGES[damage]
    if change is None:
        file.unlink()
    else:
        file.write_bytes(change(file.read_bytes()))


def test_what_was_not_trained_here_has_no_history(tmp_path):
    assert read_history(tmp_path) == []
