"""Runs of the program killed at random moments: what they leave is that of an undisturbed run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

SCRIPT = Path(__file__).with_name("killed_run.py")
# Of the long form, on each backend.
KILLS = int(os.environ.get("KERAS_VQVAE2_KILLS", "20"))


def start(folder, backend, kills, seed=0):
    """A process that kills runs so often, on a backend."""
    pytest.importorskip(backend)
    folder.mkdir()
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), str(kills), str(seed)],
        env={**os.environ, "KERAS_BACKEND": backend},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def figures(process):
    """Where its kills struck; a failure if a run differs from an undisturbed one."""
    output, errors = process.communicate()
    assert process.returncode == 0, errors[-5000:]
    return json.loads(output.splitlines()[-1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without forks")
def test_a_run_that_is_killed_ends_as_an_undisturbed_one(tmp_path):
    found = figures(start(tmp_path / "runs", keras.backend.backend(), kills=3))
    assert found["kills"] == 3
    assert found["files"] > 20


@pytest.mark.long
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without forks")
def test_many_kills(backend, tmp_path):
    found = figures(start(tmp_path / "runs", backend, KILLS))
    print(found)
    assert found["kills"] == KILLS
    assert min(found[stage] for stage in ("vqvae2", "codes", "prior")) > 0
