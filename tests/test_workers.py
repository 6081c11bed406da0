"""Who takes part in a training, and what is said when one of them is gone."""

import json

import keras
import pytest

from keras_vqvae2 import workers


def test_a_kind_of_replicas_is_checked():
    with pytest.raises(ValueError, match="`distribute` must be one of mirrored.*Received: 'two'"):
        workers.start("two")
    other = "mirrored" if keras.backend.backend() == "jax" else "data-parallel"
    with pytest.raises(ValueError, match=f"`distribute` {other} is of the .* backend.*Received"):
        workers.start(other)


def test_a_worker_finds_its_place(monkeypatch):
    cluster = {"worker": ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"]}
    task = {"type": "worker", "index": 2}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    taken = workers.apart("multiworker")
    assert (taken.place, taken.is_chief) == ((2, 3), False)
    assert workers.apart().place == workers.apart("mirrored").place == (0, 1)


@pytest.mark.parametrize(
    "config", ["", "{}", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}']
)
def test_a_worker_without_a_place_is_told(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ValueError, match="multiworker needs TF_CONFIG.*Received: TF_CONFIG="):
        workers.apart("multiworker")


@pytest.mark.tensorflow_only
def test_the_end_of_another_worker_is_named():
    tf = pytest.importorskip("tensorflow")
    taken = workers.Workers(count=2, strategy=object())
    message = "Another worker has ended.*Start all workers again.*UnavailableError: gone"
    with pytest.raises(ValueError, match=message), workers.peers(taken):
        raise tf.errors.UnavailableError(None, None, "gone")
    with pytest.raises(KeyError), workers.peers(taken):
        raise KeyError


def test_one_process_is_its_own_chief():
    taken = workers.start()
    assert (taken.is_chief, taken.count, taken.strategy) == (True, 1, None)
    assert workers.data_options() == {}
