"""Every example in the package runs, and every public name says in a sentence what it is."""

import doctest
import importlib
import inspect
import pkgutil

import keras
import pytest

import keras_vqvae2

MODULES = [
    info.name
    for info in pkgutil.walk_packages(keras_vqvae2.__path__, "keras_vqvae2.")
    # A backend's own half, with the backend's own imports.
    if info.name.removeprefix("keras_vqvae2.training.")
    not in {"tensorflow", "jax", "torch"} - {keras.backend.backend()}
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module)
    assert result.failed == 0
    # Every example is found: those in the text are those that were attempted.
    assert (result.attempted > 0) == (">>> " in inspect.getsource(module))


# Keras's own hooks: the docstring of the class says what they do.
HOOKS = {"build", "call", "compute_output_shape", "compute_output_spec"}


def public_definitions(module):
    """The public classes, functions and methods that a module defines."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value):
            yield name, value
            for method, attribute in vars(value).items():
                defined = inspect.isroutine(attribute) or isinstance(attribute, property)
                if defined and not method.startswith("_") and method not in HOOKS:
                    yield f"{name}.{method}", getattr(value, method)
        elif inspect.isfunction(value):
            yield name, value


@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_documented_by_a_sentence(name):
    module = importlib.import_module(name)
    for label, value in [("the module", module), *public_definitions(module)]:
        # A method may take over the text of the method it overrides.
        assert inspect.getdoc(value), f"{label} has no docstring"
        if value.__doc__:
            first = value.__doc__.strip().split("\n\n")[0]
            assert first.endswith((".", ":")), f"{label}: {first!r} is no sentence"


def test_every_public_class_and_function_is_exported_with_a_docstring():
    for name in keras_vqvae2.__all__:
        value = getattr(keras_vqvae2, name)
        assert value.__doc__, name
    assert sorted(set(keras_vqvae2.__all__)) == sorted(keras_vqvae2.__all__)
