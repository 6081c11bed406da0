"""Metrics over a whole epoch: perplexity and usage of a codebook, bits a code."""

import math

import keras
from keras import ops

from keras_vqvae2.ops import entropy_bits


class _CodeCounts(keras.metrics.Metric):
    """Counts how often each code occurs until `reset_state`.

    A perplexity averaged over batches misleads: a batch of 240 vectors cannot use more than 240
    codes. The counts of all batches are kept instead, and the result is computed from them.
    """

    def __init__(self, num_embeddings, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.num_embeddings = num_embeddings
        # Integers: in float32 a count would stop growing at 2**24.
        self.counts = self.add_variable(
            (num_embeddings,), initializer="zeros", dtype="int32", name="counts"
        )

    def update_state(self, codes, sample_weight=None):
        """Count codes.

        Args:
            codes: int tensor of any shape, values in `[0, num_embeddings)`.
            sample_weight: ignored; a code that occurred is used.
        """
        codes = ops.reshape(codes, (-1,))
        batch = ops.segment_sum(ops.ones_like(codes), codes, num_segments=self.num_embeddings)
        self.counts.assign_add(ops.cast(batch, "int32"))

    def get_config(self):
        """Return the constructor's arguments."""
        return {"num_embeddings": self.num_embeddings, "name": self.name, "dtype": self.dtype}


class Perplexity(_CodeCounts):
    """Perplexity of the codes seen since the last reset: `2 ** entropy`, in `[1, K]`.

    Args:
        num_embeddings: `K`, the number of codes in the codebook.
        name: name in the logs.
        dtype: of the result.

    Example:

    >>> metric = Perplexity(num_embeddings=8)
    >>> metric.update_state([0, 1, 2, 3])
    >>> float(metric.result())
    4.0
    """

    def result(self):
        """Return the perplexity as a float scalar."""
        return ops.power(2.0, entropy_bits(self.counts))


class CodebookUsage(_CodeCounts):
    """Share of the codebook's codes seen since the last reset, in `[0, 1]`.

    Args:
        num_embeddings: `K`, the number of codes in the codebook.
        name: name in the logs.
        dtype: of the result.

    Example:

    >>> metric = CodebookUsage(num_embeddings=8)
    >>> metric.update_state([0, 1, 2, 3])
    >>> float(metric.result())
    0.5
    """

    def result(self):
        """Return the usage as a float scalar."""
        return ops.mean(ops.cast(self.counts > 0, "float32"))


class BitsPerDim(keras.metrics.Mean):
    """Mean negative log-likelihood in bits a dimension: a code, or an image dimension.

    Args:
        num_dimensions: how many dimensions one example has; codes of a grid, or `H*W*C`.
        name: name in the logs.
        dtype: of the result.

    Example: 16 codes of 512 equally likely values cost 9 bits each.

    >>> metric = BitsPerDim(num_dimensions=16)
    >>> metric.update_state([16 * math.log(512)])
    >>> round(float(metric.result()), 4)
    9.0
    """

    def __init__(self, num_dimensions, name="bits_per_dim", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.num_dimensions = num_dimensions

    def update_state(self, negative_log_likelihood, sample_weight=None):
        """Accumulate.

        Args:
            negative_log_likelihood: float tensor `[B]`, nats an example.
            sample_weight: float tensor `[B]` or None.
        """
        scale = 1.0 / (self.num_dimensions * math.log(2.0))
        nats = ops.cast(negative_log_likelihood, "float32")
        super().update_state(nats * scale, sample_weight)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "num_dimensions": self.num_dimensions}
