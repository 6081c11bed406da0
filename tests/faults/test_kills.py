"""Runs of the program killed at random moments: what they leave is that of an undisturbed run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("killed_run.py")
# On each backend.
KILLS = int(os.environ.get("KERAS_VQVAE2_KILLS", "20"))


@pytest.mark.long
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without forks")
def test_many_kills(backend, tmp_path):
    pytest.importorskip(backend)
    killed = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path), str(KILLS), "0"],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == 0, killed.stderr[-5000:]
    found = json.loads(killed.stdout.splitlines()[-1])
    print(found)
    assert found["kills"] == KILLS
    assert found["files"] > 20
    assert min(found[stage] for stage in ("vqvae2", "codes", "prior")) > 0
