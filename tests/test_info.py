import math

import keras
import pytest

from keras_vqvae2.info import training_bytes
from keras_vqvae2.models import VQVAE2, PixelCNN


def test_memory_is_parameters_and_batch_times_layer_outputs():
    model = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.Conv2D(3, 1)])
    parameters, outputs = 2 * 3 + 3, 4 * 4 * 3
    assert training_bytes(model, batch_size=5) == 4 * (4 * parameters + 2 * 5 * outputs)


@pytest.mark.parametrize(
    "model",
    [
        VQVAE2((16, 16, 3), filters=8, embedding_dim=4, num_embeddings=8),
        PixelCNN((4, 4), num_embeddings=8, filters=8, num_blocks=2),
    ],
    ids=["vqvae2", "pixelcnn"],
)
def test_memory_grows_by_the_batch(model):
    one, two, three = (training_bytes(model, batch_size) for batch_size in (1, 2, 3))
    assert three - two == two - one > 0
    assert one > 16 * sum(math.prod(v.shape) for v in model.trainable_variables)
