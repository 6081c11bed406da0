"""Metrics over a whole epoch of any length: perplexity and usage of a codebook, means, bits."""

import math

import keras
from keras import ops

from keras_vqvae2 import checks
from keras_vqvae2.ops import entropy_bits

# A count is two int32 words, `words[0] * WORD + words[1]`: JAX has no int64 by default. The low
# words of 127 replicas can be added before one would overflow.
WORD = 2**24


class _CodeCounts(keras.metrics.Metric):
    """Counts how often each code occurs until `reset_state`.

    A perplexity averaged over batches misleads: a batch of 240 vectors cannot use more than 240
    codes. The counts of all batches are kept instead, and the result is computed from them. They
    are exact up to `2**55`; a float32 count would stop growing at `2**24`, an int32 one at `2**31`.
    """

    def __init__(self, num_embeddings, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.num_embeddings = checks.positive_int("num_embeddings", num_embeddings)
        self.words = self.add_variable(
            (2, num_embeddings), initializer="zeros", dtype="int32", name="words"
        )

    def update_state(self, codes, sample_weight=None):
        """Count codes.

        Args:
            codes: int tensor of any shape, values in `[0, num_embeddings)`.
            sample_weight: ignored; a code that occurred is used.
        """
        codes = ops.reshape(codes, (-1,))
        batch = ops.segment_sum(ops.ones_like(codes), codes, num_segments=self.num_embeddings)
        high, low = ops.unstack(ops.convert_to_tensor(self.words), 2)
        low = low + ops.cast(batch, "int32")
        self.words.assign(ops.stack([high + low // WORD, low % WORD]))

    def counts(self):
        """Return how often each code occurred, float32 `[K]`: rounded, but never to zero."""
        high, low = ops.unstack(ops.cast(self.words, "float32"), 2)
        return high * WORD + low

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
        return ops.power(2.0, entropy_bits(self.counts()))


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
        return ops.mean(ops.cast(self.counts() > 0, "float32"))


class EpochMean(keras.metrics.Metric):
    """Mean over an epoch of any length.

    Like `keras.metrics.Mean` it adds up values and weights, but as pairs of float32 numbers, the
    second of which holds what the first has rounded away. A single float32 sum of `10**8` examples
    in batches of 64 gives a mean that is wrong by a hundredth, and later stops growing.

    Args:
        name: name in the logs.
        dtype: of the result.

    Example:

    >>> metric = EpochMean()
    >>> metric.update_state([1.0, 3.0], sample_weight=[1.0, 3.0])
    >>> float(metric.result())
    2.5
    """

    def __init__(self, name="mean", dtype=None):
        super().__init__(name=name, dtype=dtype)
        # [sum, what it has rounded away] of [weighted values, weights].
        self.sums = self.add_variable((2, 2), initializer="zeros", dtype="float32", name="sums")

    def update_state(self, values, sample_weight=None):
        """Accumulate.

        Args:
            values: float tensor `[B]`, or a scalar.
            sample_weight: float tensor `[B]`, a scalar, or None.
        """
        values = ops.reshape(ops.cast(values, "float32"), (-1,))
        weights = ops.ones_like(values)
        if sample_weight is not None:
            weights = weights * ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        batch = ops.stack([ops.sum(values * weights), ops.sum(weights)])
        sums, rest = ops.unstack(ops.convert_to_tensor(self.sums), 2)
        self.sums.assign(ops.stack(_add_exactly(sums, rest, batch)))

    def result(self):
        """Return the mean as a float scalar; 0 before any value."""
        total, weight = ops.unstack(ops.sum(self.sums, axis=0), 2)
        return ops.divide_no_nan(total, weight)


class BitsPerDim(EpochMean):
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


def _add_exactly(sums, rest, summand):
    """Add to sums that carry what they have rounded away: Knuth's two-sum, then carried anew."""
    total = sums + summand
    part = total - sums
    rest = rest + ((sums - (total - part)) + (summand - part))
    carried = total + rest
    rest = rest - (carried - total)
    # What is not finite has no rest: infinity stays infinity and is not turned into NaN.
    finite = ops.isfinite(total)
    return ops.where(finite, carried, total), ops.where(finite, rest, 0.0)
