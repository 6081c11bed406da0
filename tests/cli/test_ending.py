"""How the program ends: by errors, signals, and beside another process in the same folder."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from command_line import command

from keras_vqvae2 import cli
from keras_vqvae2.cli import interruption
from keras_vqvae2.cli.config import Config
from keras_vqvae2.cli.run_lock import locked
from keras_vqvae2.distribution import Workers

# Takes the lock of a run folder, says so, and waits.
HOLDER = """
import sys, time
from keras_vqvae2.cli.config import Config
from keras_vqvae2.cli.run_lock import locked
from types import SimpleNamespace
with locked(Config(run_dir=sys.argv[1]), SimpleNamespace(is_chief=True)):
    print("locked", flush=True)
    time.sleep(600)
"""
# A program whose command is given by its text.
PROGRAM = """
import sys, time
sys.argv = ["keras-vqvae2", "info"]
from importlib import import_module
from types import SimpleNamespace
from keras_vqvae2.cli import interruption
app = import_module("keras_vqvae2.cli.app")  # the package's `app` is the group in it
def main(*arguments, **options):
    {}
app.app = SimpleNamespace(main=main)
app.main()
"""
WAITING = """print("begun", flush=True)
    time.sleep(60)"""
TRAINING = """with interruption.after_the_step(SimpleNamespace(count=1)) as interrupted:
        print("begun", flush=True)
        while not interrupted():
            time.sleep(0.01)
        print("saved", flush=True)
        {}
        raise KeyboardInterrupt"""


def start(program, *arguments):
    """A process of a program that has said its first word."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    return process


def test_a_run_folder_is_of_one_process(tmp_path, capsys):
    run_dir = tmp_path / "run"
    holder = start(HOLDER, run_dir)
    for name in ("demo", "train-vqvae"):
        assert command(name, "--run-dir", run_dir) == 1
        message = capsys.readouterr().err
        assert f"{run_dir} is in use by process {holder.pid} on " in message
        assert message.count("\n") == 1
    with locked(Config(run_dir=run_dir), Workers(index=1)):
        pass  # a worker of the same training
    holder.kill()  # which leaves all files where they are
    holder.communicate()
    with locked(Config(run_dir=run_dir), Workers()):
        (run_dir / "result").touch()
        assert json.loads((run_dir / "run.lock.json").read_text())[0] == os.getpid()
    assert [file.name for file in run_dir.iterdir()] == ["result"]


def test_a_folder_that_nothing_came_of_is_not_left_behind(tmp_path):
    config = Config(run_dir=tmp_path / "runs" / "first")
    with pytest.raises(ValueError, match="no data"), locked(config, Workers()):
        raise ValueError("no data")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_a_signal_ends_the_program_at_once_or_after_the_step(number, status):
    for program in (PROGRAM.format(WAITING), PROGRAM.format(TRAINING.format("pass"))):
        process = start(program)
        process.send_signal(number)
        output, errors = process.communicate(timeout=20)
        assert process.returncode == status
        assert output == ("saved\n" if "saved" in program else "")
        assert errors == "Interrupted: the same command goes on from what is saved.\n"


def test_a_second_signal_ends_a_training_at_once():
    process = start(PROGRAM.format(TRAINING.format("time.sleep(60)")))
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "saved\n"
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert time.monotonic() - begun < 10
    assert process.returncode == -signal.SIGINT  # which a shell reports as 130


def test_workers_end_at_once_by_a_signal():
    with interruption.after_the_step(Workers(index=1, count=2)) as interrupted:
        assert not interrupted()


def ended(monkeypatch, capsys, error, *flags):
    """The status and the words of a program whose command raises an error."""

    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(cli.app, "main", fail)
    status = command("info", *flags)
    return status, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("`x` must be 1. Received: x=2"), "Error: `x` must be 1. Received: x=2\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "run/config.json"),
            "Error: run/config.json: No space left on device. What was saved before is intact; "
            "the same command goes on from there.\n",
        ),
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), "Error: x: No such file.\n"),
    ],
)
def test_an_error_that_was_foreseen_is_a_sentence(monkeypatch, capsys, error, message):
    assert ended(monkeypatch, capsys, error) == (1, message)
    status, errors = ended(monkeypatch, capsys, error, "--debug")
    assert status == 1
    assert "Traceback" in errors
    assert errors.endswith(message)


def test_an_unforeseen_error_is_a_traceback(monkeypatch, capsys):
    status, errors = ended(monkeypatch, capsys, KeyError("part"))
    assert status == 70
    assert errors.startswith("Traceback")
    assert errors.endswith("KeyError: 'part'\n")
