"""Importing the package imports nothing else, and Keras still finds the models in a file."""

import subprocess
import sys

import keras
import pytest

LAZY = """
import sys
import keras_vqvae2 as kv

heavy = {"keras", "tensorflow", "jax", "numpy", "sklearn", "keras_tuner"} & set(sys.modules)
assert not heavy, heavy
assert "VQVAE2" in dir(kv) and kv.__version__
try:
    kv.VQVAE3
except AttributeError as error:
    assert "VQVAE3" in str(error)
assert "keras" not in sys.modules

import keras

assert keras.saving.get_registered_object("keras_vqvae2>VQVAE2") is kv.VQVAE2
"""


@pytest.mark.tensorflow_only
def test_the_package_is_imported_by_the_use_of_a_name():
    subprocess.run([sys.executable, "-c", LAZY], check=True, timeout=120)


@pytest.mark.long
@pytest.mark.parametrize("name", ["VQVAE2", "PixelCNN", "HierarchicalPrior", "ImageGenerator"])
def test_the_models_are_known_where_keras_came_first(name):
    assert keras.saving.get_registered_object(f"keras_vqvae2>{name}") is not None


DIRECT = """
from {module} import {name}
import keras_vqvae2 as kv
import keras, sys

assert keras.saving.get_registered_object("keras_vqvae2>VQVAE2") is kv.VQVAE2
assert sys.modules["{module}"].{name} is {name}
assert sys.modules["{module}"].__spec__.origin.endswith(".py")
"""


@pytest.mark.long
@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras_vqvae2.metrics", "BitsPerDim"),
        ("keras_vqvae2.files.model_files", "load_model"),
    ],
)
def test_a_part_may_be_imported_before_anything_else(module, name):
    """It imports Keras, after which the models are imported, and with them itself."""
    code = DIRECT.format(module=module, name=name)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
