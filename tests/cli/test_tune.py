"""The command `tune` on 8x8 images, and trainings that take its best."""

import json

import keras
import pytest
from command_line import command
from PIL import Image
from tuning_processes import TINY, images

from keras_vqvae2 import datasets, tuning
from keras_vqvae2.cli.config import Config

SPACES = {
    "vqvae": {**TINY, "flip": [True], "learning_rate": [0.01, 0.002]},
    "prior": {"filters": [4], "num_blocks": [1], "batch_size": [8], "dropout": [0.0, 0.2]},
}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """The run directory of a search over both stages, and the flags that it was given."""
    folder = tmp_path_factory.mktemp("command")
    for split, count in (("train", 16), ("validation", 8)):
        for index, image in enumerate(images(count, count)):
            file = folder / "pictures" / split / ("dark", "light")[index % 2] / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.repeat(3, axis=-1)).save(file)
    (folder / "spaces.json").write_text(json.dumps(SPACES))
    flags = ["--dataset", folder / "pictures", "--run-dir", folder / "run", "--conditional"]
    flags += ["--num-levels", 1, "--trials", 2, "--epochs", 2, "--space", folder / "spaces.json"]
    assert command("tune", *flags) == 0
    return folder / "run", flags


@pytest.mark.long
def test_the_command_leaves_the_best_of_both_stages(tuned):
    run_dir, _ = tuned
    for stage, objective in (("vqvae2", "reconstruction_mse"), ("prior", "bits_per_code")):
        folder = run_dir / "tuning" / stage
        result = json.loads((folder / "trials.json").read_text())
        assert result["objective"] == f"val_{objective}"
        best = min(result["trials"], key=lambda trial: trial["score"])
        model = keras.saving.load_model(folder / f"{stage}_final.keras")
        validation = (
            datasets.ImageBatches(datasets.load(run_dir.parent / "pictures", "validation"), 8)
            if stage == "vqvae2"
            else datasets.CodeBatches(run_dir / "tuning" / "codes" / "validation", 64)
        )
        logs = model.evaluate(validation, return_dict=True, verbose=0)
        assert logs[objective] == best["score"]
        assert (folder / "trials.png").exists()


@pytest.mark.long
@pytest.mark.tensorflow_only
def test_tensorboard_gets_the_hyperparameters(tuned):
    events = list((tuned[0] / "tuning" / "logs" / "vqvae2").rglob("events*"))
    assert sum(b"_hparams_" in file.read_bytes() for file in events) == 2


@pytest.mark.long
def test_a_training_takes_the_options_of_the_best(tuned, monkeypatch):
    run_dir, _ = tuned
    monkeypatch.setattr("keras_vqvae2.cli.train_prior.require", lambda *_: None)
    configs = []
    for name in ("train-vqvae", "train-prior"):
        function = name.replace("-", "_")
        monkeypatch.setattr(
            f"keras_vqvae2.cli.{function}.{function}",
            lambda config, workers: configs.append(config),
        )
        flags = ("--run-dir", run_dir, "--from-tuning", run_dir / "tuning", "--decay", 0.5)
        assert command(name, *flags) == 0
    best = {
        stage: json.loads((run_dir / "tuning" / stage / "best.json").read_text())
        for stage in ("vqvae2", "prior")
    }
    start = Config.load(run_dir / "config.json")
    assert configs[0] == start.updated({**best["vqvae2"], "decay": 0.5})
    assert configs[1] == start.updated({**best["prior"], "decay": 0.5})
    vqvae, augmentation = configs[0].vqvae, configs[0].augmentation
    assert (vqvae.filters, vqvae.residual_filters, augmentation.flip) == (4, None, True)
    assert (configs[1].prior.filters, configs[1].prior.num_blocks) == (4, 1)
    assert best["prior"]["prior"] == {
        "filters": 4,
        "num_blocks": 1,
        "dropout": configs[1].prior.dropout[0],
    }
    assert best["prior"]["batch_size"] == 8


@pytest.mark.long
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--epochs", 3], "`epochs` must stay 2"),
        (["--seed", 3], "`seed` must stay 0"),
        (["--stage", "both"], "`stage` must be one of vqvae, prior. Received: stage='both'"),
    ],
)
def test_another_search_in_the_same_folder_is_refused(tuned, capsys, flags, message):
    assert command("tune", *tuned[1], *flags) == 1
    assert message in capsys.readouterr().err


def test_stage_two_comes_after_stage_one(tmp_path, capsys):
    assert command("tune", "--run-dir", tmp_path / "run", "--stage", "prior") == 1
    assert "search over stage 1 first" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_distributed_search_is_over_one_stage(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    assert tuning.role() == "chief"
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
    assert tuning.role() == "worker"
    assert command("tune", "--run-dir", tmp_path / "run") == 1
    assert "`stage` must be given in a distributed search" in capsys.readouterr().err
