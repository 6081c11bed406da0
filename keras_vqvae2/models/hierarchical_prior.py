"""One PixelCNN a level: a distribution over the codes of whole images."""

import keras
from keras import ops

from keras_vqvae2 import checks
from keras_vqvae2.losses import code_nll
from keras_vqvae2.metrics import BitsPerDim
from keras_vqvae2.models.level_priors import check_levels, condition_of, level_inputs, split_batch
from keras_vqvae2.models.levels import code_names, level_names
from keras_vqvae2.models.pixelcnn import PixelCNN
from keras_vqvae2.models.presets import Presets
from keras_vqvae2.sampling import (
    compile_function,
    request_noise,
    run_in_chunks,
    sample_request,
)
from keras_vqvae2.training import CheckedFit, TrainStep


@keras.saving.register_keras_serializable("keras_vqvae2")
class HierarchicalPrior(Presets, TrainStep, CheckedFit, keras.Model):
    """A prior for the coarsest level, and for each finer one a prior given the next coarser.

    ```
    log p(codes) = log p(top) + log p(bottom | top)
    ```

    `from_vqvae` builds a `PixelCNN` for each level. The constructor puts together level priors of
    any kind: a `keras.Model` of what a `PixelCNN` takes, with its attributes `code_shape`,
    `num_embeddings`, `context_shape`, `context_num_embeddings` and `num_classes`, and its methods
    `compute_loss`, `log_prob_tensors` and `sample_tensors`.

    It is trained with `fit` on datasets of `((top, bottom), labels)` or `(top, bottom)`, or on such
    arrays. All levels learn at once; each has weights of its own. Logs: `loss` (the sum over the
    levels of the mean nats a code), `bits_per_code` over all codes of an image, and
    `<level>_bits_per_code`.

    Args:
        level_priors: the levels' priors, coarse to fine: the first without context, each other one
            with the grid of the one before as its context.
        label_names: a name for each class, or None: labels may then be given by name.
        name: of the model.

    Call arguments:
        inputs: dictionary of the levels' codes, int `[B, H_l, W_l]` under `"codes_top"` and
            `"codes_bottom"` (for other than two levels `"codes_0"` and so on), and `"labels"` int
            `[B]` if by class.

    Returns:
        Dictionary under the same names: logits, float32 `[B, H_l, W_l, K_l]`.

    Raises:
        ValueError: if there is no level, or a level does not fit the one before.

    Reference:
        Razavi et al. 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2", section 3.2.

    Example:

    >>> from keras_vqvae2.models import PixelCNN
    >>> top = PixelCNN((2, 2), num_embeddings=8, filters=16, num_blocks=2)
    >>> bottom = PixelCNN((4, 4), num_embeddings=8, filters=16, num_blocks=2, context_shape=(2, 2))
    >>> priors = HierarchicalPrior([top, bottom])
    >>> [codes.shape for codes in priors.sample(3, seed=0)]
    [(3, 2, 2), (3, 4, 4)]
    """

    def __init__(self, level_priors, label_names=None, name=None):
        check_levels(level_priors)
        level_priors = list(level_priors)
        names, keys = level_names(len(level_priors)), code_names(len(level_priors))
        classes = [prior.num_classes for prior in level_priors if prior.num_classes is not None]
        inputs = {
            key: keras.Input(prior.code_shape, dtype="int32", name=key)
            for key, prior in zip(keys, level_priors, strict=True)
        }
        if classes:
            inputs["labels"] = keras.Input((), dtype="int32", name="labels")
        outputs = {
            key: prior(level_inputs(inputs, keys, level, prior))
            for level, (key, prior) in enumerate(zip(keys, level_priors, strict=True))
        }
        super().__init__(inputs, outputs, name=name)

        self.level_priors = level_priors
        self.level_names = names
        self.code_shapes = tuple(tuple(prior.code_shape) for prior in level_priors)
        self.num_embeddings = tuple(prior.num_embeddings for prior in level_priors)
        self.num_classes = classes[0] if classes else None
        self.label_names = checks.label_names(label_names, self.num_classes)
        self.labels_optional = bool(classes) and all(
            getattr(prior, "labels_optional", False)
            for prior in level_priors
            if prior.num_classes is not None
        )
        # `compile` scales the loss of a float16 model by it.
        self.dtype_policy = level_priors[0].dtype_policy
        self._keys = keys
        grid_sizes = [height * width for height, width in self.code_shapes]
        self._bits = BitsPerDim(sum(grid_sizes), name="bits_per_code")
        self._level_bits = [
            BitsPerDim(size, name=f"{level}_bits_per_code")
            for level, size in zip(names, grid_sizes, strict=True)
        ]
        self._log_prob = compile_function(self, self.log_prob_tensors)
        self._code_nll = compile_function(self, self.code_nll_tensors)
        self._sample = compile_function(
            self, lambda rows: self.sample_tensors(rows["request"], rows["labels"])[0]
        )

    @classmethod
    def from_vqvae(cls, vqvae, *, label_names=None, name=None, **options):
        """Build a prior for the codes of a VQ-VAE-2, of a `PixelCNN` for each level.

        Args:
            vqvae: a `VQVAE2`.
            label_names: a name for each class, or None.
            name: of the model.
            **options: further arguments of `PixelCNN`, each of all levels or one a level, coarse to
                fine. `num_conditioning_blocks` of all levels means all with a coarser one.

        Returns:
            `HierarchicalPrior` with the grids and codebook sizes of `vqvae`.

        Raises:
            ValueError: if an option is out of its range, or of another number of levels.

        Example:

        ```python
        priors = HierarchicalPrior.from_vqvae(vqvae, filters=256, num_blocks=(20, 12))
        ```
        """
        own = {"label_names": label_names, "name": name}
        return cls.from_code_shapes(vqvae.code_shapes, vqvae.num_embeddings, **own, **options)

    @classmethod
    def from_code_shapes(
        cls, code_shapes, num_embeddings=512, *, label_names=None, name=None, **options
    ):
        """Build a prior of a `PixelCNN` for each level, from their grids.

        Args:
            code_shapes: grids `(H_l, W_l)` of the levels, coarse to fine; each divides the next.
            num_embeddings: the number of codes, of all levels or one a level.
            label_names: a name for each class, or None.
            name: of the model.
            **options: as of `from_vqvae`.

        Returns:
            `HierarchicalPrior`.

        Raises:
            ValueError: as of `from_vqvae`.

        Example:

        >>> shapes = ((2, 2), (4, 4))
        >>> priors = HierarchicalPrior.from_code_shapes(shapes, 8, filters=8, num_blocks=1)
        >>> priors.level_names
        ('top', 'bottom')
        """
        num_levels = len(code_shapes)
        blocks = options.get("num_conditioning_blocks", 0)
        if num_levels and not isinstance(blocks, (tuple, list)):
            # The coarsest level has nothing that they could work on.
            options["num_conditioning_blocks"] = (0, *[blocks] * (num_levels - 1))
        options = {
            key: checks.per_level(key, value, num_levels)
            for key, value in {"num_embeddings": num_embeddings, **options}.items()
        }
        level_priors = []
        for level, level_name in enumerate(level_names(num_levels)):
            context = {}
            if level:
                context["context_shape"] = code_shapes[level - 1]
                context["context_num_embeddings"] = options["num_embeddings"][level - 1]
            own = {key: values[level] for key, values in options.items()}
            prior = PixelCNN(code_shapes[level], **own, **context, name=f"{level_name}_prior")
            level_priors.append(prior)
        return cls(level_priors, label_names, name)

    def log_prob(self, codes, labels=None, batch_size=64):
        """Return the log-likelihood of the codes of each image, level by level.

        Args:
            codes: tuple of int arrays `[B, H_l, W_l]`, coarse to fine.
            labels: as of `sample`.
            batch_size: images evaluated at a time, a power of two.

        Returns:
            Tuple of float32 arrays `[B]`, nats, one a level: each given the coarser levels.

        Raises:
            ValueError: if an argument does not fit the prior.
        """
        return self._of_codes(self._log_prob, codes, labels, batch_size)

    def code_nll(self, codes, labels=None, batch_size=64):
        """Return what each code of an image costs: its negative log-likelihood.

        Args:
            codes: tuple of int arrays `[B, H_l, W_l]`, coarse to fine.
            labels: as of `sample`.
            batch_size: images evaluated at a time, a power of two.

        Returns:
            Tuple of float32 arrays `[B, H_l, W_l]`, nats, one a level; the sum over the grid is
            `-log_prob` of the level.

        Raises:
            ValueError: if an argument does not fit the prior.
        """
        return self._of_codes(self._code_nll, codes, labels, batch_size)

    def _of_codes(self, function, codes, labels, batch_size):
        codes = self.check_codes(codes)
        labels = self.check_labels(labels, len(codes[0]))
        return run_in_chunks(function, self.inputs_of(codes, labels), limit=batch_size)

    def noise(self, num_samples, seed=None):
        """Return the uniform numbers that `sample` draws the codes of a seed by.

        Args:
            num_samples: how many images.
            seed: integer; None for another result at each call.

        Returns:
            Tuple of float32 arrays `[num_samples, H_l, W_l]` in [0, 1), coarse to fine.

        Raises:
            ValueError: if an argument is out of its range.
        """
        request = self.request(num_samples, seed)
        return tuple(
            ops.convert_to_numpy(request_noise(request, shape, stream))
            for stream, shape in enumerate(self.code_shapes)
        )

    def sample(
        self,
        num_samples,
        labels=None,
        seed=None,
        batch_size=64,
        callback=None,
        **options,
    ):
        """Draw the codes of whole images, coarse to fine.

        Image `i` depends on `(seed, i)` and on its own label, and on nothing else of the call.

        Args:
            num_samples: how many images.
            labels: numbers or names `[num_samples]`, or one, if the prior is by class; -1 or None
                for no class, if it was trained with `label_dropout`.
            seed: integer; None for another result at each call.
            batch_size: images drawn at a time, a power of two.
            callback: callable `(done, total)` after each chunk, or None.
            **options: of `SamplingOptions`.

        Returns:
            Tuple of int32 arrays `[num_samples, H_l, W_l]`, coarse to fine.

        Raises:
            ValueError: if an argument is out of its range.
        """
        request = self.request(num_samples, seed, **options)
        labels = self.check_labels(labels, num_samples)
        rows = {"request": request, "labels": labels}
        return run_in_chunks(self._sample, rows, limit=batch_size, callback=callback)

    def log_prob_tensors(self, inputs):
        """Return a tuple of log-likelihoods `[B]` of a dictionary of inputs within a graph."""
        return tuple(
            prior.log_prob_tensors(level_inputs(inputs, self._keys, level, prior))
            for level, prior in enumerate(self.level_priors)
        )

    def code_nll_tensors(self, inputs):
        """Return `code_nll` of a dictionary of inputs within a graph."""
        logits = self(inputs, training=False)
        return tuple(code_nll(inputs[key], logits[key]) for key in self._keys)

    def sample_tensors(self, request, labels=None, known=None):
        """Draw codes of all levels within a graph.

        Args:
            request: of `sampling.sample_request`, as tensors.
            labels: int32 tensor `[B]` or None.
            known: None, or one `(codes, mask)` a level: codes that stay where the mask is true.

        Returns:
            `(codes, log_prob)`: a tuple of int32 tensors `[B, H_l, W_l]`, and their total
            log-likelihood under the model's own distribution, float32 `[B]`.
        """
        codes, log_probs = [], []
        for level, prior in enumerate(self.level_priors):
            condition = condition_of(prior, codes[-1] if level else None, labels)
            level_known = None if known is None else known[level]
            drawn, log_prob = prior.sample_tensors(request, condition, level, level_known)
            codes.append(drawn)
            log_probs.append(log_prob)
        return tuple(codes), sum(log_probs)

    def request(self, num_samples, seed=None, **options):
        """Return the `sample_request` of this prior.

        Args:
            num_samples: how many images.
            seed: integer; None for another result at each call.
            **options: of `SamplingOptions`.

        Raises:
            ValueError: if an argument is out of its range, or the prior cannot be guided.
        """
        return sample_request(
            num_samples,
            seed,
            num_levels=len(self.level_priors),
            can_guide=self.labels_optional,
            **options,
        )

    def check_labels(self, labels, batch_size):
        """Return labels as int32 `[B]`, None without classes; or raise a ValueError."""
        labels = checks.label_numbers(labels, self.label_names)
        return checks.labels(labels, self.num_classes, batch_size, optional=self.labels_optional)

    def check_classes(self, data):
        """Raise a ValueError if images have other classes than those that the prior has learned.

        Args:
            data: `ImageData`. Without names it may lack some of the classes.
        """
        if self.num_classes is None:
            return
        if self.label_names and data.label_names:
            learned, given = self.label_names, tuple(data.label_names)
            fits = given == learned
        else:
            learned, given = self.num_classes, data.num_classes
            fits = given is not None and given <= learned
        if not fits:
            raise ValueError(
                f"The images of {data.name} must have the classes that the prior has learned: "
                f"{learned}. Received: {given}"
            )

    def check_codes(self, codes):
        """Return codes as a tuple of int32 arrays, or raise a ValueError for wrong ones."""
        return checks.levels(codes, self.code_shapes, self.num_embeddings, self.level_names)

    def check_data(self, batch, name):
        """Raise a ValueError if a batch for `fit` or `evaluate` does not fit the prior."""
        codes, labels, _ = split_batch(batch, len(self._keys))
        codes = checks.levels(codes, self.code_shapes, self.num_embeddings, self.level_names, name)
        if self.num_classes is not None:
            # Each may be -1, but to leave all out by None would be to forget them.
            optional = self.labels_optional and labels is not None
            checks.labels(labels, self.num_classes, len(codes[0]), optional=optional)

    def unpack(self, data):
        """Return the inputs and the sample weights of what a dataset gives."""
        codes, labels, sample_weight = split_batch(data, len(self._keys))
        return self.inputs_of(
            codes, labels if self.num_classes is not None else None
        ), sample_weight

    own_loss = "each level learns its codes by their likelihood"
    takes_lists = True  # [top, bottom]

    def compute_outputs(self, inputs, training):
        """Return the logits of all levels."""
        return self(inputs, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the sum of the levels' losses: of each, the mean nats of a code."""
        return sum(
            prior.compute_loss(
                level_inputs(x, self._keys, level, prior),
                None,
                y_pred[key],
                sample_weight,
                training,
            )
            for level, (key, prior) in enumerate(zip(self._keys, self.level_priors, strict=True))
        )

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

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            "level_priors": [
                keras.saving.serialize_keras_object(prior) for prior in self.level_priors
            ],
            "label_names": self.label_names,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Build the prior that `get_config` describes."""
        if "code_shapes" in config:
            # Of 0.1.0, before a hierarchy was composed: the options of its PixelCNNs.
            return cls.from_code_shapes(**config)
        level_priors = [
            keras.saving.deserialize_keras_object(prior, custom_objects=custom_objects)
            for prior in config["level_priors"]
        ]
        return cls(level_priors, config.get("label_names"), config["name"])
