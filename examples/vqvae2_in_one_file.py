"""VQ-VAE-2 and its PixelCNN prior in one file of plain Keras: images to codes to new images.

Read it from top to bottom; run it, and it draws what it learned. Only the emoji are the library's,
whose models compute the same, and more.

Shape letters: `B` images; `H W` a grid; `C` channels; `D` the dimension of a code's vector; `K`
codes in a codebook; `N` vectors, those of all positions of a batch.

References: VQ-VAE, arXiv 1711.00937; gated PixelCNN, 1606.05328; VQ-VAE-2, 1906.00446.
"""

import argparse

import keras
import numpy as np
from keras import layers, ops


# Stage 1. An image becomes two grids of codes, 4x4 coarse and 8x8 fine, and an image again.
class VectorQuantizer(layers.Layer):
    """Replaces each vector by the nearest of `K` codes, which follow the vectors by averages."""

    def __init__(self, num_embeddings, embedding_dim, decay=0.99, commitment_cost=0.25, **kwargs):
        super().__init__(**kwargs)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.decay, self.commitment_cost = decay, commitment_cost
        self.epsilon = 1e-5  # of the Laplace smoothing
        self.restart_threshold = 0.03  # A code below this share of the mean count starts again.
        self.seed_generator = keras.random.SeedGenerator(0)

    def build(self, input_shape):
        shape = (self.num_embeddings, self.embedding_dim)
        # Counts of next to nothing: the codes that the first batch does not choose are dead after
        # it, and start at vectors of it. No gradient moves these weights.
        few = keras.initializers.Constant(1e-3)
        self.counts = self.add_weight(shape[:1], initializer=few, trainable=False)  # [K]
        self.sums = self.add_weight(shape, initializer="zeros", trainable=False)  # [K, D]

    @property
    def codebook(self):
        """The vectors of the codes, `e_i = m_i / N_i`."""
        # Counts are smoothed as they are read: no division by zero, and their total stays.
        n = ops.sum(self.counts)
        smooth = (self.counts + self.epsilon) / (n + self.num_embeddings * self.epsilon) * n
        return self.sums / smooth[:, None]  # [K, D]

    def call(self, inputs, training=False):
        codebook = self.codebook
        z = ops.reshape(inputs, (-1, self.embedding_dim))  # [B, H, W, D] -> [N, D]
        # |z - e|^2 without |z|^2, which is the same for all codes.
        distances = ops.sum(codebook**2, axis=1) - 2.0 * ops.matmul(z, ops.transpose(codebook))
        codes = ops.argmin(distances, axis=1)  # [N, K] -> [N]
        e = ops.stop_gradient(ops.reshape(ops.take(codebook, codes, axis=0), ops.shape(inputs)))
        if training:
            self.follow(ops.stop_gradient(z), codes)
        # The codes follow the encoder; this keeps the encoder near them.
        commitment = ops.mean((inputs - e) ** 2, axis=(1, 2, 3))  # [B]
        return {
            # Straight through: forward e, backward the identity, as if nothing had been rounded.
            "quantized": inputs + ops.stop_gradient(e - inputs),  # [B, H, W, D]
            "codes": ops.reshape(codes, ops.shape(inputs)[:-1]),  # [N] -> [B, H, W]
            "commitment_loss": self.commitment_cost * commitment,
        }

    def follow(self, z, codes):
        """Move the averages towards a batch: VQ-VAE, appendix A.1."""
        n = ops.segment_sum(ops.ones_like(z[:, 0]), codes, self.num_embeddings)  # [K]
        s = ops.segment_sum(z, codes, self.num_embeddings)  # [K, D]
        # N_i <- N_i * gamma + n_i * (1 - gamma), where n_i vectors z_ij chose code i
        counts = self.counts * self.decay + n * (1.0 - self.decay)
        # m_i <- m_i * gamma + sum_j z_ij * (1 - gamma)
        sums = self.sums * self.decay + s * (1.0 - self.decay)
        # A code that nothing chooses would never move: it starts again at a vector of the batch.
        fair = ops.mean(counts)
        dead = counts < self.restart_threshold * fair
        rows = keras.random.randint(dead.shape, 0, ops.shape(z)[0], seed=self.seed_generator)
        self.counts.assign(ops.where(dead, fair, counts))
        self.sums.assign(ops.where(dead[:, None], fair * ops.take(z, rows, axis=0), sums))


class ResidualBlock(layers.Layer):
    """`x + conv1x1(relu(conv3x3(relu(x))))`."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.conv = layers.Conv2D(filters // 2, 3, padding="same", activation="relu")
        self.expand = layers.Dense(filters)  # On a grid, a dense layer is a 1x1 convolution.

    def call(self, inputs):
        return inputs + self.expand(self.conv(ops.relu(inputs)))


def encoder(filters, halvings):
    """Strided convolutions that halve the grid, then residual blocks."""
    steps = [layers.Conv2D(filters // 2, 4, 2, "same", activation="relu") for _ in range(halvings)]
    steps += [layers.Conv2D(filters, 3, padding="same"), ResidualBlock(filters)]
    return keras.Sequential([*steps, ResidualBlock(filters), layers.ReLU()])


def decoder(filters, doublings, channels):
    """Residual blocks, then transposed convolutions that double the grid."""
    steps = [layers.Conv2D(filters, 3, padding="same"), ResidualBlock(filters)]
    steps += [ResidualBlock(filters), layers.ReLU()]
    for _ in range(doublings - 1):
        steps += [layers.Conv2DTranspose(filters // 2, 4, 2, "same", activation="relu")]
    return keras.Sequential([*steps, layers.Conv2DTranspose(channels, 4, 2, "same")])


class VQVAE2(keras.Model):
    """Images `[B, 32, 32, 3]` of pixels in [0, 255] to codes 4x4 and 8x8, and back."""

    def __init__(self, filters=64, num_embeddings=128, embedding_dim=32):
        super().__init__()
        self.to_signal = layers.Rescaling(1 / 127.5, offset=-1.0)  # [0, 255] to [-1, 1]
        self.bottom_encoder, self.top_encoder = encoder(filters, 2), encoder(filters, 1)
        self.bottom_projection = layers.Dense(embedding_dim)
        self.top_projection = layers.Dense(embedding_dim)
        self.bottom_quantizer = VectorQuantizer(num_embeddings, embedding_dim)
        self.top_quantizer = VectorQuantizer(num_embeddings, embedding_dim)
        self.top_decoder = decoder(filters, 1, channels=filters // 2)
        self.bottom_decoder = decoder(filters, 2, channels=3)

    def call(self, images, training=False):
        features = self.bottom_encoder(self.to_signal(images))  # [B, 32, 32, 3] -> [B, 8, 8, C]
        bottom = self.bottom_quantizer(self.bottom_projection(features), training=training)
        features = self.top_encoder(features)  # [B, 4, 4, C]
        top = self.top_quantizer(self.top_projection(features), training=training)
        return {
            "signal": self.reconstruct(top["quantized"], bottom["quantized"]),
            "top_codes": top["codes"],
            "bottom_codes": bottom["codes"],
            "commitment_loss": top["commitment_loss"] + bottom["commitment_loss"],
        }

    def reconstruct(self, top, bottom):
        x = self.top_decoder(top)  # [B, 4, 4, D] -> [B, 8, 8, C/2]
        x = ops.concatenate([x, bottom], axis=-1)  # [B, 8, 8, C/2 + D]
        return self.bottom_decoder(x)  # [B, 32, 32, 3]

    def decode(self, top_codes, bottom_codes):
        top = ops.take(self.top_quantizer.codebook, top_codes, axis=0)  # [B, 4, 4, D]
        bottom = ops.take(self.bottom_quantizer.codebook, bottom_codes, axis=0)  # [B, 8, 8, D]
        return self.reconstruct(top, bottom)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        error = ops.mean((y_pred["signal"] - self.to_signal(x)) ** 2)
        return error + ops.mean(y_pred["commitment_loss"])


# Stage 2. A network for each grid learns which codes go together: p(top), p(bottom | top).
class MaskedConv2D(layers.Conv2D):
    """A convolution that sees what comes before a position in raster order; "B": and itself."""

    def __init__(self, filters, kernel_size, mask_type, **kwargs):
        super().__init__(filters, kernel_size, padding="same", **kwargs)
        taps = np.arange(kernel_size**2).reshape(kernel_size, kernel_size, 1, 1)
        centre = kernel_size**2 // 2
        self.mask = (taps <= centre if mask_type == "B" else taps < centre).astype("float32")

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel * self.mask)


def pixelcnn(
    code_shape, num_embeddings=128, filters=64, num_blocks=6, context_shape=None, num_classes=None
):
    """Build the network of `{"codes": [B, H, W], ...}` to the logits of each code, `[B, H, W, K]`.

    The logits at a position depend on the codes before it, on all of `"context"`, a coarser grid
    that divides this one, and on `"labels"`.
    """
    inputs = {"codes": keras.Input(code_shape, dtype="int32", name="codes")}
    conditions = []
    if context_shape is not None:
        inputs["context"] = keras.Input(context_shape, dtype="int32", name="context")
        c = layers.Embedding(num_embeddings, filters // 2)(inputs["context"])
        conditions.append(layers.UpSampling2D(code_shape[0] // context_shape[0])(c))
    if num_classes is not None:
        inputs["labels"] = keras.Input((), dtype="int32", name="labels")
        c = layers.Embedding(num_classes, filters // 2)(inputs["labels"])  # [B, C/2]
        conditions.append(layers.Reshape((1, 1, filters // 2))(c))  # the same at every position

    x = layers.Embedding(num_embeddings, filters // 2)(inputs["codes"])  # [B, H, W, C/2]
    x = MaskedConv2D(filters, 7, "A")(x)  # [B, H, W, C]; from here on "B" sees no later code
    for _ in range(num_blocks):
        h = layers.Dense(filters // 2)(x)  # 1x1, [B, H, W, C/2]
        h = MaskedConv2D(filters, 3, "B")(h)  # [B, H, W, 2 * C/2]
        if conditions:
            h = h + layers.Dense(filters, use_bias=False)(sum(conditions[1:], conditions[0]))
        f, g = ops.split(h, 2, axis=-1)
        x = x + layers.Dense(filters)(ops.tanh(f) * ops.sigmoid(g))  # 1x1, [B, H, W, C]
    x = layers.Dense(filters, activation="relu")(layers.ReLU()(x))
    return keras.Model(inputs, layers.Dense(num_embeddings)(x))  # [B, H, W, K]


# Stage 3. Codes are drawn one after another, the coarse grid first, and decoded.
def sample(prior, num_samples, rng, **conditions):
    """Draw grids of codes, one position after another, a whole forward pass for each."""
    codes = np.zeros((num_samples, *prior.output_shape[1:3]), "int32")  # [B, H, W]
    for row, column in np.ndindex(codes.shape[1:]):
        # Compiled once, since all calls have the same shapes. What is not drawn yet is not seen.
        logits = prior.predict_on_batch({"codes": codes, **conditions})[:, row, column]  # [B, K]
        # Gumbel's trick: the largest of logits with such noise is a draw from their softmax.
        codes[:, row, column] = np.argmax(logits + rng.gumbel(size=logits.shape), axis=-1)
    return codes


def main():
    """Train the three networks on emoji, and draw what they learned."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12, help="of each network")
    parser.add_argument("--limit", type=int, help="take so many images only")
    parser.add_argument("--out", default="vqvae2_in_one_file.png", help="picture to write")
    arguments = parser.parse_args()
    from keras_vqvae2 import datasets

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    data = datasets.load("emoji32")
    order = rng.permutation(len(data))[: arguments.limit]
    images, labels = data.images[order], data.labels[order]  # uint8 [N, 32, 32, 3], int32 [N]
    options = {"epochs": arguments.epochs, "batch_size": 32, "validation_split": 0.1, "verbose": 2}

    vqvae = VQVAE2()
    vqvae.compile("adam")
    vqvae.fit(images, **options)
    outputs = vqvae.predict(images, verbose=0)
    top, bottom = outputs["top_codes"], outputs["bottom_codes"]

    top_prior = pixelcnn((4, 4), num_classes=data.num_classes)
    bottom_prior = pixelcnn((8, 8), context_shape=(4, 4), num_classes=data.num_classes)
    nats = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    top_prior.compile("adam", nats)
    top_prior.fit({"codes": top, "labels": labels}, top, **options)
    bottom_prior.compile("adam", nats)
    bottom_prior.fit({"codes": bottom, "labels": labels, "context": top}, bottom, **options)

    labels = np.arange(64) % 16 % data.num_classes  # a category a column
    top = sample(top_prior, 64, rng, labels=labels)  # [64, 4, 4]
    bottom = sample(bottom_prior, 64, rng, labels=labels, context=top)  # [64, 8, 8]
    # From above: 16 images held out, what their codes keep of them, and 64 new ones.
    shown = [vqvae.to_signal(images[-16:]), outputs["signal"][-16:], vqvae.decode(top, bottom)]
    rows = np.concatenate(shown).reshape(6, 16, 32, 32, 3)
    picture = np.vstack([np.hstack(row) for row in rows])  # [6 * 32, 16 * 32, 3]
    keras.utils.save_img(arguments.out, np.clip((picture + 1) * 127.5, 0, 255), scale=False)
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
