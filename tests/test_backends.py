"""A file of each backend on the two others, and the same loss curves: the benchmark, made small."""

import importlib.util
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "backends.py"
SIZES = {"side": 16, "filters": 8, "steps": 12}


@pytest.fixture(scope="module")
def benchmark():
    for backend in ("jax", "torch"):
        pytest.importorskip(backend)
    sys.path.insert(0, str(SCRIPT.parent))  # as where it is run
    spec = importlib.util.spec_from_file_location("benchmark_backends", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.long
@pytest.mark.tensorflow_only
def test_a_file_of_one_backend_gives_the_same_on_the_others(benchmark, tmp_path):
    benchmark.run("train", tmp_path, **SIZES)
    benchmark.run("use", tmp_path, side=SIZES["side"], count=16)
    for pair in itertools.product(benchmark.BACKENDS, repeat=2):
        codes, log_prob, pixels = benchmark.differences(tmp_path, *pair)
        assert codes == 0, pair
        assert log_prob < 1e-5, pair
        # One in a thousand may be rounded to its neighbour.
        assert pixels < 1e-3, pair
        one, other = (np.load(tmp_path / f"{pair[0]}-on-{name}.npz")["samples"] for name in pair)
        assert np.abs(one.astype(int) - other).max() <= 1
    assert benchmark.pairs_table(tmp_path).count("\n") == 10


@pytest.mark.long
@pytest.mark.tensorflow_only
def test_losses_follow_one_curve(benchmark, tmp_path):
    benchmark.run("curves", tmp_path, **SIZES)
    assert max(benchmark.curve_differences(tmp_path).values()) < 1e-3
