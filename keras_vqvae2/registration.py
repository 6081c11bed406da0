"""The classes of the models are known to Keras as soon as both packages are imported.

`keras.saving.load_model` finds the classes of a file among those that are registered, which happens
when their modules are imported. The package imports them on demand; so whichever of the two comes
first, Keras's own import counts as a demand.
"""

import importlib
import importlib.abc
import importlib.util
import sys

MODELS = "keras_vqvae2.models"


def register_with_keras():
    """Import the models now if Keras is here, else right after it is imported."""
    if "keras" in sys.modules:
        importlib.import_module(MODELS)
    else:
        sys.meta_path.insert(0, _AfterKeras())


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Leaves the search for Keras to the other finders, and imports the models after it."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                importlib.import_module(MODELS)

            spec.loader.exec_module = exec_module
        return spec
