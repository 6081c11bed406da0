"""What the program says of long work, as it stands in a log of 80 columns."""

from pathlib import Path

from keras_vqvae2.cli.config import Config
from keras_vqvae2.cli.progress import epoch_progress, tell


def test_an_epoch_is_a_line_however_long(capsys):
    shown = {name: f"{name * 30} {{:.3f}}".format for name in "abc"}
    callback = epoch_progress(shown)
    callback.set_params({"epochs": 2, "steps": 1})
    callback.on_epoch_begin(0)
    callback.on_epoch_end(0, {"a": 1.0, "b": 2.0, "c": 3.0})
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "aaa" in line)
    assert "ccc 3.000" in line
    assert line.endswith(" s")


def test_a_command_that_comes_next_can_be_copied(capsys, tmp_path):
    folder = tmp_path / ("long" * 20)
    tell(Config.create("tiny", run_dir=folder), Path("file"), "generate", "export")
    lines = [f"next: keras-vqvae2 {word} --run-dir {folder}" for word in ("generate", "export")]
    assert capsys.readouterr().out.splitlines() == ["wrote file", *lines]
