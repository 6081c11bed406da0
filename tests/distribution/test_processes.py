"""Who takes part in a training, and what is said when one of them is gone."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras
import pytest

from keras_vqvae2.distribution import processes


def test_a_kind_of_replicas_is_checked():
    with pytest.raises(ValueError, match="`distribute` must be one of mirrored.*Received: 'two'"):
        processes.start("two")
    other = "data-parallel" if keras.backend.backend() == "tensorflow" else "mirrored"
    with pytest.raises(ValueError, match=f"`distribute` {other} is of the .* backend.*Received"):
        processes.start(other)


def test_a_worker_finds_its_place(monkeypatch):
    cluster = {"worker": ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"]}
    task = {"type": "worker", "index": 2}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    taken = processes.apart("multiworker")
    assert (taken.place, taken.is_chief) == ((2, 3), False)
    assert processes.apart().place == processes.apart("mirrored").place == (0, 1)


@pytest.mark.parametrize(
    "config", ["", "{}", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}']
)
def test_a_worker_without_a_place_is_told(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ValueError, match="multiworker needs TF_CONFIG.*Received: TF_CONFIG="):
        processes.apart("multiworker")


@pytest.mark.tensorflow_only
def test_the_end_of_another_worker_is_named():
    tf = pytest.importorskip("tensorflow")
    taken = processes.Workers(count=2, strategy=object())
    message = "Another worker has ended.*Start all workers again.*UnavailableError: gone"
    with pytest.raises(ValueError, match=message), processes.peers(taken):
        raise tf.errors.UnavailableError(None, None, "gone")
    with pytest.raises(KeyError), processes.peers(taken):
        raise KeyError


def test_one_process_is_its_own_chief():
    taken = processes.start()
    assert (taken.is_chief, taken.count, taken.strategy) == (True, 1, None)
    assert processes.data_options() == {}


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="of the PyTorch backend")
def test_a_process_that_torchrun_did_not_start_is_told(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ValueError, match="needs the environment that `torchrun`.*Received: .*RANK"):
        processes.start("data-parallel")


@pytest.fixture
def train(tmp_path):
    """Starts two workers of the command line on loopback; gives their processes and outputs."""
    command = Path(sys.executable).with_name("keras-vqvae2")
    flags = ["train-vqvae", "--distribute", "multiworker", "--size", "tiny", "--no-tensorboard"]
    flags += ["--filters", "4", "--num-residual-blocks", "0", "--num-embeddings", "8"]
    flags += ["--train-split", "test", "--validation-split", "test", "--run-dir", tmp_path / "run"]
    started = []

    def start(epochs):
        with socket.socket() as one, socket.socket() as other:
            for end in (one, other):
                end.bind(("localhost", 0))
            cluster = {"worker": [f"localhost:{end.getsockname()[1]}" for end in (one, other)]}
        processes, outputs = [], []
        for index in range(2):
            config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
            outputs.append(tmp_path / f"{len(started)}.txt")
            with open(outputs[-1], "w") as output:
                process = subprocess.Popen(
                    [command, *flags, "--epochs", str(epochs)],
                    env={**os.environ, "TF_CONFIG": json.dumps(config)},
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            processes.append(process)
            started.append(process)
        return processes, outputs

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.long
@pytest.mark.tensorflow_only
def test_a_killed_worker_ends_the_others_and_all_go_on_where_they_were(train, tmp_path):
    history = tmp_path / "run" / "vqvae2" / "history.json"

    def epochs():
        return json.loads(history.read_text()) if history.exists() else []

    (chief, worker), (output, _) = train(epochs=1000)
    deadline = time.monotonic() + 180
    while not epochs():
        assert time.monotonic() < deadline, output.read_text()
        assert chief.poll() is None, output.read_text()
        time.sleep(0.2)
    worker.kill()
    assert chief.wait(timeout=120) == 1
    assert "Another worker has ended or cannot be reached" in output.read_text()
    before = epochs()
    processes, outputs = train(epochs=len(before) + 1)
    for process, output in zip(processes, outputs, strict=True):
        assert process.wait(timeout=180) == 0, output.read_text()
    assert epochs()[:-1] == before
    assert (tmp_path / "run" / "vqvae2" / "vqvae2_final.keras").exists()
