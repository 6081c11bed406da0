"""Flags become a config; what the commands then do is tested with the stages."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from keras_vqvae2 import cli, results, stages
from keras_vqvae2.cli.config import SIZES, Config

COMMANDS = {
    "demo": (stages, "demo"),
    "train-vqvae": (stages, "train_vqvae"),
    "extract-codes": (stages, "extract"),
    "train-prior": (stages, "train_prior"),
    "generate": (results, "generate"),
    "reconstruct": (results, "reconstruct"),
    "evaluate": (results, "write_report"),
    "complete": (results, "complete"),
}


@pytest.fixture
def config_of(monkeypatch, tmp_path):
    """Runs a command with its stage replaced; returns the config that the stage got."""
    monkeypatch.chdir(tmp_path)

    def run(command, *flags):
        received = []
        module, function = COMMANDS[command]
        monkeypatch.setattr(module, function, lambda config, *more: received.append(config))
        result = CliRunner().invoke(cli.app, [command, *flags], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        (config,) = received
        return config

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_the_flags_of_the_config(config_of, command):
    assert config_of(command) == Config()
    config = config_of(command, "--size", "tiny", "--filters", "8", "--top-p", "0.5", "--flip")
    assert config == Config.create("tiny", filters=8, top_p=0.5, flip=True)


def test_no_flag_turns_a_switch_off(config_of):
    assert config_of("demo", "--no-tensorboard").tensorboard is False


def test_epochs_are_those_of_the_command(config_of):
    assert config_of("train-vqvae", "--epochs", "3") == Config(vqvae_epochs=3)
    assert config_of("train-prior", "--epochs", "3") == Config(prior_epochs=3)
    both = config_of("demo", "--epochs", "3", "--prior-epochs", "7")
    assert both == Config(vqvae_epochs=3, prior_epochs=7)


def test_flags_win_over_the_file_and_the_file_over_the_saved_run(config_of, tmp_path):
    Config.create("tiny", run_dir=tmp_path / "run", seed=1, decay=0.5, patience=2).save()
    file = tmp_path / "wide.json"
    file.write_text(json.dumps({"seed": 2, "decay": 0.6}))
    config = config_of(
        "train-prior", "--run-dir", f"{tmp_path}/run", "--config", f"{file}", "--seed", "3"
    )
    assert (config.seed, config.decay, config.patience) == (3, 0.6, 2)
    assert config.num_embeddings == SIZES["tiny"]["num_embeddings"]
    assert config.run_dir == tmp_path / "run"


def test_each_dataset_has_a_run_directory_of_its_own(config_of):
    assert config_of("demo", "--dataset", "fashion_mnist").run_dir == Path("runs/fashion_mnist")
    assert config_of("demo", "--dataset", "some/images").run_dir == Path("runs/images")


def test_a_run_that_was_moved_is_found_where_it_is(config_of, tmp_path):
    Config(run_dir=tmp_path / "before", seed=5).save()
    (tmp_path / "before").rename(tmp_path / "after")
    config = config_of("generate", "--run-dir", str(tmp_path / "after"))
    assert config == Config(run_dir=tmp_path / "after", seed=5)


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
    ],
)
def test_an_error_is_one_line_without_a_traceback(monkeypatch, tmp_path, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["keras-vqvae2", *flags])
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    assert exit_info.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert message in error
    assert error.count("\n") == 1


def test_an_unknown_flag_is_a_usage_error():
    result = CliRunner().invoke(cli.app, ["demo", "--epoch", "3"])
    assert result.exit_code == 2


def test_info_counts_the_parameters_of_the_specification(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli.app, ["info", "--size", "base"], catch_exceptions=False)
    for part in ("encoder", "decoder", "top codebook", "bottom codebook", "top prior"):
        assert part in result.output
    assert "32,768" in result.output  # 512 codes of 64.
    assert "at 64 images a batch: about" in result.output
