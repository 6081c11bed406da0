"""The same training on one device and on two replicas, each in processes of its own.

What is trained and how is in `benchmarks/distribution.py`, which compares at a larger size.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_vqvae2.distribution import replicas

# Most of the time goes into tracing: the smaller the networks, the sooner.
SIZES = {"side": 16, "levels": 1, "blocks": 0, "codes": 16, "steps": 10}
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "distribution.py"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(SCRIPT.parent))  # as where it is run
    spec = importlib.util.spec_from_file_location("benchmark_distribution", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def one_device(benchmark, tmp_path_factory):
    """The results of one device, trained in the process of the tests."""
    file = tmp_path_factory.mktemp("one") / "one.npz"
    benchmark.train(f"one-{keras.backend.backend()}", [], 0, file, **SIZES)
    return dict(np.load(file))


def check(benchmark, one_device, way, folder):
    if benchmark.WAYS[way][0] != keras.backend.backend():
        pytest.skip(f"needs the {benchmark.WAYS[way][0]} backend")
    results = benchmark.run(way, folder, limit=240, **SIZES)
    for result in results:
        assert set(result) == set(one_device)
        for key, value in one_device.items():
            # Ten steps in float32, of sums in another order.
            np.testing.assert_allclose(result[key], value, rtol=1e-5, atol=1e-5, err_msg=key)


@pytest.mark.long
def test_mirrored_replicas_learn_what_one_device_learns(benchmark, one_device, tmp_path):
    """With k-means, restarts, and a last batch that leaves a replica without any example."""
    check(benchmark, one_device, "mirrored", tmp_path)


@pytest.mark.long
def test_workers_learn_what_one_device_learns(benchmark, one_device, tmp_path):
    check(benchmark, one_device, "multiworker", tmp_path)


@pytest.mark.long
def test_devices_of_jax_learn_what_one_device_learns(benchmark, one_device, tmp_path):
    check(benchmark, one_device, "data-parallel", tmp_path)


@pytest.mark.long
def test_processes_of_pytorch_learn_what_one_learns(benchmark, one_device, tmp_path):
    check(benchmark, one_device, "torch-processes", tmp_path)


@pytest.mark.parametrize(("name", "value"), [("steps_per_execution", 2), ("jit_compile", True)])
def test_options_that_replicas_cannot_run_are_refused(name, value):
    options = {"steps_per_execution": 1, "jit_compile": False, name: value}
    for count in (1, 2):
        strategy = SimpleNamespace(num_replicas_in_sync=count)
        model = SimpleNamespace(distribute_strategy=strategy, **options)
        if count == 1:
            replicas.check_compiled(model)
    with pytest.raises(ValueError, match=f"`{name}` must be .* several replicas.*{name}={value}"):
        replicas.check_compiled(model)


def test_one_device_is_left_alone():
    values = keras.ops.ones(3)
    assert replicas.all_reduce_sum(values) is values
    assert replicas.num_replicas() == 1
    rows = replicas.GlobalRows(keras.ops.ones((3, 2)))
    assert rows.own(values) is values


SKIPPING = """
import sys
import numpy as np
sys.path[:0] = sys.argv[1:]
import distribution
scope = distribution.start("mirrored", (), 0)
import keras
import keras_vqvae2 as kv
from listed_batches import ListedBatches

def learned(batches):
    keras.utils.set_random_seed(0)
    with scope():
        model = kv.VQVAE2((8, 8, 1), filters=4, embedding_dim=4, num_embeddings=8)
        model.compile(keras.optimizers.Adam(1e-2))
    logs = model.fit(ListedBatches(batches), verbose=0).history
    return [np.asarray(variable) for variable in model.variables], logs

images = np.random.default_rng(0).uniform(0, 255, (3, 4, 8, 8, 1)).astype("float32")
bad = images.copy()
bad[1, 3, 0, 0] = np.nan  # seen by the second replica alone
(weights, logs), (expected, others) = learned(bad), learned(images[[0, 2]])
assert (logs.pop("skipped"), others.pop("skipped")) == ([1.0], [0.0])
assert logs == others, (logs, others)
for value, other in zip(weights, expected, strict=True):
    np.testing.assert_array_equal(value, other)
print("skipped by all")
"""


@pytest.mark.long
def test_all_replicas_skip_a_step_that_is_not_finite_on_one(benchmark):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("needs the tensorflow backend")
    folders = [str(Path(benchmark.__file__).parent), str(Path(__file__).parents[1])]
    command = [sys.executable, "-c", SKIPPING, *folders]
    result = subprocess.run(command, capture_output=True, text=True, timeout=480)
    assert result.stdout.endswith("skipped by all\n"), result.stderr
