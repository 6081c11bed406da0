"""Training: one train step a backend behind one switch, and the checks before `fit`."""

import keras

from keras_vqvae2.training.fit import CheckedFit

if keras.backend.backend() == "tensorflow":
    from keras_vqvae2.training.tensorflow import TrainStep
elif keras.backend.backend() == "jax":
    from keras_vqvae2.training.jax import TrainStep
elif keras.backend.backend() == "torch":
    from keras_vqvae2.training.torch import TrainStep
else:
    raise ImportError(
        "keras_vqvae2 runs on the TensorFlow, the JAX and the PyTorch backend. "
        f"Received: backend={keras.backend.backend()!r}; set KERAS_BACKEND before importing Keras."
    )

__all__ = ["CheckedFit", "TrainStep"]
