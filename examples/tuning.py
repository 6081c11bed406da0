"""A search over both stages on the embedded emoji. Options: trials, epochs, training images."""

import sys

import keras_vqvae2 as kv

given = [int(value) for value in sys.argv[1:]]
trials, epochs, limit = [*given, *[8, 6, 3500][len(given) :]]
images = kv.datasets.load("emoji32", "train").images[:limit]
validation = kv.datasets.load("emoji32", "validation").images[:limit]


def best_of(hypermodel, folder, data, validation_data, space=None):
    """Search, print the trials, return the best model as it was in its best epoch."""
    tuner = kv.tuning.make_tuner(hypermodel, folder, trials=trials, space=space, seed=0)
    tuner.search(data, validation_data=validation_data, epochs=epochs, verbose=0)
    for trial in kv.tuning.read_trials(folder):
        print(trial.status, trial.score or trial.reason, trial.parameters, trial.values)
    return tuner.get_best_models()[0]


hypermodel = kv.tuning.HyperVQVAE2(images.shape[1:], max_parameters=2_000_000, seed=0)
small = {"filters": [32, 64], "num_embeddings": [64, 128]}  # the rest of the space stays
vqvae = best_of(hypermodel, "search/vqvae2", images, validation, small)

codes, validation_codes = vqvae.encode(images), vqvae.encode(validation)
hypermodel = kv.tuning.HyperHierarchicalPrior(vqvae.code_shapes, vqvae.num_embeddings, seed=0)
priors = best_of(hypermodel, "search/prior", codes, (validation_codes,))

kv.ImageGenerator(vqvae, priors).save("emoji32_tuned.keras")
