"""A codebook learned by exponential moving averages."""

import keras
import numpy as np
from keras import ops

from keras_vqvae2 import checks
from keras_vqvae2.distribution.replicas import GlobalRows, all_reduce_sum
from keras_vqvae2.ops import (
    code_statistics,
    kmeans,
    nearest_code,
    rotation_trick,
    smoothed_counts,
    squared_distances,
    straight_through,
    unit_vectors,
)

METRICS = ("euclidean", "cosine")
# Batches after which the averages may keep half of what they hold.
MATURING = 49.0
GRADIENTS = {"straight_through": straight_through, "rotation": rotation_trick}


@keras.saving.register_keras_serializable("keras_vqvae2")
class VectorQuantizer(keras.layers.Layer):
    """Replaces each vector by the nearest of `K` codes, which follow the vectors they stand for.

    The codebook receives no gradient. With `training=True` (and `trainable`) each call moves it by
    an exponential moving average of how often a code was chosen and of the vectors that chose it:

    ```
    counts = decay * counts + (1 - decay) * n          # n_i vectors chose code i
    sums   = decay * sums   + (1 - decay) * s          # s_i is their sum
    codebook = sums / smoothed(counts)                 # Laplace smoothing, on reading only
    ```

    The averages are young at first and forget faster: after `t` batches `decay` is at most
    `t / (t + 49)`, so that codes follow an encoder that moves fast, and those that nothing chooses
    start again after a few steps rather than hundreds.

    The encoder learns through the straight-through estimator, or the rotation trick, and through
    the commitment loss `commitment_cost * mean((x - sg[e])^2)`, which means the same in training
    and in evaluation.

    The first training batch starts the codebook: vectors of the batch, improved by k-means. A code
    whose count falls below `restart_threshold` times the fair share `sum(counts) / K` is dead; it
    starts again at a random vector of the batch, its count and its sum with it.

    Replicas of `tf.distribute` share one batch: statistics, k-means and restarts are those of all
    of them, so that the codebook is the same on every replica, and on one device.

    All of this is computed in float32 whatever the dtype policy; `quantized` has the policy's
    compute dtype.

    Args:
        num_embeddings: `K`, the number of codes.
        embedding_dim: `D`, the dimension of a code.
        decay: of the moving averages, in [0, 1).
        epsilon: of the Laplace smoothing, positive.
        commitment_cost: weight of the commitment loss, at least 0.
        kmeans_iterations: rounds of k-means on the first training batch; 0 keeps the codebook of
            `embeddings_initializer`, and the averages start from one vector a code.
        restart_threshold: share of the fair count below which a code starts again, in [0, 1);
            0 turns restarts off.
        metric: "euclidean", or "cosine" for the code at the smallest angle: vectors and codes are
            then scaled to length 1, and `quantized` is.
        gradient: "straight_through" or "rotation", how the encoder learns from the decoder; see
            `ops.straight_through` and `ops.rotation_trick`.
        embeddings_initializer: of the codebook before any training.
        seed: integer, of the vectors chosen for initialization and restarts.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: float tensor `[B, ..., D]`.
        training: whether the codebook follows this batch.

    Returns:
        A dictionary: `"quantized"` `[B, ..., D]`, `"codes"` int32 `[B, ...]` and
        `"commitment_loss"` float32 `[B]`, already weighted.

    Raises:
        ValueError: if an argument is out of its range, or the last axis of the input is not `D`.

    Reference:
        van den Oord et al. 2017, "Neural Discrete Representation Learning", section 3.2 and
        appendix A.1; restarts after Dhariwal et al. 2020, "Jukebox", section 3.1; unit vectors
        after Yu et al. 2021, "Vector-quantized Image Modeling with Improved VQGAN", section 3.2.

    Example:

    >>> quantizer = VectorQuantizer(num_embeddings=16, embedding_dim=4)
    >>> out = quantizer(keras.random.normal((2, 8, 8, 4), seed=0), training=True)
    >>> tuple(out["quantized"].shape), tuple(out["codes"].shape)
    ((2, 8, 8, 4), (2, 8, 8))
    """

    def __init__(
        self,
        num_embeddings=512,
        embedding_dim=64,
        decay=0.99,
        epsilon=1e-5,
        commitment_cost=0.25,
        kmeans_iterations=10,
        restart_threshold=0.03,
        metric="euclidean",
        gradient="straight_through",
        embeddings_initializer="uniform",
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_embeddings = checks.positive_int("num_embeddings", num_embeddings)
        self.embedding_dim = checks.positive_int("embedding_dim", embedding_dim)
        self.decay = checks.fraction("decay", decay)
        self.epsilon = checks.number("epsilon", epsilon, "be positive", lambda x: x > 0)
        self.commitment_cost = checks.number(
            "commitment_cost", commitment_cost, "be at least 0", lambda x: x >= 0
        )
        self.kmeans_iterations = checks.non_negative_int("kmeans_iterations", kmeans_iterations)
        self.restart_threshold = checks.fraction("restart_threshold", restart_threshold)
        self.metric = checks.one_of("metric", metric, METRICS)
        self.gradient = checks.one_of("gradient", gradient, GRADIENTS)
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self._replaced, self._neighbours = 0.0, None

    def build(self, input_shape):
        if input_shape[-1] != self.embedding_dim:
            raise ValueError(
                "The last axis of the input must be `embedding_dim`. "
                f"Received: input_shape={tuple(input_shape)}, embedding_dim={self.embedding_dim}"
            )
        # Replicas hold equal statistics, so their mean is the value of each.
        state = {"trainable": False, "autocast": False, "dtype": "float32", "aggregation": "mean"}
        self.counts = self.add_weight(
            shape=(self.num_embeddings,), initializer="ones", name="counts", **state
        )
        self.sums = self.add_weight(
            shape=(self.num_embeddings, self.embedding_dim),
            initializer=self.embeddings_initializer,
            name="sums",
            **state,
        )
        # The most that the averages may keep: t / (t + 49) after t batches, 0 before the first, and
        # 1 where they start from the initializer.
        self.maturity = self.add_weight(
            shape=(),
            initializer="zeros" if self.kmeans_iterations else "ones",
            name="maturity",
            **state,
        )

    @property
    def codebook(self):
        """The codes, a float32 tensor `[K, D]`: `sums / smoothed(counts)`, or of length 1."""
        sums = ops.convert_to_tensor(self.sums)
        if self.metric == "cosine":
            return unit_vectors(sums)
        return sums / smoothed_counts(self.counts, self.epsilon)[:, None]

    def encode(self, inputs):
        """Return the index of the code nearest to each vector.

        Args:
            inputs: float tensor `[B, ..., D]`.

        Returns:
            int32 tensor `[B, ...]`.
        """
        vectors = ops.reshape(self._vectors(inputs), (-1, self.embedding_dim))
        return ops.reshape(nearest_code(vectors, self.codebook), ops.shape(inputs)[:-1])

    def embed_codes(self, codes):
        """Return the vector of each code.

        Args:
            codes: int tensor `[B, ...]`, values in `[0, K)`.

        Returns:
            float tensor `[B, ..., D]` in the compute dtype.
        """
        return ops.cast(ops.take(self.codebook, codes, axis=0), self.compute_dtype)

    def replace_codes(self, share, neighbours=8):
        """In training with a fixed codebook, let near neighbours stand for some of the codes.

        What is decoded then learns to forgive a code that is nearly right. `codes` and the loss
        stay those of the input. It holds for what is compiled from now on.

        Args:
            share: of the vectors to be replaced, in [0, 1); 0 for none.
            neighbours: how many of the nearest codes one is drawn from; of a smaller codebook all.

        Raises:
            ValueError: if an argument is out of its range.
        """
        share = checks.fraction("share", share)
        neighbours = checks.positive_int("neighbours", neighbours)
        self._replaced = share if self.num_embeddings > 1 else 0.0
        if self._replaced:
            distances = np.array(squared_distances(self.codebook, self.codebook))
            np.fill_diagonal(distances, np.inf)
            nearest = np.argsort(distances, axis=-1, kind="stable")[:, :-1]  # but itself
            self._neighbours = nearest[:, :neighbours].astype("int32")

    def _stand_ins(self, codes):
        """Codes `[N]`, some of them replaced."""
        count = self._neighbours.shape[1]
        shape, seed = ops.shape(codes), self.seed_generator
        choice = keras.random.randint(shape, 0, count, seed=seed)
        near = ops.take(self._neighbours.ravel(), codes * count + choice)
        return ops.where(keras.random.uniform(shape, seed=seed) < self._replaced, near, codes)

    def call(self, inputs, training=False):
        shape = ops.shape(inputs)
        float_inputs = self._vectors(inputs)
        vectors = ops.stop_gradient(ops.reshape(float_inputs, (-1, self.embedding_dim)))
        update = training and self.trainable
        batch = GlobalRows(vectors) if update else None
        codebook = self._start(batch) if update else self.codebook
        codes = nearest_code(vectors, codebook)
        quantized = ops.reshape(ops.take(codebook, codes, axis=0), shape)
        if update:
            self._follow(batch, vectors, codes)
        errors = ops.square(float_inputs - ops.stop_gradient(quantized))
        commitment = ops.mean(errors, axis=tuple(range(1, len(inputs.shape))))
        if training and not update and self._replaced:
            stand_ins = ops.take(codebook, self._stand_ins(codes), axis=0)
            quantized = ops.reshape(stand_ins, shape)
        quantized = GRADIENTS[self.gradient](float_inputs, quantized)
        return {
            "quantized": ops.cast(quantized, self.compute_dtype),
            "codes": ops.reshape(codes, shape[:-1]),
            "commitment_loss": self.commitment_cost * commitment,
        }

    def _vectors(self, inputs):
        """What is compared with the codes, in float32."""
        inputs = ops.cast(inputs, "float32")
        return unit_vectors(inputs) if self.metric == "cosine" else inputs

    def _random_vectors(self, batch):
        """One vector of the batch for each code, all different where the batch is large enough."""
        order = ops.argsort(keras.random.uniform((batch.count,), seed=self.seed_generator))
        return batch.take(ops.take(order, ops.arange(self.num_embeddings) % batch.count))

    def _start(self, batch):
        """The codebook, or k-means of this batch while there is none."""
        start = self._random_vectors(batch)
        started = self.maturity > 0
        vectors = batch.gather(ops.logical_not(started))
        return ops.cond(
            started,
            lambda: self.codebook,
            lambda: self._vectors(kmeans(vectors, start, self.kmeans_iterations)),
        )

    def _follow(self, batch, vectors, codes):
        """Move the averages towards this batch and start dead codes again."""
        # Nothing of the first codebook is kept: the first batch enters with all its weight.
        decay = ops.minimum(self.decay, self.maturity)
        statistics = code_statistics(batch.own(vectors), batch.own(codes), self.num_embeddings)
        counts, sums = all_reduce_sum(statistics)
        counts = decay * self.counts + (1.0 - decay) * counts
        sums = decay * self.sums + (1.0 - decay) * sums
        if self.restart_threshold:
            fair_share = ops.mean(counts)
            dead = counts < self.restart_threshold * fair_share
            counts = ops.where(dead, fair_share, counts)
            fresh = fair_share * self._random_vectors(batch)
            sums = ops.where(dead[:, None], fresh, sums)
        self.counts.assign(counts)
        self.sums.assign(sums)
        # From t / (t + 49) to (t + 1) / (t + 50); 1 stays 1.
        grown = 1.0 + (MATURING - 1.0) * self.maturity
        self.maturity.assign(grown / (MATURING + 1.0 - self.maturity))

    def compute_output_spec(self, inputs, training=False):
        return {
            "quantized": keras.KerasTensor(inputs.shape, self.compute_dtype),
            "codes": keras.KerasTensor(inputs.shape[:-1], "int32"),
            "commitment_loss": keras.KerasTensor(inputs.shape[:1], "float32"),
        }

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_embeddings": self.num_embeddings,
            "embedding_dim": self.embedding_dim,
            "decay": self.decay,
            "epsilon": self.epsilon,
            "commitment_cost": self.commitment_cost,
            "kmeans_iterations": self.kmeans_iterations,
            "restart_threshold": self.restart_threshold,
            "metric": self.metric,
            "gradient": self.gradient,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
            "seed": self.seed,
        }
