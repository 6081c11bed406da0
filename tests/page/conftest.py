"""A page in a process of its own, as users have it."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_models import randomize, tell_images_apart

from keras_vqvae2 import VQVAE2, HierarchicalPrior, ImageGenerator


@pytest.fixture(scope="session")
def animals():
    """A generator of three classes with names, images of 8x8, that can be guided."""
    vqvae = VQVAE2((8, 8, 3), filters=8, num_residual_blocks=0, embedding_dim=4, num_embeddings=5)
    tell_images_apart(vqvae)
    options = {"num_classes": 3, "label_names": ("cat", "dog", "eel"), "label_dropout": 0.1}
    prior = HierarchicalPrior.from_vqvae(vqvae, filters=8, num_blocks=1, **options)
    return ImageGenerator(vqvae, randomize(prior, seed=2), {"guidance": 2.0})


@pytest.fixture(scope="module")
def served(animals, tmp_path_factory):
    """The address of a page, served by the program until the tests end it by Ctrl-C."""
    folder = tmp_path_factory.mktemp("served")
    animals.save_to_preset(folder / "animals")
    program = Path(sys.executable).with_name("keras-vqvae2")
    words = [program, "app", "--preset", folder / "animals"]
    log = folder / "log.txt"
    with open(log, "w") as out:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=out, text=True)
    try:
        told = ""
        while "Open " not in told:
            line = process.stdout.readline()
            assert line, log.read_text()
            told += line
        yield re.search(r"Open (\S+?)/? in a browser", told)[1]
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert "The page is closed." in rest
    assert process.returncode == 0
    assert log.read_text() == ""
