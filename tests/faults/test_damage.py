"""Every file that a run reads again, damaged in many ways: the same content, or one sentence."""

import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "datasets"))
from fake_vqvae import FakeVQVAE, random_images

from keras_vqvae2 import files
from keras_vqvae2.cli.config import Config
from keras_vqvae2.cli.run_models import load_vqvae
from keras_vqvae2.datasets import CodeBatches, extract_codes
from keras_vqvae2.training.checkpoints import CheckpointFolder, Position, load_state

IMAGES = random_images(20)
CHECKPOINTS = ("checkpoints/epoch_0001.npz", "checkpoints/epoch_0001_step_000003.npz")


def small_model(value=0.0):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    for variable in model.trainable_variables:
        variable.assign(keras.ops.full(variable.shape, value))
    return model


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with each kind of file that the program reads again."""
    folder = tmp_path_factory.mktemp("run")
    config = Config(run_dir=folder, seed=3)
    config.save()
    files.write_text(config.report_file, files.signed_json({"history": [1.5]}))
    extract_codes(FakeVQVAE(), IMAGES, folder / "codes", shard_size=8)
    checkpoints = CheckpointFolder(folder / "checkpoints")
    for number, position in enumerate((Position(1), Position(1, 3))):
        checkpoints.save(position, small_model(number), {"history": [{"loss": 0.5}]})
    config.vqvae_dir.mkdir()
    files.write_archive(config.vqvae_file, small_model(1.0).save)
    return folder


def read_config(folder):
    return str(Config.load(folder / "config.json"))


def read_report(folder):
    return files.read_signed_json(folder / "report.json")["history"]


def read_model(folder):
    return [weight.tolist() for weight in load_vqvae(Config(run_dir=folder)).get_weights()]


def read_codes(folder):
    batches = CodeBatches(folder / "codes", 7)
    return [[level.tolist() for level in batch[0]] for batch in batches]


def heal_codes(folder):
    extract_codes(FakeVQVAE(), IMAGES, folder / "codes", shard_size=8)


def read_checkpoint(folder):
    """The history and the variables that a training would go on from."""
    checkpoints, model = CheckpointFolder(folder / "checkpoints"), small_model()
    position, content = checkpoints.newest()
    checkpoints.load(position, model)
    # Either of the two leads to one result: see tests/training/test_resume.py.
    assert float(model.get_weights()[0].max()) == (position.steps > 0)
    return content["history"]


READERS = {
    "config.json": (read_config, None),
    "report.json": (read_report, None),
    "vqvae2/vqvae2_final.keras": (read_model, None),
    "codes/manifest.json": (read_codes, None),
    **{
        f"codes/shard-00001/{name}": (read_codes, heal_codes)
        for name in ("top.npy", "bottom.npy", "SHA256SUMS")
    },
    **dict.fromkeys(CHECKPOINTS, (read_checkpoint, None)),
}


def damages(data, count, rng):
    """The content of a file cut short and with bytes flipped, at random places; None: removed."""
    yield None
    for length in (0, 1, len(data) // 2, len(data) - 1, *rng.integers(0, len(data), count)):
        yield data[: int(length)]
    for place in rng.integers(0, len(data), 2 * count):
        place = int(place)
        yield data[:place] + bytes([data[place] ^ 1 << int(rng.integers(8))]) + data[place + 1 :]


def outcome_of(read, folder):
    """What is read, or the sentence that says why not."""
    try:
        return read(folder), None
    except (ValueError, OSError) as error:
        return None, str(error)


def check(run, tmp_path, name, count, seed):
    """The outcomes of many damages of a file; each is the same content or a sentence."""
    read, heal = READERS[name]
    expected = read(run)
    folder, outcomes = tmp_path / "damaged", {"same": 0, "healed": 0, "named": 0}
    rng = np.random.default_rng(seed)
    for data in damages((run / name).read_bytes(), count, rng):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(run, folder)
        if data is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(data)
        content, sentence = outcome_of(read, folder)
        outcome = "named" if sentence else "same"
        if sentence:
            assert (Path(name).parent if heal else Path(name)).name in sentence
            assert "\n" not in sentence
            if heal:
                heal(folder)
                outcome = "healed"
            content = read(folder) if heal else expected
        assert content == expected
        outcomes[outcome] += 1
    return outcomes


@pytest.mark.parametrize("name", READERS)
@pytest.mark.filterwarnings("ignore:.*is damaged.*goes on from:UserWarning")
def test_a_damaged_file_gives_the_same_or_a_sentence(run, tmp_path, name):
    outcomes = check(run, tmp_path, name, count=4, seed=0)
    assert sum(outcomes.values()) == 17
    if name in CHECKPOINTS:
        assert outcomes["same"] == 17  # of the other one, if not of this


@pytest.mark.long
@pytest.mark.parametrize("name", READERS)
@pytest.mark.filterwarnings("ignore:.*is damaged.*goes on from:UserWarning")
def test_five_hundred_damages(run, tmp_path, name):
    outcomes = check(run, tmp_path, name, count=25, seed=1)
    print(f"{name}: {outcomes}")
    assert sum(outcomes.values()) == 80


def test_a_state_is_never_loaded_of_a_damaged_file(run, tmp_path):
    file = tmp_path / "epoch_0001.npz"
    data = bytearray((run / CHECKPOINTS[0]).read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"epoch_0001.npz is damaged"):
        load_state(small_model(), file)
