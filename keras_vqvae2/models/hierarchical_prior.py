"""One PixelCNN a level: a distribution over the codes of whole images."""

import keras
from keras import ops

from keras_vqvae2 import checks
from keras_vqvae2.losses import code_nll, smoothed_code_nll, weighted_mean
from keras_vqvae2.metrics import BitsPerDim
from keras_vqvae2.models.levels import code_names, level_names, per_level
from keras_vqvae2.models.pixelcnn import PixelCNN
from keras_vqvae2.sampling import compile_function, run_in_chunks, sample_request
from keras_vqvae2.training import CheckedFit, TrainStep


@keras.saving.register_keras_serializable("keras_vqvae2")
class HierarchicalPrior(TrainStep, CheckedFit, keras.Model):
    """A PixelCNN for the coarsest level, and for each finer one a PixelCNN given the coarser.

    ```
    log p(codes) = log p(top) + log p(bottom | top)
    ```

    It is trained with `fit` on datasets of `((top, bottom), labels)` or `(top, bottom)`, or on such
    arrays. All levels learn at once; each has weights of its own. Logs: `loss` (the sum over the
    levels of the mean nats a code), `bits_per_code` over all codes of an image, and
    `<level>_bits_per_code`.

    Args:
        code_shapes: grids `(H_l, W_l)` of the levels, coarse to fine; each divides the next.
        num_embeddings: the number of codes, of all levels or one a level.
        filters: of the PixelCNNs, of all levels or one a level.
        num_blocks: of the PixelCNNs, of all levels or one a level.
        num_classes: the number of class labels; None for an unconditional prior.
        dropout: rate while training, of all levels or one a level.
        two_stream: see `PixelCNN`, of all levels or one a level.
        num_attention_blocks: see `PixelCNN`, of all levels or one a level.
        num_heads: see `PixelCNN`, of all levels or one a level.
        num_conditioning_blocks: see `PixelCNN`, of all levels with a coarser one.
        label_smoothing: share of the training targets that is spread over all codes, in [0, 1).
        dtype: policy of the layers; None for the global one.
        name: of the model.

    Call arguments:
        inputs: dictionary of the levels' codes, int `[B, H_l, W_l]` under `"codes_top"` and
            `"codes_bottom"` (for other than two levels `"codes_0"` and so on), and `"labels"` int
            `[B]` if by class.

    Returns:
        Dictionary under the same names: logits, float32 `[B, H_l, W_l, K_l]`.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        Razavi et al. 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2", section 3.2.

    Example:

    >>> priors = HierarchicalPrior(((2, 2), (4, 4)), num_embeddings=8, filters=16, num_blocks=2)
    >>> top, bottom = priors.sample(3, seed=0)
    >>> top.shape, bottom.shape
    ((3, 2, 2), (3, 4, 4))
    """

    def __init__(
        self,
        code_shapes,
        num_embeddings=512,
        filters=256,
        num_blocks=16,
        num_classes=None,
        dropout=0.0,
        two_stream=False,
        num_attention_blocks=0,
        num_heads=4,
        num_conditioning_blocks=0,
        label_smoothing=0.0,
        dtype=None,
        name=None,
    ):
        code_shapes = tuple(tuple(shape) for shape in code_shapes)
        num_levels = len(code_shapes)
        if num_levels < 1:
            raise ValueError(
                f"`code_shapes` must hold at least one grid. Received: code_shapes={code_shapes}"
            )
        codebook_sizes = per_level("num_embeddings", num_embeddings, num_levels)
        options = {
            key: per_level(key, value, num_levels)
            for key, value in {
                "filters": filters,
                "num_blocks": num_blocks,
                "dropout": dropout,
                "two_stream": two_stream,
                "num_attention_blocks": num_attention_blocks,
                "num_heads": num_heads,
            }.items()
        }
        names, keys = level_names(num_levels), code_names(num_levels)
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())

        # Layers
        level_priors = [
            PixelCNN(
                code_shapes[level],
                codebook_sizes[level],
                context_shape=code_shapes[level - 1] if level else None,
                context_num_embeddings=codebook_sizes[level - 1] if level else None,
                num_conditioning_blocks=num_conditioning_blocks if level else 0,
                num_classes=num_classes,
                label_smoothing=label_smoothing,
                dtype=policy,
                name=f"{names[level]}_prior",
                **{key: values[level] for key, values in options.items()},
            )
            for level in range(num_levels)
        ]

        # Functional model
        inputs = {
            key: keras.Input(shape, dtype="int32", name=key)
            for key, shape in zip(keys, code_shapes, strict=True)
        }
        if num_classes is not None:
            inputs["labels"] = keras.Input((), dtype="int32", name="labels")
        outputs = {
            keys[level]: prior(_level_inputs(inputs, keys, level))
            for level, prior in enumerate(level_priors)
        }
        super().__init__(inputs, outputs, name=name)

        # Config
        self.code_shapes = code_shapes
        self.num_embeddings = codebook_sizes
        self.filters = options["filters"]
        self.num_blocks = options["num_blocks"]
        self.num_classes = num_classes
        self.dropout = options["dropout"]
        self.two_stream = options["two_stream"]
        self.num_attention_blocks = options["num_attention_blocks"]
        self.num_heads = options["num_heads"]
        self.num_conditioning_blocks = num_conditioning_blocks
        self.label_smoothing = level_priors[0].label_smoothing
        # Of the model too: `compile` scales the loss by it.
        self.dtype_policy = self._policy = policy

        self.level_names = names
        self.level_priors = level_priors
        self._keys = keys
        grid_sizes = [height * width for height, width in code_shapes]
        self._bits = BitsPerDim(sum(grid_sizes), name="bits_per_code")
        self._level_bits = [
            BitsPerDim(size, name=f"{level}_bits_per_code")
            for level, size in zip(names, grid_sizes, strict=True)
        ]
        self._log_prob = compile_function(self, self.log_prob_tensors)
        self._sample = compile_function(
            self, lambda rows: self.sample_tensors(rows["request"], rows["labels"])[0]
        )

    @classmethod
    def from_vqvae(cls, vqvae, **kwargs):
        """Build a prior for the codes of a VQ-VAE-2.

        Args:
            vqvae: a `VQVAE2`.
            **kwargs: further arguments of `HierarchicalPrior`.

        Returns:
            `HierarchicalPrior` with the grids and codebook sizes of `vqvae`.
        """
        return cls(vqvae.code_shapes, vqvae.num_embeddings, **kwargs)

    def log_prob(self, codes, labels=None, batch_size=64):
        """Return the log-likelihood of the codes of each image, level by level.

        Args:
            codes: tuple of int arrays `[B, H_l, W_l]`, coarse to fine.
            labels: int array `[B]` or one integer, if the prior is by class.
            batch_size: images evaluated at a time, a power of two.

        Returns:
            Tuple of float32 arrays `[B]`, nats, one a level: each given the coarser levels.

        Raises:
            ValueError: if an argument does not fit the prior.
        """
        codes = self.check_codes(codes)
        labels = checks.labels(labels, self.num_classes, len(codes[0]))
        return run_in_chunks(self._log_prob, self.inputs_of(codes, labels), limit=batch_size)

    def sample(
        self,
        num_samples,
        labels=None,
        seed=None,
        temperature=1.0,
        top_k=None,
        top_p=None,
        batch_size=64,
        callback=None,
    ):
        """Draw the codes of whole images, coarse to fine.

        Image `i` depends on `(seed, i)` and on its own label, and on nothing else of the call.

        Args:
            num_samples: how many images.
            labels: int array `[num_samples]` or one integer, if the prior is by class.
            seed: integer; None for another result at each call.
            temperature: see `PixelCNN.sample`.
            top_k: see `PixelCNN.sample`.
            top_p: see `PixelCNN.sample`.
            batch_size: images drawn at a time, a power of two.
            callback: callable `(done, total)` after each chunk, or None.

        Returns:
            Tuple of int32 arrays `[num_samples, H_l, W_l]`, coarse to fine.

        Raises:
            ValueError: if an argument is out of its range.
        """
        request = sample_request(num_samples, seed, temperature, top_k, top_p)
        labels = checks.labels(labels, self.num_classes, num_samples)
        rows = {"request": request, "labels": labels}
        return run_in_chunks(self._sample, rows, limit=batch_size, callback=callback)

    def log_prob_tensors(self, inputs):
        """Return a tuple of log-likelihoods `[B]` of a dictionary of inputs within a graph."""
        return tuple(
            prior.log_prob_tensors(_level_inputs(inputs, self._keys, level))
            for level, prior in enumerate(self.level_priors)
        )

    def sample_tensors(self, request, labels=None, known=None):
        """Draw codes of all levels within a graph.

        Args:
            request: of `sampling.sample_request`, as tensors.
            labels: int32 tensor `[B]` or None.
            known: None, or one `(codes, mask)` a level: codes that stay where the mask is true.

        Returns:
            `(codes, log_prob)`: a tuple of int32 tensors `[B, H_l, W_l]`, and their total
            log-likelihood, float32 `[B]`.
        """
        inputs = {} if labels is None else {"labels": labels}
        codes, log_probs = [], []
        for level, prior in enumerate(self.level_priors):
            condition = {"context": codes[-1], **inputs} if codes else inputs
            level_known = None if known is None else known[level]
            drawn, log_prob = prior.sample_tensors(request, condition, level, level_known)
            codes.append(drawn)
            log_probs.append(log_prob)
        return tuple(codes), sum(log_probs)

    def check_codes(self, codes):
        """Return codes as a tuple of int32 arrays, or raise a ValueError for wrong ones."""
        return checks.levels(codes, self.code_shapes, self.num_embeddings, self.level_names)

    def check_data(self, batch, name):
        """Raise a ValueError if a batch for `fit` or `evaluate` does not fit the prior."""
        codes, labels, _ = self._split(batch)
        codes = checks.levels(codes, self.code_shapes, self.num_embeddings, self.level_names, name)
        if self.num_classes is not None:
            checks.labels(labels, self.num_classes, len(codes[0]))

    def unpack(self, data):
        """Return the inputs and the sample weights of what a dataset gives."""
        codes, labels, sample_weight = self._split(data)
        return self.inputs_of(
            codes, labels if self.num_classes is not None else None
        ), sample_weight

    def forward(self, inputs, training):
        """Return the logits of all levels."""
        return self(inputs, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the sum over the levels of the mean negative log-likelihood of a code, in nats.

        While training it is that of the smoothed targets, if there is `label_smoothing`.
        """
        smoothing = self.label_smoothing if training else 0.0
        nats = sum(
            ops.mean(smoothed_code_nll(x[key], y_pred[key], smoothing), axis=(1, 2))
            for key in self._keys
        )
        return weighted_mean(nats, sample_weight)

    def update_metrics(self, x, outputs, sample_weight):
        """Update the prior's own metrics with a batch."""
        nats = [ops.sum(code_nll(x[key], outputs[key]), axis=(1, 2)) for key in self._keys]
        for metric, level_nats in zip(self._level_bits, nats, strict=True):
            metric.update_state(level_nats, sample_weight)
        self._bits.update_state(sum(nats), sample_weight)
        return outputs

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Update the metrics of `compile`, which compare each level's logits with its codes."""
        codes = {key: x[key] for key in self._keys}
        return super().compute_metrics(x, codes, y_pred, sample_weight)

    def inputs_of(self, codes, labels=None):
        """Return codes, coarse to fine, and labels as the dictionary of inputs."""
        inputs = dict(zip(self._keys, codes, strict=True))
        return inputs if labels is None else {**inputs, "labels": labels}

    def _split(self, data):
        """Codes, labels and sample weights of `((top, bottom), labels, …)` or `(top, bottom)`."""
        num_levels = len(self._keys)
        if not _is_sequence(data):
            data = ((data,),)
        elif len(data) == 1 and _is_sequence(data[0]) and _is_sequence(data[0][0]):
            data = data[0]  # `((top, bottom), labels)` as the one argument of `fit`
        elif not _is_sequence(data[0]):
            # Levels side by side; a single level may have labels beside it.
            data = ((data[0],), *data[1:]) if num_levels == 1 else (tuple(data),)
        codes, labels, sample_weight = (*data, None, None)[:3]
        return tuple(codes), labels, sample_weight

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            "code_shapes": self.code_shapes,
            "num_embeddings": self.num_embeddings,
            "filters": self.filters,
            "num_blocks": self.num_blocks,
            "num_classes": self.num_classes,
            "dropout": self.dropout,
            "two_stream": self.two_stream,
            "num_attention_blocks": self.num_attention_blocks,
            "num_heads": self.num_heads,
            "num_conditioning_blocks": self.num_conditioning_blocks,
            "label_smoothing": self.label_smoothing,
            "dtype": keras.dtype_policies.serialize(self._policy),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Build the prior that `get_config` describes."""
        return cls(**config)


def _is_sequence(data):
    return isinstance(data, (tuple, list))


def _level_inputs(inputs, keys, level):
    """The inputs of one level's PixelCNN: its codes, the coarser level's, the labels."""
    result = {"codes": inputs[keys[level]]}
    if level:
        result["context"] = inputs[keys[level - 1]]
    if "labels" in inputs:
        result["labels"] = inputs["labels"]
    return result
