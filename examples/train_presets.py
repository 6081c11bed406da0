"""Train the presets: both stages, their scores, the embedded files and the SavedModels.

    python examples/train_presets.py emoji32
    python examples/train_presets.py fashion_mnist --data-dir fashion-mnist

Each goes on where an earlier call was stopped, in `runs/presets/NAME`. How long it takes, on what
machine, and what comes of it: docs/quality.md. `--tiny` runs all of it in minutes, for a test.
"""

import argparse
import json
import shutil
from pathlib import Path

import keras
import numpy as np

from keras_vqvae2 import ImageGenerator, drawing
from keras_vqvae2.cli.config import SIZES, Config
from keras_vqvae2.cli.evaluate import evaluate
from keras_vqvae2.cli.export import export
from keras_vqvae2.cli.extract_codes import extract_codes
from keras_vqvae2.cli.generate import generate
from keras_vqvae2.cli.pictures import frequent_classes
from keras_vqvae2.cli.reconstruct import reconstruct
from keras_vqvae2.cli.run_models import load_generator
from keras_vqvae2.cli.train_prior import train_prior
from keras_vqvae2.cli.train_vqvae import train_vqvae
from keras_vqvae2.evaluation import headline_scores

COMMON = {
    "wiring": "best",
    "conditional": True,
    "cosine_decay": True,
    "steady": 0.0,
    "filters": 96,
    "embedding_dim": 64,
    "num_embeddings": 512,
    "prior_two_stream": True,
    "prior_learning_rate": 1.5e-3,
    "patience": 20,
}
PRESETS = {
    "emoji32": {
        "batch_size": 64,
        "num_residual_blocks": 3,
        "residual_filters": 64,
        "vqvae_epochs": 50,
        "vqvae_learning_rate": 2e-3,
        "decoder_epochs": 8,
        "flip": True,
        "shift": 1,
        "code_noise": 6.0,
        "code_passes": 4,
        "prior_filters": 96,
        "prior_blocks": 8,
        "prior_epochs": 7,
        # The top codes are learned by heart sooner.
        "prior_dropout": (0.3, 0.2),
        # What convinces the eye: docs/quality.md.
        "top_p": 0.9,
        "guidance": 3.0,
    },
    "fashion_mnist": {
        "batch_size": 128,
        "residual_filters": 48,
        "prior_filters": 128,
        "prior_blocks": 6,
        "prior_precision": "mixed_bfloat16",
        "vqvae_epochs": 6,
        "decoder_epochs": 8,
        # Stronger noise costs reconstruction, weaker changes few codes: docs/quality.md.
        "code_noise": 6.0,
        "code_passes": 6,
        "prior_epochs": 6,
        "prior_dropout": 0.2,
        # As often recognised as real images, and then nearest to them: docs/quality.md.
        "top_p": None,
        "guidance": 1.2,
    },
}
# How `presets` describes them.
DESCRIBED = {
    "emoji32": {
        "description": "Emoji of four styles on white, by 34 kinds",
        "license": "Apache-2.0 AND CC-BY-4.0 AND MIT",
    },
    "fashion_mnist": {
        "description": "Clothes and shoes in grey, by ten classes, at 32 pixels",
        "license": "MIT",
    },
}
# What differs once stage 1 is trained.
LATER = {"emoji32": {"shift": 0}, "fashion_mnist": {}}
# What samples are compared with, and other real images, as many as samples are drawn.
SCORED = {
    "emoji32": ("validation", "test"),
    "fashion_mnist": ("test[:4000]", "test[4000:5000]"),
}
TINY = dict(SIZES["tiny"], vqvae_epochs=1, decoder_epochs=1, prior_epochs=1, code_passes=2)
TINY_SCORED = ("test[:400]", "test[400:500]")

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("name", choices=PRESETS)
parser.add_argument("--data-dir", type=Path, help="folder of Fashion-MNIST's files")
parser.add_argument("--runs", type=Path, default=Path("runs/presets"), help="folder of the runs")
parser.add_argument("--out", type=Path, default=Path(), help="folder of the repository")
parser.add_argument("--tiny", action="store_true", help="the smallest model, one epoch")
arguments = parser.parse_args()

name = arguments.name
options = {**COMMON, **PRESETS[name], **(TINY if arguments.tiny else {})}
config = Config.create(
    **options,
    run_dir=arguments.runs / name,
    dataset=name,
    data_dir=arguments.data_dir,
    tensorboard=False,
)
# What an earlier call has trained, or `continue_preset.py`, is taken as it is.
if not config.vqvae_file.exists():
    train_vqvae(config)
config = config.updated(LATER[name])
if not config.codes_dir.exists():
    # What has learned elsewhere is scored on one encoding of each image.
    once = {"code_passes": 1, "code_noise": 0.0} if config.prior_file.exists() else {}
    extract_codes(config.updated(once))
if not config.prior_file.exists():
    train_prior(config)
for stage in (reconstruct, generate):
    stage(config)
evaluate(config, True, *(TINY_SCORED if arguments.tiny else SCORED[name]))

# The file of `from_preset`, without the optimizers' state. Weights of half the precision pack to
# half the size, and reconstruct and cost what they did.
files = config.vqvae_file, config.prior_file
for file in files:
    model = keras.saving.load_model(file)
    for weight in model.weights:
        if weight.dtype == "float32":
            weight.assign(np.asarray(weight).astype("float16"))
    model.save(file)
models = [keras.saving.load_model(file, compile=False) for file in files]
generator = ImageGenerator(*models, load_generator(config).sampling)
folder = arguments.out / "keras_vqvae2" / "models" / "presets"
folder.mkdir(parents=True, exist_ok=True)
generator.save(folder / f"{name}.keras")
# What it is, for `presets`; the most frequent classes are those that pictures show.
index = folder / "presets.json"
described = json.loads(index.read_text()) if index.exists() else {}
described[name] = {
    **DESCRIBED[name],
    "dataset": name,
    "image_shape": list(generator.image_shape),
    "num_classes": generator.num_classes,
    "parameters": generator.count_params(),
    "frequent_classes": frequent_classes(config, generator).tolist(),
    "scores": headline_scores(json.loads(config.report_file.read_text())),
}
index.write_text(json.dumps(described, indent=1, ensure_ascii=False, sort_keys=True) + "\n")

# The pictures of the documents; of all kinds, where `generate` shows some.
images = arguments.out / "docs" / "images"
images.mkdir(parents=True, exist_ok=True)
pictures = ["reconstructions"]
if generator.num_classes > 10:  # else those of all kinds are as good
    pictures.append("samples")
for picture in pictures:
    shutil.copy(config.run_dir / f"{picture}.png", images / f"{name}_{picture}.png")
labels = np.repeat(np.arange(generator.num_classes), 8)
samples = generator.generate(len(labels), labels=labels, seed=0)
rows = drawing.named_rows(samples, generator.label_names)
drawing.save(images / f"{name}_all_kinds.png", rows)

# The SavedModel with its model card.
shutil.rmtree(config.saved_model_dir, ignore_errors=True)
export(config, name)
served = arguments.out / "savedmodels" / name
shutil.rmtree(served, ignore_errors=True)
shutil.copytree(config.saved_model_dir, served)
