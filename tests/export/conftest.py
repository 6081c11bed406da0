"""Exported graphs are run as a server runs them: through TensorFlow's graph optimizer."""

import keras
import pytest


@pytest.fixture(autouse=True, scope="module")
def graph_optimizer():
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
