"""The classes of the models are known to Keras as soon as both packages are imported.

`keras.saving.load_model` finds the classes of a file among those that are registered, which happens
when their modules are imported. The package imports them on demand; so whichever of the two comes
first, Keras's own import counts as a demand. So does that of a module which the models are made of:
it would import Keras, hence the models, hence itself while it is not there yet.
"""

import importlib
import importlib.abc
import importlib.util
import sys

MODELS = "keras_vqvae2.models"
# What imports Keras and the models import.
BENEATH = {
    *("distribution", "files.model_files", "layers", "losses", "metrics", "ops", "sampling"),
    "training",
}


def register_with_keras():
    """Import the models now if Keras is here, else right after it is imported."""
    if "keras" in sys.modules:
        importlib.import_module(MODELS)
    else:
        sys.meta_path.insert(0, _OnDemand())


class _OnDemand(importlib.abc.MetaPathFinder):
    """Leaves searches to the other finders, and imports the models where they are asked for."""

    def find_spec(self, fullname, path=None, target=None):
        package, _, name = fullname.partition(".")
        if fullname == "keras":
            sys.meta_path.remove(self)
            return _followed(importlib.util.find_spec(fullname))
        if package == "keras_vqvae2" and name in BENEATH:
            sys.meta_path.remove(self)
            importlib.import_module(MODELS)
            return importlib.util.spec_from_loader(fullname, _Imported(sys.modules[fullname]))
        return None


def _followed(spec):
    """The spec of Keras, after whose import that of the models follows."""
    if spec is not None:
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            importlib.import_module(MODELS)

        spec.loader.exec_module = exec_module
    return spec


class _Imported(importlib.abc.Loader):
    """Loads a module that has been imported meanwhile."""

    def __init__(self, module):
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec):
        return self._module

    def exec_module(self, module):
        module.__spec__ = self._spec
