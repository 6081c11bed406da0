"""Each model saved here, loaded and used in a process that knows nothing but the files."""

import os
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from tiny_models import randomize

from keras_vqvae2.cli.config import Config
from keras_vqvae2.cli.run_models import load_vqvae
from keras_vqvae2.models import HierarchicalPrior, ImageGenerator, PixelCNN

SCRIPT = """
import sys
import numpy as np
import keras
import keras_vqvae2

optional = {"keras_tuner", "tensorflow_datasets"} & set(sys.modules)
assert not optional, optional

folder = sys.argv[1]
data = dict(np.load(f"{folder}/data.npz"))
results = {}

vqvae = keras.saving.load_model(f"{folder}/vqvae.keras")
results["reconstruction"] = vqvae(data["images"])
prior = keras.saving.load_model(f"{folder}/prior.keras")
codes = {key: data[key] for key in ("codes_top", "codes_bottom")}
results["logits"] = prior({**codes, "labels": data["labels"]})["codes_bottom"]
pixelcnn = keras.saving.load_model(f"{folder}/pixelcnn.keras")
results["codes"] = pixelcnn.sample(16, context=data["context"], seed=5)
generator = keras.saving.load_model(f"{folder}/generator.keras")
results["generated"] = generator.generate(16, labels=1, seed=5)

for name, model in {"vqvae": vqvae, "prior": prior}.items():
    assert type(model).__module__.startswith("keras_vqvae2.models"), type(model)
    for index, variable in enumerate(model.optimizer.variables):
        results[f"{name}_optimizer_{index}"] = keras.ops.convert_to_numpy(variable)
np.savez(f"{folder}/results.npz", **results)
"""


# On JAX a model is saved, loaded, exported in `test_export`.
pytestmark = [pytest.mark.tensorflow_only, pytest.mark.long]


@pytest.fixture(scope="module")
def saved(trained, images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    prior = randomize(HierarchicalPrior.from_vqvae(trained, filters=8, num_blocks=1, num_classes=2))
    prior.compile(keras.optimizers.Adam(1e-3))
    codes, labels = trained.encode(images), np.arange(24) % 2
    prior.fit(codes, labels, batch_size=24, verbose=0)
    pixelcnn = randomize(
        PixelCNN((2, 3), 5, filters=8, num_blocks=1, kernel_size=(3, 5), context_shape=(1, 1))
    )
    context = np.random.default_rng(0).integers(0, 5, (16, 1, 1))
    models = {"vqvae": trained, "prior": prior, "pixelcnn": pixelcnn}
    models["generator"] = ImageGenerator(trained, prior)
    for name, model in models.items():
        model.save(folder / f"{name}.keras")
    data = {"images": images, "context": context, "labels": labels, **prior.inputs_of(codes)}
    np.savez(folder / "data.npz", **data)
    (folder / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend()}
    subprocess.run(
        [sys.executable, folder / "script.py", folder], check=True, timeout=300, env=environment
    )
    return models, data, np.load(folder / "results.npz")


def test_outputs_are_the_same(saved):
    models, data, results = saved
    np.testing.assert_array_equal(
        results["codes"], models["pixelcnn"].sample(16, context=data["context"], seed=5)
    )
    np.testing.assert_array_equal(
        results["generated"], models["generator"].generate(16, labels=1, seed=5)
    )
    # The same numbers, though a process may share out a sum among its threads in another way.
    np.testing.assert_allclose(
        results["reconstruction"], models["vqvae"](data["images"]), atol=1e-3
    )
    inputs = {key: data[key] for key in ("codes_top", "codes_bottom", "labels")}
    np.testing.assert_allclose(
        results["logits"], models["prior"](inputs)["codes_bottom"], atol=1e-5
    )


def test_the_state_of_the_optimizer_is_restored(saved):
    models, _, results = saved
    for name in ("vqvae", "prior"):
        variables = models[name].optimizer.variables
        assert f"{name}_optimizer_{len(variables)}" not in results
        for index, variable in enumerate(variables):
            np.testing.assert_array_equal(
                results[f"{name}_optimizer_{index}"], keras.ops.convert_to_numpy(variable)
            )
        assert any(np.any(results[f"{name}_optimizer_{i}"]) for i in range(2, len(variables)))


def test_a_file_with_code_in_it_is_refused(tmp_path):
    config = Config.create("tiny", run_dir=tmp_path)
    config.vqvae_dir.mkdir()
    ran = tmp_path / "ran"
    name = str(ran)
    layer = keras.layers.Lambda(lambda x: (open(name, "w").close(), x)[1], output_shape=(1,))
    keras.Sequential([keras.Input((1,)), layer]).save(config.vqvae_file)
    ran.unlink(missing_ok=True)
    with pytest.raises(ValueError, match="must consist of .* Received: .Lambda. of .keras.layers."):
        load_vqvae(config)
    assert not ran.exists()


def test_a_file_in_an_archive_cannot_leave_its_folder(trained, images, tmp_path):
    file = tmp_path / "inner" / "model.keras"
    file.parent.mkdir()
    trained.save(file)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("../evil.txt", "")
        archive.writestr("assets/../../evil.txt", "")
        archive.writestr(f"{tmp_path}/evil.txt", "")
    before = set(tmp_path.rglob("*"))
    try:
        loaded = keras.saving.load_model(file)
    except ValueError:
        pass  # refused as a whole
    else:
        np.testing.assert_array_equal(loaded.encode(images)[0], trained.encode(images)[0])
    assert set(tmp_path.rglob("*")) == before
