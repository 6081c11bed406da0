"""The program as a user meets it: help, completion, and what goes wrong."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

import keras_vqvae2
from keras_vqvae2 import cli

COMMANDS = list(cli.app.commands)
# Ends with an error if the program imported what takes seconds.
LIGHT = """
import sys
sys.argv[0] = "keras-vqvae2"
from keras_vqvae2 import cli
try:
    cli.main()
finally:
    heavy = {"keras", "tensorflow", "jax", "numpy", "rich.console"} & set(sys.modules)
    assert not heavy, heavy
"""


def light(*arguments, **environment):
    """The result of the program in a process of its own that imports no framework."""
    return subprocess.run(
        [sys.executable, "-c", LIGHT, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("arguments", [[], ["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_needs_no_framework(arguments):
    result = light(*arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Usage: keras-vqvae2")


def test_the_version_is_that_of_the_package():
    assert light("--version").stdout == f"keras-vqvae2, version {keras_vqvae2.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["demo", "--epoch", "3"], 2, "No such option"),
        (["dmeo"], 2, "No such command 'dmeo'"),
        (["demo", "--batch-size", "many"], 2, "Invalid value for '--batch-size': 'many'"),
        (["serve-command", "nowhere"], 2, "Directory 'nowhere' does not exist"),
        (["demo", "--batch-size", "0"], 1, "`batch_size` must be at least 1. Received: 0"),
        (["demo", "--size", "huge"], 1, "`size` must be one of tiny, small, base"),
        (["demo", "--config", "none.json"], 1, "A config must be a readable JSON file"),
        (["tune", "--space", "none.json"], 1, "A config must be a readable JSON file"),
        (["generate", "--run-dir", "nowhere"], 1, "nowhere/prior/prior_final.keras is missing"),
        (
            ["train-prior", "--run-dir", "nowhere"],
            1,
            "`keras-vqvae2 train-vqvae --run-dir nowhere`",
        ),
    ],
)
def test_an_error_of_use_needs_no_framework(monkeypatch, tmp_path, arguments, status, message):
    monkeypatch.chdir(tmp_path)
    result = light(*arguments)
    assert (result.returncode, result.stdout) == (status, "")
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_the_script_of_its_completion(shell):
    result = CliRunner().invoke(cli.app, ["--show-completion", shell], prog_name="keras-vqvae2")
    assert result.exit_code == 0
    assert f"_KERAS_VQVAE2_COMPLETE={shell}_complete" in result.output


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("keras-vqvae2 train-", {"train-vqvae", "train-prior"}),
        ("keras-vqvae2 demo --codebook-", {"--codebook-metric", "--codebook-gradient"}),
    ],
)
def test_words_are_completed_without_a_framework(words, expected):
    count = str(len(words.split()) - 1)
    environment = {"COMP_WORDS": words, "COMP_CWORD": count}
    result = light(_KERAS_VQVAE2_COMPLETE="bash_complete", **environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert {line.split(",")[1] for line in result.stdout.splitlines()} == expected


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["train-vqvae", "--size", "huge"], "`size` must be one of tiny, small, base"),
        (["train-vqvae", "--batch-size", "0"], "`batch_size` must be at least 1. Received: 0"),
        (["info", "--config", "none.json"], "A config must be a readable JSON file"),
        (["info", "--dataset", "fashion_mnist", "--data-dir", "nowhere"], "'nowhere'"),
        (["demo", "--distribute", "two"], "`distribute` must be one of mirrored, multiworker"),
        (["info", "--num-levels", "6"], "image_shape=(32, 32, 3)"),
        (["generate"], "run `keras-vqvae2 train-prior --run-dir runs/emoji32` first"),
        (["extract-codes"], "run `keras-vqvae2 train-vqvae --run-dir runs/emoji32` first"),
        (["reconstruct"], "run `keras-vqvae2 train-vqvae --run-dir runs/emoji32` first"),
        (["complete"], "run `keras-vqvae2 train-prior --run-dir runs/emoji32` first"),
        (["complete", "--hide", "middle"], "`hide` must be one of top"),
        (["evaluate"], "run `keras-vqvae2 train-vqvae --run-dir runs/emoji32` first"),
        (["evaluate", "--reference", "test"], "must both be given, or neither"),
        (["export"], "run `keras-vqvae2 train-vqvae --run-dir runs/emoji32` first"),
        (["export", "--name", "a/b"], "`name` must consist of letters"),
        (["tune", "--stage", "prior"], "search over stage 1 first"),
        (["tune", "--tuner", "grid"], "`tuner` must be one of 'random', 'hyperband', 'bayesian'"),
        (["tune", "--objective", "loss"], "`objective` must be one of 'val_reconstruction_mse'"),
        (["tune", "--max-parameters", "0"], "`max_parameters` must be positive"),
        (["tune", "--dataset", "fashion_mnist", "--data-dir", "nowhere"], "'nowhere'"),
        (["train-vqvae", "--dataset", "fashion_mnist", "--data-dir", "nowhere"], "'nowhere'"),
        (["train-vqvae", "--reconstruction-loss", "l2"], "`reconstruction_loss` must be one of"),
        (["train-vqvae", "--validation-split", "dev"], "`split` must be"),
        (["train-vqvae", "--from-tuning", "nowhere"], "nowhere/vqvae2/best.json"),
        (["demo", "--code-passes", "2"], "`passes` must be 1 unless"),
        (["demo", "--size", "tiny", "--prior-filters", "7"], "`filters` must be even"),
        (["demo", "--dataset", "fashion_mnist", "--data-dir", "nowhere"], "'nowhere'"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(monkeypatch, tmp_path, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["keras-vqvae2", *flags])
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    assert exit_info.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_unknown_flag_is_a_usage_error():
    result = CliRunner().invoke(cli.app, ["demo", "--epoch", "3"])
    assert result.exit_code == 2


def test_info_counts_the_parameters_of_the_specification(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["keras-vqvae2", "info", "--size", "base"])
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    assert not exit_info.value.code
    output = capsys.readouterr().out
    for part in ("encoder", "decoder", "top codebook", "bottom codebook", "top prior"):
        assert part in output
    assert "32,768" in output  # 512 codes of 64.
    assert "at 32 images a batch: about" in output
    assert not list(tmp_path.iterdir())
