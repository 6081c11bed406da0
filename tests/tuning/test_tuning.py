"""Searches on 8x8 images: spaces, objectives, ceilings, trials that fail alone, processes."""

import json
import math
import multiprocessing
import os
import signal
import socket
import time
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pytest
import tuning_processes
from PIL import Image
from rich.console import Console
from tuning_processes import TINY, images

from keras_vqvae2 import tuning

TRAIN, VALIDATION = images(16, 0), images(8, 1)


def vqvae_space(**options):
    return tuning.HyperVQVAE2((8, 8, 1), num_levels=1, seed=0, **options)


def run(tuner, data=TRAIN, validation_data=VALIDATION, epochs=1):
    tuner.search(data, validation_data=validation_data, epochs=epochs, verbose=0)
    return tuner


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A search in which one of six trials can succeed, and its folder."""
    folder = tmp_path_factory.mktemp("tuning") / "mixed"
    space = {**TINY, "decay": [0.9], "commitment_cost": [0.25]}
    space |= {"filters": [7, 4, 64], "learning_rate": [0.01, 1e30]}
    hypermodel = vqvae_space(max_parameters=20_000)
    return run(tuning.make_tuner(hypermodel, folder, trials=6, space=space), epochs=2), folder


def by_values(folder):
    return {
        (record.values["filters"], record.values["learning_rate"]): record
        for record in tuning.read_trials(folder)
    }


@pytest.mark.long
def test_failed_trials_have_their_reason_and_the_search_goes_on(mixed):
    records = by_values(mixed[1])
    assert len(records) == 6
    for (filters, rate), record in records.items():
        if (filters, rate) == (4, 0.01):
            assert record.status == "COMPLETED"
            assert record.reason is None
            continue
        assert (record.status, record.score) == ("FAILED", None)
        expected = {
            7: "ValueError: `filters` must be even. Received: filters=7",
            64: "parameters, over the ceiling of 20,000.",
            4: "Diverged: ",
        }
        assert expected[filters] in record.reason
    assert records[4, 1e30].parameters < 20_000
    assert records[64, 0.01].parameters is None  # It never trained.


@pytest.mark.long
def test_the_best_model_scores_what_it_scored(mixed):
    tuner, folder = mixed
    model = tuner.get_best_models()[0]
    logs = model.evaluate(VALIDATION, batch_size=8, return_dict=True, verbose=0)
    assert logs["reconstruction_mse"] == by_values(folder)[4, 0.01].score
    # Its optimizer has not begun anew: 16 images in batches of 8.
    assert int(model.optimizer.iterations) == 2 * by_values(folder)[4, 0.01].best_epoch


@pytest.mark.long
def test_a_finished_search_is_not_run_again(mixed):
    _, folder = mixed
    before = [record.seconds for record in tuning.read_trials(folder)]
    begun = []
    again = tuning.make_tuner(vqvae_space(), folder, trials=6, report=begun.append)
    run(again)
    assert begun == []
    assert [record.seconds for record in tuning.read_trials(folder)] == before


@pytest.mark.long
def test_the_table_and_the_picture_show_the_trials(mixed, tmp_path):
    tuner, folder = mixed
    records = tuning.read_trials(folder)
    console = Console(width=200, record=True, file=(tmp_path / "table.txt").open("w"))
    console.print(tuning.trials_table(records, tuner.oracle.objective))
    text = console.export_text()
    assert text.count("failed") == 5
    assert "over the ceiling of 20,000" in text
    tuning.draw_trials(records, tuner.oracle.objective, tmp_path / "trials.png")
    pixels = np.asarray(Image.open(tmp_path / "trials.png"))
    assert pixels.std() > 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"validation_data": None}, "`validation_data` must be given"),
        ({"validation_split": 0.2}, "takes its data as one argument.*Received: validation_split"),
        ({"y": np.zeros(16)}, "takes its data as one argument.*Received: y"),
        ({"batch_size": 8}, "a batch is searched.*Received: batch_size"),
        ({"data": TRAIN[:, :4]}, r"`data` must have the shape \[B, 8, 8, 1\]"),
        ({"validation_data": VALIDATION[:, :, :4]}, "`validation_data` must have the shape"),
        ({"data": "train"}, "Received"),
    ],
)
def test_arguments_are_checked_before_the_first_trial(tmp_path, arguments, message):
    begun = []
    tuner = tuning.make_tuner(
        vqvae_space(), tmp_path / "search", trials=2, space=TINY, report=begun.append
    )
    data = arguments.pop("data", TRAIN)
    with pytest.raises(ValueError, match=message):
        tuner.search(data, **{"validation_data": VALIDATION, "verbose": 0, **arguments})
    assert begun == []


@pytest.mark.long
def test_each_execution_of_a_trial_has_a_seed_of_its_own(tmp_path):
    space = {**TINY, "decay": [0.9], "commitment_cost": [0.25], "filters": [4]}
    hypermodel, losses = vqvae_space(), []
    fit = hypermodel.fit

    def recorded(*args, **kwargs):
        history = fit(*args, **kwargs)
        losses.append(history.history["loss"][0])
        return history

    hypermodel.fit = recorded
    tuner = tuning.make_tuner(
        hypermodel, tmp_path / "search", trials=1, space=space, executions_per_trial=2
    )
    run(tuner)
    assert len(losses) == 2
    assert losses[0] != losses[1]
    again = vqvae_space()
    model = again.build(tuner.oracle.get_best_trials()[0].hyperparameters)
    data, _ = again.datasets(TRAIN, VALIDATION, {"batch_size": 8, "flip": False, "shift": 0})
    first = model.fit(data, verbose=0).history["loss"][0]
    assert first == losses[0], "the first execution is that of a search with one"


def test_memory_has_a_ceiling_too(tmp_path):
    space = {**TINY, "filters": [64]}
    hypermodel = vqvae_space(max_memory=0.5)
    tuner = tuning.make_tuner(hypermodel, tmp_path / "search", trials=1, space=space)
    with pytest.raises(tuning.SearchFailed, match="All 1 trials .* over the ceiling of 0.5 MiB"):
        run(tuner)
    (record,) = tuning.read_trials(tmp_path / "search")
    assert "MiB to train in batches of 8, over the ceiling of 0.5 MiB." in record.reason
    assert record.parameters is None


def test_a_collapsed_level_fails_a_trial_that_had_the_time():
    hypermodel = vqvae_space(collapse_epochs=3)
    model = hypermodel.build(keras_tuner.HyperParameters())
    collapsed = {"val_level_0_usage": 0.25, "val_level_0_perplexity": 1.5}
    hypermodel.check_result(model, 2, collapsed)
    message = "Collapsed: level_0 has a perplexity of 1.5 with 64 codes."
    with pytest.raises(keras_tuner.errors.FailedTrialError, match=message):
        hypermodel.check_result(model, 3, collapsed)
    hypermodel.check_result(model, 3, {**collapsed, "val_level_0_perplexity": 2.5})


@pytest.mark.long
def test_the_objectives_are_those_of_the_validation_codes(mixed):
    """Rate and usage once more, from the codes themselves."""
    tuner, folder = mixed
    codes = tuner.get_best_models()[0].encode(VALIDATION)[0]
    counts = np.bincount(codes.ravel(), minlength=8)
    share = counts[counts > 0] / counts.sum()
    rate = codes[0].size * -np.sum(share * np.log2(share)) / 64
    trial = by_values(folder)[4, 0.01]
    saved = json.loads((folder / f"trial_{trial.trial_id}" / "trial.json").read_text())
    logs = {
        name: history["observations"][0]["value"][0]
        for name, history in saved["metrics"]["metrics"].items()
    }
    assert logs["val_codebook_usage"] == np.mean(counts > 0)
    # Sums of float32.
    assert logs["val_bits_per_dim"] == pytest.approx(rate, rel=1e-5)
    expected = logs["val_reconstruction_mse"] + 0.1 * rate
    assert logs["val_rate_distortion"] == pytest.approx(expected, rel=1e-5)


def test_objectives_know_their_direction():
    hypermodel = vqvae_space()
    directions = {name: hypermodel.objective(name).direction for name in hypermodel.objectives}
    assert directions == {
        "val_reconstruction_mse": "min",
        "val_codebook_usage": "max",
        "val_rate_distortion": "min",
    }
    assert hypermodel.objective().name == "val_reconstruction_mse"
    prior = tuning.HyperPixelCNN((2, 2), 8)
    assert prior.objectives == {"val_bits_per_code": "min"}
    assert prior.objective().name == "val_bits_per_code"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tuner": "grid"}, "`tuner` must be one of 'random', 'hyperband', 'bayesian'. Received"),
        ({"objective": "loss"}, "`objective` must be one of 'val_reconstruction_mse'"),
        ({"trials": 3, "total_epochs": 9}, "exclude each other. Received: trials=3"),
        ({"trials": 0}, "`trials` must be an integer of at least 1. Received: trials=0"),
        ({"epochs": 0}, "`epochs` must be an integer of at least 1. Received: epochs=0"),
        ({"space": {"filter": [1]}}, "`space` may name filters, .* Received: 'filter'"),
        ({"space": {"filters": 1}}, "must give a list of values .* Received: filters=1"),
    ],
)
def test_wrong_options_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        tuning.make_tuner(vqvae_space(), tmp_path / "search", **options)
    assert not (tmp_path / "search").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_parameters": 0}, "`max_parameters` must be positive. Received: max_parameters=0"),
        ({"max_memory": -1.0}, "`max_memory` must be positive. Received: max_memory=-1.0"),
        ({"tradeoff": -1}, "`tradeoff` must be at least 0. Received: tradeoff=-1"),
    ],
)
def test_wrong_ceilings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        vqvae_space(**options)


@pytest.mark.parametrize(
    ("options", "trials"),
    [
        ({}, 10),
        ({"trials": 3}, 3),
        ({"total_epochs": 20, "epochs": 6}, 3),
        ({"tuner": "hyperband", "trials": 3}, 3),
        ({"tuner": "hyperband"}, None),
    ],
)
def test_the_budget_is_one_of_trials_or_of_epochs(tmp_path, options, trials):
    tuner = tuning.make_tuner(vqvae_space(), tmp_path / "search", **options)
    assert tuner.oracle.max_trials == trials


def test_hyperband_repeats_its_schedule_as_often_as_the_epochs_allow(tmp_path):
    def repeats(total_epochs):
        options = {"tuner": "hyperband", "epochs": 9, "total_epochs": total_epochs}
        tuner = tuning.make_tuner(vqvae_space(), tmp_path / str(total_epochs), **options)
        return tuner.oracle.hyperband_iterations

    # One takes about 9 * log(9, 3) ** 2 epochs.
    assert [repeats(total) for total in (10, 36, 71, 72)] == [1, 1, 1, 2]


@pytest.mark.long
def test_hyperband_goes_on_with_the_best_and_its_optimizer(tmp_path):
    """Three models for an epoch, then the best of them for two more."""
    folder = tmp_path / "search"
    space = {**TINY, "learning_rate": [0.01, 0.003, 0.001]}
    options = {"tuner": "hyperband", "epochs": 3, "trials": 4, "space": space}
    tuner = run(tuning.make_tuner(vqvae_space(), folder, **options))
    records = tuning.read_trials(folder)
    assert [record.status for record in records] == ["COMPLETED"] * 4
    first = min(records[:3], key=lambda record: record.score)
    assert first.values == records[3].values
    assert records[3].score < first.score
    last = tuner.load_model(tuner.oracle.get_trial(records[3].trial_id))
    assert records[3].best_epoch in (2, 3)
    assert int(last.optimizer.iterations) == 2 * records[3].best_epoch
    assert any(np.any(keras.ops.convert_to_numpy(v)) for v in last.optimizer.variables[2:])


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_bayesian_search_over_a_pixelcnn(tmp_path):
    """One free number: after two random trials the next one is a guess from their scores."""
    rng = np.random.default_rng(0)
    data = {
        "codes": rng.integers(0, 4, (16, 2, 2)),
        "context": rng.integers(0, 4, (16, 1, 2)),
        "labels": rng.integers(0, 3, 16),
    }
    hypermodel = tuning.HyperPixelCNN((2, 2), 4, (1, 2), 3, image_shape=(8, 8, 1), seed=0)
    space = {"filters": [4], "num_blocks": [1], "dropout": [0.0], "batch_size": [8]}
    options = {"tuner": "bayesian", "trials": 3, "space": space}
    tuner = tuning.make_tuner(hypermodel, tmp_path / "search", **options)
    tuner.oracle.num_initial_points = 2
    run(tuner, data, data)
    records = tuning.read_trials(tmp_path / "search")
    assert [record.status for record in records] == ["COMPLETED"] * 3
    bits = -np.mean(tuner.get_best_models()[0].log_prob(**data)) / math.log(2) / 4
    # Means of float32 in another order.
    assert min(record.score for record in records) == pytest.approx(bits, rel=1e-5)
    metrics = tuner.oracle.get_best_trials()[0].metrics
    assert metrics.get_best_value("val_bits_per_dim") == pytest.approx(bits * 4 / 64, rel=1e-5)


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts a process of a distributed search of four trials; ends them all after the test."""
    # TensorFlow is imported once, by the server that the processes are forked from. It finds the
    # module by this path alone.
    monkeypatch.setenv("PYTHONPATH", str(Path(tuning_processes.__file__).parent))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tuning_processes"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []

    def start(tuner_id):
        arguments = (tuner_id, port, tmp_path, 4, 2)
        process = context.Process(target=tuning_processes.search, args=arguments)
        process.start()
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.join()


def wait_until(condition, seconds=240):
    for _ in range(10 * seconds):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("waited in vain")


@pytest.mark.long
@pytest.mark.tensorflow_only
def test_killed_processes_are_started_again_and_the_search_ends_complete(start, tmp_path):
    def oracle():
        try:
            return json.loads((tmp_path / "search" / "oracle.json").read_text())
        except (OSError, json.JSONDecodeError):  # Not there yet, or just being written.
            return {"ongoing_trials": {}, "end_order": []}

    def records():
        return tuning.read_trials(tmp_path / "search")

    def moved_on():
        state = oracle()
        ongoing = state["ongoing_trials"].get("worker0")
        return state["end_order"] and ongoing is not None and ongoing not in state["end_order"]

    def stopped_within_a_trial():
        if not moved_on():
            return False
        os.kill(workers[0].pid, signal.SIGSTOP)
        time.sleep(1)  # for the chief to answer what it was asked before
        if moved_on():
            return True
        os.kill(workers[0].pid, signal.SIGCONT)
        return False

    chief, workers = start("chief"), [start("worker0"), start("worker1")]
    wait_until(lambda: "worker1" in oracle()["ongoing_trials"])
    interrupted = oracle()["ongoing_trials"]["worker1"]
    workers[1].kill()
    # Killed while it answers, a chief would take the worker that asks with it.
    wait_until(stopped_within_a_trial)
    chief.kill()
    os.kill(workers[0].pid, signal.SIGCONT)
    for process in (workers[1], chief):
        process.join()
    before = {record.trial_id: record for record in records() if record.status == "COMPLETED"}
    start("chief")
    workers[1] = start("worker1")
    for worker in workers:
        worker.join(240)
        assert worker.exitcode == 0
    after = {record.trial_id: record for record in records()}
    assert sorted(after) == [f"{index}" for index in range(4)]
    assert {record.status for record in after.values()} == {"COMPLETED"}
    assert after[interrupted].tuner_id == "worker1"
    assert before
    assert all(after[trial_id] == record for trial_id, record in before.items())
    ended = [line.split()[0] for line in (tmp_path / "ended.txt").read_text().splitlines()]
    assert sorted(ended) == sorted(after)  # Each was run to its end once.
