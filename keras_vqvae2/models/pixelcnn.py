"""The gated PixelCNN: a distribution over grids of codes."""

import keras
from keras import ops

from keras_vqvae2 import checks
from keras_vqvae2.losses import code_nll, smoothed_code_nll, weighted_mean
from keras_vqvae2.metrics import BitsPerDim
from keras_vqvae2.models.arguments import KeptArguments, dtype_policy
from keras_vqvae2.models.conditioner import build_conditioner
from keras_vqvae2.models.head import apply, build_head
from keras_vqvae2.models.presets import Presets
from keras_vqvae2.models.trunk import Trunk
from keras_vqvae2.sampling import (
    compile_function,
    doubled,
    draw_for,
    guided,
    raster_scan,
    request_noise,
    run_in_chunks,
    sample_request,
    without_class,
)
from keras_vqvae2.training import CheckedFit, TrainStep


@keras.saving.register_keras_serializable("keras_vqvae2")
class PixelCNN(KeptArguments, Presets, TrainStep, CheckedFit, keras.Model):
    """Autoregressive distribution over grids of codes, in raster order.

    A conditioner, a trunk of causal layers and a head of two 1x1 convolutions:

    ```
    codes            [H, W]        -> embedding [H, W, E] -> masked convolution A [H, W, C]
                                   -> gated blocks [H, W, C] -> ReLU, 1x1, ReLU, 1x1 [H, W, K]
    context, label   [H_c, W_c], 1 -> embeddings, upsampled, added [H, W, E] -> into every block
    ```

    The logits of a position depend on the codes before it alone. That is the wiring of the
    specification; two streams, attention and a conditioning stack change it for a better
    likelihood.

    It is trained with `fit` on dictionaries of inputs; logs: `loss` in nats a code and
    `bits_per_code`.

    Args:
        code_shape: the grid `(H, W)`.
        num_embeddings: `K`, the number of codes.
        filters: `C`, the channels of the blocks, even.
        num_blocks: how many gated residual blocks.
        kernel_size: of the blocks' masked convolutions, odd.
        embedding_dim: of the embedded codes, labels and context; None for half of `filters`.
        context_shape: the grid of the context, which divides `code_shape`; None for no context.
        context_num_embeddings: the number of codes of the context; None for `num_embeddings`.
        num_classes: the number of class labels; None for no labels.
        dropout: rate in every block while training, in [0, 1).
        two_stream: whether `TwoStreamGatedBlock` takes the place of `GatedResidualBlock`: no blind
            spot, about twice the weights.
        num_attention_blocks: how many `CausalAttention` layers stand among the blocks, evenly.
        num_heads: of each attention, a divisor of `filters`.
        num_conditioning_blocks: how many residual blocks the embedded context passes before it is
            upsampled, so that each position sees the context around it and not only the code that
            covers it; 0 for the embedded context itself.
        label_smoothing: share of the training target that is spread over all codes, in [0, 1).
        label_dropout: share of the labels that is left out while training, in [0, 1). The model
            then knows images without a class too, labels may be -1 or None, and `guidance` can make
            the class of samples clearer; 0.1 is a good value.
        rematerialize: whether a training step keeps of each block and attention its input alone and
            computes the rest again for the gradient: for a long prior a third to six tenths of the
            memory and a quarter more time. Results are the same. JAX gains nothing on a CPU.
        dtype: policy of the layers; None for the global one. Logits are float32 in any case.
        name: of the model.

    Call arguments:
        inputs: dictionary: `"codes"` int `[B, H, W]`; `"context"` int `[B, H_c, W_c]` and
            `"labels"` int `[B]` where the model was built with them.

    Returns:
        Logits, float32 tensor `[B, H, W, K]`.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders"; as a prior
        over codes: Razavi et al. 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2",
        section 3.2; attention after Chen et al. 2018, "PixelSNAIL".

    Example:

    >>> prior = PixelCNN(code_shape=(3, 4), num_embeddings=8, filters=16, num_blocks=2)
    >>> codes = prior.sample(5, seed=0)
    >>> codes.shape, prior.log_prob(codes).shape
    ((5, 3, 4), (5,))
    """

    def __init__(
        self,
        code_shape,
        num_embeddings=512,
        filters=256,
        num_blocks=16,
        kernel_size=3,
        embedding_dim=None,
        context_shape=None,
        context_num_embeddings=None,
        num_classes=None,
        dropout=0.0,
        two_stream=False,
        num_attention_blocks=0,
        num_heads=4,
        num_conditioning_blocks=0,
        label_smoothing=0.0,
        label_dropout=0.0,
        rematerialize=False,
        dtype=None,
        name=None,
    ):
        code_shape = checks.sizes("code_shape", code_shape, "HW")
        num_embeddings = checks.positive_int("num_embeddings", num_embeddings)
        filters = checks.even("filters", filters)
        embedding_dim = checks.positive_int("embedding_dim", embedding_dim or filters // 2)
        context_shape = _context_shape(context_shape, code_shape)
        context_num_embeddings = context_shape and (context_num_embeddings or num_embeddings)
        num_classes, label_dropout = _classes(num_classes, label_dropout)
        label_smoothing = checks.fraction("label_smoothing", label_smoothing)
        dtype = dtype_policy(dtype)

        embed = keras.layers.Embedding(num_embeddings, embedding_dim, dtype=dtype, name="embed")
        trunk = Trunk(
            filters,
            num_blocks,
            kernel_size,
            dropout,
            two_stream,
            num_attention_blocks,
            num_heads,
            rematerialize,
            dtype,
        )
        head = build_head(filters, num_embeddings, dtype)
        conditioner = build_conditioner(
            code_shape,
            embedding_dim,
            context_shape,
            context_num_embeddings,
            num_conditioning_blocks,
            num_classes,
            label_dropout,
            dtype,
        )
        inputs = {"codes": keras.Input(code_shape, dtype="int32", name="codes")}
        condition = None
        if conditioner is not None:
            given = {x.name: x for x in conditioner.inputs}
            inputs.update(given)
            condition = conditioner(given)
        logits = apply(head, trunk(embed(inputs["codes"]), condition))
        super().__init__(inputs, logits, name=name)

        self.keep_arguments(PixelCNN, locals())
        self.conditioner = conditioner
        self._embed, self._trunk, self._head = embed, trunk, head
        self._bits = BitsPerDim(code_shape[0] * code_shape[1], name="bits_per_code")
        self._log_prob = compile_function(self, self.log_prob_tensors)
        self._sample = compile_function(
            self, lambda rows: self.sample_tensors(rows["request"], rows["inputs"])[0]
        )
        self._sample_plainly = compile_function(
            self, lambda rows: self.sample_tensors(rows["request"], rows["inputs"], cached=False)[0]
        )

    def log_prob(self, codes, context=None, labels=None, batch_size=64):
        """Return the log-likelihood of each grid of codes, in nats, in one parallel pass.

        Args:
            codes: int array `[B, H, W]`.
            context: int array `[B, H_c, W_c]`, if the model has a context.
            labels: as of `sample`.
            batch_size: grids evaluated at a time, a power of two.

        Returns:
            float32 array `[B]`.

        Raises:
            ValueError: if an argument does not fit the model.
        """
        codes = checks.codes(codes, self.code_shape, self.num_embeddings)
        inputs = {"codes": codes, **self._check_condition(context, labels, len(codes))}
        return run_in_chunks(self._log_prob, inputs, limit=batch_size)

    def sample(
        self,
        num_samples,
        context=None,
        labels=None,
        seed=None,
        cached=True,
        batch_size=64,
        **options,
    ):
        """Draw grids of codes, position by position in raster order.

        Grid `i` depends on `(seed, i)` and on its own condition, and on nothing else of the call.

        Args:
            num_samples: how many grids.
            context: int array `[num_samples, H_c, W_c]`, if the model has a context.
            labels: int array `[num_samples]` or one integer, if the model has classes; -1 or None
                for no class, if it was trained with `label_dropout`.
            seed: integer; None for another result at each call.
            cached: whether each activation is computed once and kept while it is needed. Without
                it the whole network runs for each position: the same codes, slowly.
            batch_size: grids drawn at a time, a power of two.
            **options: of `SamplingOptions`.

        Returns:
            int32 array `[num_samples, H, W]`.

        Raises:
            ValueError: if an argument does not fit the model.
        """
        request = sample_request(num_samples, seed, can_guide=self.labels_optional, **options)
        inputs = self._check_condition(context, labels, num_samples)
        function = self._sample if cached else self._sample_plainly
        return run_in_chunks(function, {"request": request, "inputs": inputs}, limit=batch_size)

    def log_prob_tensors(self, inputs):
        """Return the log-likelihood `[B]` of a dictionary of inputs within a graph."""
        return -ops.sum(code_nll(inputs["codes"], self(inputs, training=False)), axis=(1, 2))

    def sample_tensors(self, request, condition_inputs, stream=0, known=None, cached=True):
        """Draw codes within a graph.

        Args:
            request: of `sampling.sample_request`, as tensors.
            condition_inputs: dictionary with `"context"` and `"labels"` as the model has them.
            stream: integer, which noise of the request is used.
            known: None, or `(codes, mask)` `[B, H, W]`: codes that stay where the mask is true.
            cached: see `sample`.

        Returns:
            `(codes, log_prob)`: int32 `[B, H, W]`, and the log-likelihood of the codes under the
            model's own distribution, float32 `[B]`, whatever the options of the request: neither a
            temperature nor guidance changes what it is the likelihood of.
        """
        uniforms = request_noise(request, self.code_shape, stream)
        draw = draw_for(request, ops.reshape(uniforms, (ops.shape(uniforms)[0], -1)))
        if known is None:
            known = ops.cast(ops.zeros_like(uniforms), "int32"), None
        guidance = request["options"]["guidance"]
        if guidance is None or self.num_classes is None:
            return self._fill(*known, condition_inputs, draw, cached)
        codes, log_prob = self._fill(
            *doubled(known), without_class(condition_inputs), guided(draw, guidance[stream]), cached
        )
        size = ops.shape(uniforms)[0]
        return codes[:size], log_prob[:size]

    def _fill(self, codes, mask, condition_inputs, draw, cached):
        """Draw the codes that are not known, position by position; see `raster_scan`."""
        if not cached:
            width = self.code_shape[1]

            def next_logits(codes, cache, index):
                logits = self({"codes": codes, **condition_inputs}, training=False)
                flat = ops.reshape(logits, (ops.shape(codes)[0], -1, self.num_embeddings))
                return ops.take(flat, index[0] * width + index[1], axis=1), cache

            return raster_scan(next_logits, draw, codes, (), mask)

        condition = self.condition_map(condition_inputs)
        return raster_scan(
            self.step,
            draw,
            codes,
            self.init_cache(ops.shape(codes)[0]),
            mask,
            start_row=lambda codes, cache, row: self.start_row(codes, cache, row, condition),
            column_of=self.column,
            end_row=self.end_row,
        )

    def condition_map(self, condition_inputs):
        """Return what conditions the positions, computed once for a whole sampling.

        Args:
            condition_inputs: dictionary with `"context"` and `"labels"` as the model has them.

        Returns:
            float tensor `[H, W, B, E]`, or `[1, 1, B, E]` if it is the same at every position; None
            for a model without conditions.
        """
        if self.conditioner is None:
            return None
        return ops.transpose(self.conditioner(condition_inputs), (1, 2, 0, 3))

    def init_cache(self, batch_size):
        """Return the cache before the first position, see `Trunk.init_cache`."""
        return self._trunk.init_cache(batch_size, self.code_shape[1])

    def start_row(self, codes, cache, row, condition=None):
        """Begin a row: compute all of it that does not depend on its own codes.

        Args:
            codes: int32 tensor `[B, H, W]`; only codes of the rows above are read.
            cache: of `init_cache` before the first row, then of `end_row`.
            row: integer or scalar tensor.
            condition: of `condition_map`.

        Returns:
            The cache of the row, to be handed from `step` to `step`.
        """
        if condition is not None:
            condition = condition[0] if condition.shape[0] == 1 else ops.take(condition, row, 0)
        return self._trunk.start_row(self._embedded_rows_above(codes, row), cache, condition)

    def step(self, codes, cache, index):
        """Compute the logits of one position from the codes before it.

        Args:
            codes: int32 tensor `[B, H, W]`; only codes before the position are read.
            cache: of `start_row` in the first column, then of the step before.
            index: `(row, column)`, integers or scalar tensors; columns come in order.

        Returns:
            `(logits, cache)`: float32 `[B, K]`, and the cache for the next position.
        """
        row, column = index
        # Of the first column what stands left of it is hidden.
        left = ops.take(ops.take(codes, row, axis=1), ops.maximum(column - 1, 0), axis=1)
        last = self._embed(left)
        last = last * ops.cast(column > 0, last.dtype)
        x, cache = self._trunk.step(last, cache, index)
        return apply(self._head, x), cache

    def column(self, cache):
        """Return what the next row needs of a column, see `Trunk.column`."""
        return self._trunk.column(cache)

    def end_row(self, cache, columns):
        """Return the cache after a row, of the structure of `init_cache`; see `Trunk.end_row`."""
        return self._trunk.end_row(cache, columns)

    def _embedded_rows_above(self, codes, row):
        """The embedded rows that the first convolution sees: zeros above the grid."""
        rows = self._trunk.rows_above
        padded = ops.pad(codes, ((0, 0), (rows, 0), (0, 0)))
        above = ops.take(padded, row + ops.arange(rows, dtype="int32"), axis=1)
        embedded = ops.transpose(self._embed(above), (1, 2, 0, 3))
        inside = ops.arange(rows) + row >= rows
        return embedded * ops.cast(inside, embedded.dtype)[:, None, None, None]

    def check_data(self, batch, name):
        """Raise a ValueError if a batch for `fit` or `evaluate` does not fit the model."""
        inputs = self._by_name(batch[0] if isinstance(batch, (tuple, list)) else batch)
        if not isinstance(inputs, dict) or set(self._input_keys) - set(inputs):
            expected = ", ".join(repr(key) for key in self._input_keys)
            got = sorted(inputs) if isinstance(inputs, dict) else type(inputs).__name__
            raise ValueError(f"`{name}` must be a dictionary with {expected}. Received: {got}")
        codes = checks.codes(inputs["codes"], self.code_shape, self.num_embeddings)
        self._check_condition(
            inputs.get("context") if self.context_shape else None,
            inputs.get("labels") if self.num_classes else None,
            len(codes),
        )

    def unpack(self, data):
        """Return the inputs and the sample weights of what a dataset gives."""
        inputs, _, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        inputs = self._by_name(inputs)
        return {key: inputs[key] for key in self._input_keys}, sample_weight

    def _by_name(self, inputs):
        """The dictionary of inputs; codes alone may come without one, if there is no condition."""
        bare = self._input_keys == ("codes",) and not isinstance(inputs, dict)
        return {"codes": inputs} if bare else inputs

    own_loss = "it learns the codes by their likelihood, and `label_smoothing` is its one choice"

    def compute_outputs(self, inputs, training):
        """Return the logits."""
        return self(inputs, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the mean negative log-likelihood of a code in nats, a scalar.

        While training it is that of the smoothed targets, if there is `label_smoothing`.
        """
        smoothing = self.label_smoothing if training else 0.0
        nats = smoothed_code_nll(x["codes"], y_pred, smoothing)
        return weighted_mean(ops.mean(nats, axis=(1, 2)), sample_weight)

    def update_metrics(self, x, outputs, sample_weight):
        """Update the model's own metrics with a batch."""
        self._bits.update_state(ops.sum(code_nll(x["codes"], outputs), axis=(1, 2)), sample_weight)
        return outputs

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Update the metrics of `compile`, which compare the logits with the codes."""
        return super().compute_metrics(x, x["codes"], y_pred, sample_weight)

    @property
    def labels_optional(self):
        """Whether the model knows images without a class: labels of -1."""
        return self.label_dropout > 0

    @property
    def _input_keys(self):
        optional = {"context": self.context_shape, "labels": self.num_classes}
        return ("codes", *(key for key, given in optional.items() if given is not None))

    def _check_condition(self, context, labels, batch_size):
        inputs = {}
        if (context is None) != (self.context_shape is None):
            raise ValueError(
                f"`context` must {'not ' if context is not None else ''}be given: this model was "
                f"built with context_shape={self.context_shape}"
            )
        if context is not None:
            inputs["context"] = checks.codes(
                context, self.context_shape, self.context_num_embeddings, "context"
            )
            if len(inputs["context"]) != batch_size:
                raise ValueError(
                    f"`context` must hold {batch_size} grids, one an example. "
                    f"Received: {len(inputs['context'])}"
                )
        labels = checks.labels(labels, self.num_classes, batch_size, optional=self.labels_optional)
        return inputs if labels is None else {**inputs, "labels": labels}


def _context_shape(context_shape, code_shape):
    """The checked grid of the context, or None."""
    if context_shape is None:
        return None
    context_shape = checks.sizes("context_shape", context_shape, "HW")
    if code_shape[0] % context_shape[0] or code_shape[1] % context_shape[1]:
        raise ValueError(
            "`context_shape` must divide `code_shape`. "
            f"Received: context_shape={context_shape}, code_shape={code_shape}"
        )
    return context_shape


def _classes(num_classes, label_dropout):
    """The checked number of classes, or None, and the share of the labels that is left out."""
    label_dropout = checks.fraction("label_dropout", label_dropout)
    if num_classes is not None:
        return checks.positive_int("num_classes", num_classes), label_dropout
    if label_dropout:
        raise ValueError(
            "`label_dropout` must be 0 for a model without classes. "
            f"Received: label_dropout={label_dropout}"
        )
    return None, label_dropout
