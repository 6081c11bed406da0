"""`generate` of a preset, without a run; of a run it is tested in `test_demo.py`."""

import numpy as np
import pytest
from command_line import command
from PIL import Image

from keras_vqvae2 import drawing


@pytest.fixture
def preset(class_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    class_model.save_to_preset("mine")
    return "mine"


def test_a_preset_is_drawn_without_a_run(class_model, preset, tmp_path):
    flags = ("--num-samples", 9, "--seed", 3, "--temperature", 0.5, "--out", "deep/kinds.png")
    assert command("generate", "--preset", preset, *flags) == 0
    # Nine classes and nine images: a row of each of the first three classes.
    labels = np.repeat([0, 1, 2], 3)
    images = class_model.generate(9, labels=labels, seed=3, temperature=0.5)
    expected = tmp_path / "expected.png"
    drawing.save(expected, drawing.named_rows(images, ["0", "1", "2"]))
    with Image.open("deep/kinds.png") as found, Image.open(expected) as other:
        np.testing.assert_array_equal(np.asarray(found), np.asarray(other))
    assert not (tmp_path / "runs").exists()


def test_all_images_may_be_of_one_class(class_model, preset):
    command("generate", "--preset", preset, "--num-samples", 4, "--label", 7)
    expected = drawing.grid(class_model.generate(4, labels=7, seed=0))
    with Image.open("samples.png") as found:
        assert found.size == (2 * expected.shape[1], 2 * expected.shape[0])
        np.testing.assert_array_equal(np.asarray(found)[::2, ::2], expected)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--preset", "emoij"), "`name` must be one of 'emoji32'"),
        (("--preset", "mine", "--out", "a.jpg"), "`out` must end with .png"),
        (("--preset", "mine", "--label", "cat"), "`label` must be one of 0 to 8"),
    ],
)
def test_what_will_not_do_is_refused_in_a_sentence(preset, tmp_path, capsys, flags, message):
    assert command("generate", *flags) == 1
    assert message in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]
