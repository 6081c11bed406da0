"""Who may import what: the layers of the package, and the frameworks it names."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import keras_vqvae2
from keras_vqvae2.registration import BENEATH

PACKAGE = Path(keras_vqvae2.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# The way of the data, left to right: an import only ever points left, or to its own part.
ORDER = [
    {"ops", "checks", "drawing", "files", "registration"},
    {"distribution"},
    {"losses", "metrics"},
    {"layers"},
    {"sampling"},
    {"training"},
    {"models"},
    {"datasets", "evaluation"},
    {"callbacks", "export", "page", "tuning"},
    {"cli"},
]
# The modules of the program in the same way; those of one place do not know each other.
PROGRAM = [
    {"run_folder", "config_parts", "run_lock", "interruption", "memory"},
    {"config", "progress", "tables", "report_page"},
    {"run", "flags", "fitting"},
    {"run_models", "pictures"},
    {"train_vqvae", "extract_codes", "train_prior", "tune", "generate", "reconstruct", "complete"}
    | {"evaluate", "serve_command", "info", "play"},
    {"demo", "export"},
    {"app"},
    {"__init__"},
]
# Models export themselves, by a method that users call; TensorFlow is needed in it alone.
BACK = {"models/vqvae2.py": "export_vqvae", "models/image_generator.py": "export_generator"}
# The places that name TensorFlow.
TENSORFLOW = (
    "distribution/",
    "training/tensorflow.py",
    "sampling/compiled.py",
    "export/",
    "datasets/",
    "callbacks.py",
)
JAX = ("training/jax.py", "sampling/compiled.py", "distribution/processes.py")
TORCH = ("training/torch.py", "sampling/compiled.py", "distribution/")


def imports(path):
    """The modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            if node.module == "keras_vqvae2":
                yield from (f"keras_vqvae2.{alias.name}" for alias in node.names)
            else:
                yield node.module


def place(module):
    """The place in the order of the part of the package that a module belongs to."""
    name = module.split(".")[1]
    (place,) = (index for index, names in enumerate(ORDER) if name in names)
    return place


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_point_left(path):
    relative = path.relative_to(PACKAGE)
    if relative.name == "__init__.py" and len(relative.parts) == 1:
        return  # the front door
    own = f"keras_vqvae2.{relative.with_suffix('').parts[0]}"
    for module in imports(path):
        if module == "keras_vqvae2.export.formats" and relative.as_posix() in BACK:
            line = f"        from {module} import {BACK[relative.as_posix()]}"
            assert line in path.read_text().splitlines(), "inside a method"
        elif module.startswith("keras_vqvae2."):
            assert place(module) <= place(own), f"{relative} imports {module}"


def test_all_that_is_beneath_the_models_and_imports_keras_is_known():
    """As `registration.BENEATH`, or a first import of it would import itself half-way."""
    trees = {
        "keras_vqvae2." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in FILES
    }
    trees = {name.removesuffix(".__init__"): path for name, path in trees.items()}
    waiting, beneath = ["keras_vqvae2.models"], set()
    while waiting:
        module = waiting.pop()
        if module in trees and module not in beneath:
            beneath.add(module)
            # One import points back, inside a method.
            waiting += set(imports(trees[module])) - {"keras_vqvae2.export.formats"}
            waiting += [name for name in trees if name == module.rpartition(".")[0]]
    needing = {module for module in beneath if "keras" in set(imports(trees[module]))}
    parts = {module.removeprefix("keras_vqvae2.") for module in needing}
    assert len(parts) > 20
    for part in parts - {"models"}:
        folders = {part, part.split(".")[0]}
        assert folders & (BENEATH | {"models"}), part


def test_imports_within_the_program_only_point_left():
    rank = {name: index for index, names in enumerate(PROGRAM) for name in names}
    files = [path for path in FILES if path.parent.name == "cli"]
    assert {path.stem for path in files} == rank.keys()
    for path in files:
        for module in imports(path):
            if module == "keras_vqvae2.cli":  # `from keras_vqvae2.cli import` modules
                assert path.stem == "app"
            elif module.startswith("keras_vqvae2.cli."):
                assert rank[module.split(".")[2]] < rank[path.stem], f"{path.name}: {module}"


def test_the_library_does_not_know_the_program():
    for path in FILES:
        if path.parent.name != "cli":
            assert not any(module.startswith("keras_vqvae2.cli") for module in imports(path)), path


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_frameworks_are_named_in_few_places(path):
    relative = path.relative_to(PACKAGE).as_posix()
    roots = {module.split(".")[0] for module in imports(path)}
    if not relative.startswith(TENSORFLOW):
        assert "tensorflow" not in roots
    if relative not in JAX:
        assert "jax" not in roots
    if not relative.startswith(TORCH):
        assert "torch" not in roots
    if not relative.startswith("tuning/"):
        assert "keras_tuner" not in roots
    if relative != "page/layout.py":
        assert "gradio" not in roots
    if not relative.startswith("datasets/tfds"):
        assert "tensorflow_datasets" not in roots
    if relative.startswith(("layers/", "models/")):
        known = {"keras", "keras_vqvae2", "numpy", *sys.stdlib_module_names}
        assert roots <= known, f"{relative} imports {roots - known}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_pickled(path):
    roots = {module.split(".")[0] for module in imports(path)}
    assert not roots & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    text = path.read_text()
    assert "allow_pickle=True" not in text
    assert "safe_mode" not in text, "Keras's default refuses code in a file"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_models_are_loaded_where_their_files_are_looked_at(path):
    calls = [
        node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
    ]
    loads = [ast.unparse(call) for call in calls if ast.unparse(call).endswith("saving.load_model")]
    assert bool(loads) == (path.name == "model_files.py")


def test_no_two_modules_share_a_stem():
    stems = [path.stem for path in FILES if path.name != "__init__.py"]
    assert sorted(set(stems)) == sorted(stems)


def test_few_files_stand_at_the_top():
    assert len(list(PACKAGE.glob("*.py"))) <= 9


REFUSE = """
import sys
from importlib.machinery import ModuleSpec


class Refuse:
    def find_spec(self, name, path=None, target=None):
        # PyTorch asks of some modules whether they could be imported.
        return ModuleSpec(name, self) if name.split(".")[0] in sys.argv[1:] else None

    def create_module(self, spec):
        raise ImportError(f"{spec.name} is refused")

    def exec_module(self, module):
        pass


sys.meta_path.insert(0, Refuse())
"""

TRAIN_AND_SAMPLE = """
import numpy as np
import keras_vqvae2 as kv

images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), dtype="uint8")
vqvae = kv.VQVAE2((8, 8, 1), filters=4, num_residual_blocks=0, num_levels=1, num_embeddings=4)
vqvae.compile("adam")
vqvae.fit(images, verbose=0)
prior = kv.HierarchicalPrior.from_vqvae(vqvae, filters=4, num_blocks=1)
prior.compile("adam")
prior.fit(vqvae.encode(images), verbose=0)
model = kv.ImageGenerator(vqvae, prior)
assert model.generate(4, seed=0).shape == (4, 8, 8, 1)
"""


def test_a_backend_needs_no_other_and_no_optional_package():
    backend = keras.backend.backend()
    refused = {"tensorflow", "jax", "torch", "keras_tuner", "tensorflow_datasets"} - {backend}
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-c", REFUSE + TRAIN_AND_SAMPLE, *refused]
    subprocess.run(command, check=True, timeout=300, env=environment)
