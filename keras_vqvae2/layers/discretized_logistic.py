"""The likelihood of 8-bit pixels around a predicted signal."""

import keras
from keras import ops

# Of a signal in [-1, 1]: a pixel of 256 is 2 / 255 wide.
HALF_PIXEL = 1.0 / 255.0


@keras.saving.register_keras_serializable("keras_vqvae2")
class DiscretizedLogistic(keras.layers.Layer):
    """Negative log-likelihood of images of 256 levels under a logistic distribution a pixel.

    ```
    P(x | m) = sigmoid((x + h - m) / s) - sigmoid((x - h - m) / s),    h half the step of a level
    ```

    The lowest level takes all that lies below it, the highest all above, so the probabilities of
    the 256 levels add up to 1. The mean `m` is what the decoder gives; the scale `s` is learned,
    one a channel. Together with the likelihood of the codes this bounds that of the image:
    `-log p(image) <= -log p(codes) - log P(image | codes)`.

    Call arguments:
        images: float32 tensor `[B, H, W, C]`, the signal in [-1, 1].
        means: float tensor of the same shape.

    Returns:
        float32 tensor `[B]`, nats, the sum over an image.

    Reference:
        Salimans et al. 2017, "PixelCNN++", section 2.1, with one component.

    Example:

    >>> images = keras.ops.zeros((2, 4, 4, 3))
    >>> tuple(DiscretizedLogistic()(images, images).shape)
    (2,)
    """

    def build(self, images_shape, means_shape=None):
        # A scale of 0.1 is 13 levels of 256: wide at first, so that gradients are tame.
        self.log_scale = self.add_weight(
            shape=(images_shape[-1],),
            initializer=keras.initializers.Constant(-2.3),
            dtype="float32",
            autocast=False,
            name="log_scale",
        )

    def call(self, images, means):
        images, means = ops.cast(images, "float32"), ops.cast(means, "float32")
        sharpness = ops.exp(-ops.convert_to_tensor(self.log_scale))
        upper = (images - means + HALF_PIXEL) * sharpness
        lower = (images - means - HALF_PIXEL) * sharpness
        below, above = ops.log_sigmoid(upper), ops.log_sigmoid(-lower)
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), without cancellation.
        between = below + above + ops.log(-ops.expm1(-2.0 * HALF_PIXEL * sharpness))
        lowest, highest = images < -1.0 + HALF_PIXEL, images > 1.0 - HALF_PIXEL
        log_probs = ops.where(lowest, below, ops.where(highest, above, between))
        return -ops.sum(log_probs, axis=(1, 2, 3))

    def compute_output_shape(self, images_shape, means_shape):
        return images_shape[:1]
