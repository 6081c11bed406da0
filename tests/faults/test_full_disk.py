"""A disk that is full, becomes read-only or refuses, in the middle of each stage."""

import contextlib
import errno
import json
import os
import sys
from importlib import import_module
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from killed_run import STAGES, configured, digests, live, write_pictures

from keras_vqvae2 import files
from keras_vqvae2.training.checkpoints import CheckpointFolder

# Each in its stage, at the write of that number: in the first epochs, of some shard, of a model.
FAULTS = (
    ("vqvae2", 7, errno.ENOSPC),
    ("codes", 9, errno.EROFS),
    ("prior", 5, errno.EACCES),
    ("prior", 30, errno.EDQUOT),
)


@contextlib.contextmanager
def failing(folder, count, code):
    """Meanwhile the given write into a folder, and each after it, fails."""
    flush, left = os.fsync, count

    def refuse(descriptor):
        nonlocal left
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")).is_relative_to(folder):
            left -= 1
            if left <= 0:
                raise OSError(code, os.strerror(code))
        return flush(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        yield


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names no open files")
def test_what_was_saved_is_intact_and_the_run_goes_on(tmp_path):
    sentence = import_module("keras_vqvae2.cli.app")._sentence
    write_pictures(tmp_path / "pictures")
    undisturbed = configured(tmp_path / "undisturbed", tmp_path / "pictures")
    live(undisturbed)
    expected = digests(undisturbed.run_dir)
    config = configured(tmp_path / "run", tmp_path / "pictures")
    for stage, count, code in FAULTS:
        folder = config.run_dir / stage
        with failing(folder, count, code), pytest.raises(OSError, match=stage) as error:
            live(config)
        said = sentence(error.value)
        assert said.startswith(str(folder))
        assert said.endswith(
            "What was saved before is intact; the same command goes on from there."
        )
        assert "\n" not in said
        assert not list(config.run_dir.rglob("writing_*"))
        for name, digest in digests(config.run_dir).items():  # none is half a file
            # These are written again as the run goes on.
            if name.endswith(".json"):
                assert json.loads((config.run_dir / name).read_text())
            elif name.endswith("best.npz"):
                files.check_archive(config.run_dir / name)
            else:
                assert expected.get(name, digest) == digest
        if stage != "codes":
            CheckpointFolder(folder).newest()  # without a warning of damage
    live(config)
    assert digests(config.run_dir) == expected
    assert set(STAGES) == {stage for stage, _, _ in FAULTS}
