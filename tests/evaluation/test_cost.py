import math

import keras
import pytest

from keras_vqvae2.evaluation.cost import forward_flops, training_bytes, training_flops
from keras_vqvae2.layers import MaskedConv2D
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


def test_what_is_computed_again_counts_once():
    def size(num_blocks, rematerialize):
        model = PixelCNN((4, 4), 8, 8, num_blocks, rematerialize=rematerialize)
        parameters = sum(math.prod(v.shape) for v in model.trainable_variables)
        return training_bytes(model, batch_size=5) - 4 * 4 * parameters

    # Of a block 4 numbers to half the channels, 8 gates and 8 of its output, at 16 positions.
    assert size(3, False) - size(2, False) == 4 * 2 * 5 * 16 * (4 + 8 + 8)
    assert size(3, True) - size(2, True) == 4 * 2 * 5 * 16 * 8
    assert size(1, True) == size(1, False)


def test_operations_are_two_for_each_number_of_a_kernel_at_each_position():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(3, 4, strides=2, padding="same"),
            layers.Conv2DTranspose(5, 4, strides=2, padding="same"),
            MaskedConv2D(6, 3, mask_type="A"),
            layers.Dense(7),
        ]
    )
    products = 16 * (16 * 2 * 3) + 16 * (16 * 3 * 5) + 64 * (4 * 5 * 6) + 64 * (6 * 7)
    assert forward_flops(model) == 2 * products
    assert training_flops(model, batch_size=4) == 3 * 4 * 2 * products


def test_a_codebook_is_searched_by_one_product():
    vqvae = VQVAE2((8, 8, 1), 4, 0, num_levels=1, embedding_dim=2, num_embeddings=16)
    coders = forward_flops(vqvae.encoder) + forward_flops(vqvae.decoder)
    assert forward_flops(vqvae) == coders + 2 * 4 * 3 * 16
