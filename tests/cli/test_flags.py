"""Flags become a config; what the commands then do is tested with the commands."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from keras_vqvae2 import cli
from keras_vqvae2.cli import flags as flags_module
from keras_vqvae2.cli.config import SIZES, Config

WITH_CONFIG = [
    *("demo", "train-vqvae", "extract-codes", "train-prior", "tune"),
    *("generate", "reconstruct", "complete", "evaluate", "export", "info"),
]
# What users type: no flag may be renamed.
CONFIG_FLAGS = """
--config --size --wiring
--run-dir --seed --checkpoint-steps --tensorboard --no-tensorboard --cosine-decay --no-cosine-decay
--steady
--dataset --data-dir --image-size --train-split --validation-split --batch-size
--image-key --label-key --skip-damaged --no-skip-damaged --workers
--flip --no-flip --shift --code-noise --code-passes
--filters --num-residual-blocks --residual-filters --num-levels --embedding-dim --num-embeddings
--decay --commitment-cost --condition-on-coarser --no-condition-on-coarser
--reconstruction-loss --upsampling --clipping --codebook-metric --codebook-gradient
--vqvae-epochs --decoder-epochs --decoder-replaced --vqvae-learning-rate
--prior-filters --prior-blocks --prior-dropout --prior-two-stream --no-prior-two-stream
--prior-attention-blocks --prior-conditioning-blocks --prior-label-smoothing
--prior-label-dropout --prior-ema
--prior-rematerialize --no-prior-rematerialize
--prior-precision --conditional --no-conditional --balance --prior-epochs --prior-learning-rate
--patience --allow-collapse --no-allow-collapse
--num-samples --temperature --top-k --top-p --guidance
"""
OWN_FLAGS = {
    "demo": "--distribute --epochs",
    "train-vqvae": "--distribute --epochs --from-tuning",
    "extract-codes": "--distribute",
    "train-prior": "--distribute --epochs --from-tuning",
    "tune": "--stage --tuner --objective --trials --epochs --total-epochs --tradeoff "
    "--max-parameters --max-memory --space",
    "generate": "--label --out --preset",
    "reconstruct": "",
    "complete": "--hide",
    "app": "--preset --run-dir --host --port",
    "evaluate": "--samples --no-samples --reference --held-out --sets --extractor",
    "export": "--format --name",
    "info": "",
    "serve-command": "directory --port --rest-port",
}


def test_every_command_has_its_flags():
    for name, own in OWN_FLAGS.items():
        parameters = cli.app.commands[name].params
        flags = [flag for each in parameters for flag in (*each.opts, *each.secondary_opts)]
        shared = CONFIG_FLAGS if name in WITH_CONFIG else ""
        assert sorted(flags) == sorted(own.split() + shared.split()), name
    assert cli.app.commands.keys() == OWN_FLAGS.keys()


@pytest.mark.parametrize("name", OWN_FLAGS)
def test_help_has_an_example_of_flags_that_there_are(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = cli.app.commands[name]
    (tmp_path / "runs" / "photos" / "saved_model").mkdir(parents=True)
    command.make_context(name, command.example.split())
    help_text = " ".join(CliRunner().invoke(cli.app, [name, "--help"]).output.split())
    assert f"Example: app {name} {command.example}" in help_text


def test_help_tells_the_defaults_part_by_part():
    result = CliRunner().invoke(cli.app, ["train-prior", "--help"])
    lines = " ".join(result.output.split())
    assert "--batch-size INTEGER Images a step, in both stages. [default: 32]" in lines
    assert "--prior-attention-blocks INTEGER Causal attention layers" in lines
    for title in ("Options:", "Run:", "Data:", "VQ-VAE-2:", "Prior:", "Samples:"):
        assert f"\n{title}\n" in result.output


@pytest.fixture
def config_of(monkeypatch, tmp_path):
    """Runs a command up to its config, which it returns."""
    monkeypatch.chdir(tmp_path)
    resolve = flags_module.resolve

    def run(command, *flags):
        received = []

        def stop(*arguments):
            received.append(resolve(*arguments))
            raise click.exceptions.Exit

        monkeypatch.setattr(flags_module, "resolve", stop)
        result = CliRunner().invoke(cli.app, [command, *flags], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        (config,) = received
        return config

    return run


@pytest.mark.parametrize("command", WITH_CONFIG)
def test_every_command_has_the_flags_of_the_config(config_of, command):
    assert config_of(command) == Config()
    config = config_of(command, "--size", "tiny", "--filters", "8", "--top-p", "0.5", "--flip")
    assert config == Config.create("tiny", filters=8, top_p=0.5, flip=True)


def test_no_flag_turns_a_switch_off(config_of):
    assert config_of("demo", "--no-tensorboard").tensorboard is False


def test_flags_of_tuples_take_a_number(config_of):
    config = config_of("demo", "--image-size", "16", "--prior-attention-blocks", "2")
    assert config.data.image_size == (16, 16)
    assert config.prior.num_attention_blocks == (2,)


def test_epochs_are_those_of_the_command(config_of):
    assert config_of("train-vqvae", "--epochs", "3") == Config(vqvae_epochs=3)
    assert config_of("train-prior", "--epochs", "3") == Config(prior_epochs=3)
    both = config_of("demo", "--epochs", "3", "--prior-epochs", "7")
    assert both == Config(vqvae_epochs=3, prior_epochs=7)


@pytest.mark.parametrize("form", [{"decay": 0.6}, {"vqvae": {"decay": 0.6}}])
def test_flags_win_over_the_file_and_the_file_over_the_saved_run(config_of, tmp_path, form):
    Config.create("tiny", run_dir=tmp_path / "run", seed=1, decay=0.5, patience=2).save()
    file = tmp_path / "wide.json"
    file.write_text(json.dumps({"seed": 2, **form}))
    config = config_of(
        "train-prior", "--run-dir", f"{tmp_path}/run", "--config", f"{file}", "--seed", "3"
    )
    assert (config.seed, config.vqvae.decay, config.prior_training.patience) == (3, 0.6, 2)
    assert config.vqvae.num_embeddings == SIZES["tiny"]["num_embeddings"]
    assert config.run_dir == tmp_path / "run"


def test_a_size_of_the_file_loses_to_fields_of_the_file_and_to_flags(config_of, tmp_path):
    file = tmp_path / "base.json"
    file.write_text(json.dumps({"prior": {"filters": 32}, "size": "base", "wiring": "best"}))
    config = config_of("demo", "--config", f"{file}", "--filters", "8")
    assert config == Config.create("base", wiring="best", prior_filters=32, filters=8)
    config = config_of("demo", "--config", f"{file}", "--size", "tiny")
    assert config == Config.create("tiny", wiring="best")
    file.write_text(json.dumps({"prior": {"two_stream": True}, "size": "small"}))
    config = config_of("demo", "--config", f"{file}", "--size", "base", "--wiring", "best")
    assert config == Config.create("base", wiring="best")
    config = config_of("demo", "--config", f"{file}", "--size", "tiny")
    assert config == Config.create("tiny", wiring="best", prior_two_stream=True)


def test_the_best_of_a_search_wins_over_the_file(config_of, tmp_path):
    file, best = tmp_path / "some.json", tmp_path / "tuning" / "prior" / "best.json"
    best.parent.mkdir(parents=True)
    file.write_text(json.dumps({"prior_filters": 4, "prior_blocks": 3, "seed": 5}))
    best.write_text(json.dumps({"prior": {"filters": 8, "num_blocks": 2}, "batch_size": 16}))
    flags = ("--config", f"{file}", "--from-tuning", "tuning", "--prior-blocks", "1")
    expected = Config(seed=5, prior_filters=8, batch_size=16, prior_blocks=1)
    assert config_of("train-prior", *flags) == expected


def test_each_dataset_has_a_run_directory_of_its_own(config_of):
    assert config_of("demo", "--dataset", "fashion_mnist").run_dir == Path("runs/fashion_mnist")
    assert config_of("demo", "--dataset", "some/images").run_dir == Path("runs/images")


def test_a_run_that_was_moved_is_found_where_it_is(config_of, tmp_path):
    Config(run_dir=tmp_path / "before", seed=5).save()
    (tmp_path / "before").rename(tmp_path / "after")
    config = config_of("generate", "--run-dir", str(tmp_path / "after"))
    assert config == Config(run_dir=tmp_path / "after", seed=5)
