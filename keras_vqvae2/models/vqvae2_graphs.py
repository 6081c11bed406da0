"""The functional graphs of a VQ-VAE-2, put together of the layers of its levels."""

import keras

from keras_vqvae2.layers import DiscretizedLogistic
from keras_vqvae2.ops import pixels_to_signal


def encoder_graph(levels, image_shape):
    """Return the functional model of images to features.

    Args:
        levels: `LevelStack`.
        image_shape: `(H, W, C)`.

    Returns:
        `keras.Model` of images `[B, H, W, C]`, pixels in [0, 255], to the features of each level,
        coarse to fine.
    """
    images = keras.Input(image_shape, name="images")
    signal = keras.layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="signal")(images)
    return keras.Model(images, levels.features(signal), name="encoder")


def decoder_graph(levels, encoder):
    """Return the functional model of quantized vectors to the signal.

    Args:
        levels: `LevelStack`.
        encoder: of `encoder_graph`.

    Returns:
        `keras.Model` of each level's vectors `[B, H_l, W_l, D_l]`, coarse to fine, to the signal
        `[B, H, W, C]`.
    """
    maps = [keras.Input(x.shape[1:]) for x in as_list(encoder.output)]
    signal = levels.decoders[-1](levels.down(lambda level, _: maps[level]))
    return keras.Model(maps, signal, name="decoder")


def training_outputs(levels, encoder, images, reconstruction_loss):
    """Return all that training needs of a batch of images.

    Args:
        levels: `LevelStack`.
        encoder: of `encoder_graph`.
        images: Keras tensor `[B, H, W, C]`, pixels in [0, 255].
        reconstruction_loss: of `VQVAE2`.

    Returns:
        Dictionary of Keras tensors: `"reconstruction"` pixels, `"signal"`, of each level `"codes"`
        and `"commitment_losses"`, and with the discretized logistic `"pixel_nats"`.
    """
    features, quantized = as_list(encoder(images)), []

    def quantize(level, coarser):
        quantized.append(levels.quantizers[level](levels.residual(features, level, coarser)))
        return quantized[level]["quantized"]

    signal = levels.decoders[-1](levels.down(quantize))
    pixels = keras.layers.Rescaling(127.5, offset=127.5, dtype="float32", name="pixels")(signal)
    outputs = {
        "reconstruction": keras.layers.ReLU(255.0, dtype="float32", name="clip")(pixels),
        "signal": signal,
        "codes": [level["codes"] for level in quantized],
        "commitment_losses": [level["commitment_loss"] for level in quantized],
    }
    if reconstruction_loss == "discretized_logistic":
        likelihood = DiscretizedLogistic(name="pixel_likelihood")
        outputs["pixel_nats"] = likelihood(pixels_to_signal(images), signal)
    return outputs


def as_list(outputs):
    """Return the outputs of a functional model as a list; Keras unpacks a list of one."""
    return list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
