"""The command `app`: which model it serves, and what it refuses; the page is tested in `page/`."""

import sys

import pytest
from command_line import command

from keras_vqvae2.cli import play
from keras_vqvae2.page import layout


@pytest.fixture
def served(monkeypatch):
    """Collects what would be served: the model, its class, and the rest of the arguments."""
    calls = []
    monkeypatch.setattr(play, "play", lambda load, *rest: calls.append((*load(), *rest)))
    return calls


def test_a_preset_is_served_on_loopback(class_model, tmp_path, served):
    class_model.save_to_preset(tmp_path / "mine")
    assert command("app", "--preset", tmp_path / "mine") == 0
    ((model, *rest),) = served
    assert rest == [None, "mine", "127.0.0.1", None]
    assert model.num_classes == 9


def test_the_page_begins_with_the_most_frequent_class(served):
    assert command("app", "--preset", "emoji32") == 0
    ((model, label, *_),) = served
    assert model.label_names[label] == "person"


@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        (("--preset", "emoij"), 1, "`name` must be one of 'emoji32'"),
        (("--run-dir", "runs/none"), 1, "run `keras-vqvae2 train-prior --run-dir runs/none`"),
        (("--preset", "emoji32", "--run-dir", "a"), 1, "must not be given together"),
        (("--port", "0"), 2, "0 is not in the range 1<=x<=65535"),
    ],
)
def test_what_will_not_do_is_refused_in_a_sentence(served, capsys, flags, status, message):
    assert command("app", *flags) == status
    assert message in capsys.readouterr().err
    assert not served


def test_without_gradio_it_says_how_to_install_it(monkeypatch, class_model):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ValueError, match=r"pip install 'keras-vqvae2\[app\]'"):
        layout.build_page(class_model)
