"""A disk that is full, becomes read-only or refuses, in the middle of each stage."""

import contextlib
import errno
import json
import os
import subprocess
import sys
import threading
import time
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


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk") / "pictures"
    write_pictures(folder)
    return folder


@pytest.fixture(scope="module")
def expected(pictures):
    """What an undisturbed run leaves."""
    config = configured(pictures.with_name("undisturbed"), pictures)
    live(config)
    return digests(config.run_dir)


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names no open files")
def test_what_was_saved_is_intact_and_the_run_goes_on(pictures, expected, tmp_path):
    sentence = import_module("keras_vqvae2.cli.app")._sentence
    config = configured(tmp_path / "run", pictures)
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


def mount(*arguments):
    """Call `mount`; return whether it was allowed."""
    if sys.platform != "linux":
        return False
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


def unmount(folder):
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.long
def test_a_disk_that_is_full_again_and_again(pictures, expected, tmp_path):
    config = configured(tmp_path / "run", pictures)
    full, size = dict.fromkeys(STAGES, 0), 256
    if not mount("-t", "tmpfs", "-o", f"size={size}k", "none", tmp_path):
        pytest.skip("may not mount")
    try:
        for _ in range(32):
            try:
                live(config)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                full[Path(error.filename).relative_to(config.run_dir).parts[0]] += 1
            else:
                break
            size += 24
            mount("-o", f"remount,size={size}k", tmp_path)
        assert min(full.values()) > 0
        assert digests(config.run_dir) == expected
    finally:
        unmount(tmp_path)


@pytest.mark.long
def test_a_folder_that_is_made_read_only_in_the_middle(pictures, expected, tmp_path):
    config = configured(tmp_path / "run", pictures)

    def protect(folder, over):
        """Make it a file system of its own, once it has a file, and that read-only."""
        while not (folder.is_dir() and any(folder.iterdir())):
            time.sleep(0.001)
        assert mount("--bind", folder, folder)
        # Refused while a file is being written.
        while not (mount("-o", "remount,bind,ro", folder) or over.is_set()):
            pass

    if not mount("--bind", tmp_path, tmp_path):
        pytest.skip("may not mount")
    try:
        for stage in STAGES:
            folder, over = config.run_dir / stage, threading.Event()
            watch = threading.Thread(target=protect, args=(folder, over))
            watch.start()
            with pytest.raises(OSError, match=stage) as error:
                live(config)
            over.set()
            watch.join()
            unmount(folder)
            assert error.value.errno == errno.EROFS
        live(config)
        assert digests(config.run_dir) == expected
    finally:
        unmount(tmp_path)
