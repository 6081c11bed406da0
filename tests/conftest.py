"""What all tests share: the backend they run on, and the data that is not part of the project."""

import functools
import gc
import os
import runpy
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Most of the time on JAX goes into compiling tiny models, which then run for milliseconds.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
# And that, the same again in each process and each run.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import keras
import pytest

sys.path.insert(0, str(Path(__file__).parent))

# What the libraries hold is no garbage: to look through it again and again takes a tenth of all
# the time.
gc.collect()
gc.freeze()
gc.set_threshold(20_000, 20, 20)
# OpenVINO's converter then reports its use to nobody, which takes processes and seconds.
os.environ.setdefault("CI", "true")
if keras.backend.backend() == "torch":
    import torch

    # Tiny tensors: threads that wait for each other take longer than one that does it all.
    torch.set_num_threads(1)
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    # Tiny graphs run a few times: optimizing them takes longer than running them. Those that are
    # exported are optimized as a server does, see `export/conftest.py`.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    # A fifth of all tracing goes into keeping, for each node, the Python stack that made it.
    from tensorflow.python.util import tf_stack

    _STACK = tf_stack.extract_stack()
    tf_stack.extract_stack = lambda stacklevel=1: _STACK


def pytest_report_header():
    return f"keras {keras.__version__} on {keras.backend.backend()}"


# Files of more than a minute come first: at the end they would keep one worker, and the other idle.
LONGEST = (
    *("test_kills.py", "test_docs.py", "test_examples.py", "test_damage.py", "test_serving.py"),
    *("test_demo.py", "test_saved_model.py", "test_hierarchical_prior.py", "test_pixelcnn.py"),
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONGEST)
    if keras.backend.backend() == "tensorflow":
        return
    skip = pytest.mark.skip(reason="needs the TensorFlow backend")
    for item in items:
        if "tensorflow_only" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def seeded():
    """The same initial weights and restarts whichever tests ran before."""
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def without_gradients(request):
    """NumPy takes no PyTorch tensor with a gradient; our own training step turns them on."""
    compares = request.path.parent.name in ("layers", "models")
    if not compares or keras.backend.backend() != "torch":
        yield
        return
    import torch

    with torch.no_grad():
        yield


@pytest.fixture(scope="session")
def shared_data():
    """The folder with `fashion-mnist/`; tests that need it are skipped where it is missing."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("KERAS_VQVAE2_SHARED", beside))
    if not folder.is_dir():
        pytest.skip(f"no data at {folder}; name its folder by KERAS_VQVAE2_SHARED")
    return folder


@pytest.fixture(scope="session")
def class_model():
    """An `ImageGenerator` of nine classes with grids 2x1 and 4x2, and weights that tell images."""
    from tiny_models import randomize, tell_images_apart

    from keras_vqvae2 import VQVAE2, HierarchicalPrior, ImageGenerator

    vqvae = VQVAE2((16, 8, 3), filters=8, num_residual_blocks=0, embedding_dim=4, num_embeddings=7)
    tell_images_apart(vqvae)
    prior = HierarchicalPrior.from_vqvae(vqvae, filters=8, num_blocks=1, num_classes=9)
    return ImageGenerator(vqvae, randomize(prior, seed=2))


@pytest.fixture
def run_example(tmp_path, monkeypatch):
    """Runs a script in a folder of its own, with priors of one block and VQ-VAE-2s without.

    Most of the time of a tiny run goes into tracing the blocks.
    """
    from keras_vqvae2 import VQVAE2, HierarchicalPrior

    monkeypatch.chdir(tmp_path)
    from_vqvae = HierarchicalPrior.from_vqvae
    monkeypatch.setattr(
        HierarchicalPrior,
        "from_vqvae",
        lambda vqvae, **options: from_vqvae(vqvae, **{**options, "filters": 8, "num_blocks": 1}),
    )
    small = functools.partial(VQVAE2, num_residual_blocks=0)
    small.from_preset = VQVAE2.from_preset
    monkeypatch.setattr("keras_vqvae2.VQVAE2", small)

    examples = Path(__file__).parents[1] / "examples"

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        return runpy.run_path(str(examples / name), run_name="__main__")

    return run
