import doctest
import importlib
import pkgutil

import pytest

from keras_vqvae2 import datasets

MODULES = sorted(module.name for module in pkgutil.iter_modules(datasets.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name):
    module = importlib.import_module(f"keras_vqvae2.datasets.{name}")
    assert doctest.testmod(module).failed == 0
