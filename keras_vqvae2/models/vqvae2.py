"""The hierarchical VQ-VAE: images to codes and back."""

import keras
import numpy as np
from keras import ops

from keras_vqvae2 import checks
from keras_vqvae2.losses import absolute_error, squared_error, weighted_mean
from keras_vqvae2.metrics import BitsPerDim, CodebookUsage, EpochMean, Perplexity
from keras_vqvae2.models.arguments import KeptArguments, dtype_policy
from keras_vqvae2.models.coders import Coders
from keras_vqvae2.models.level_stack import LevelStack
from keras_vqvae2.models.levels import level_names
from keras_vqvae2.models.presets import Presets
from keras_vqvae2.models.vqvae2_graphs import (
    as_list,
    decoder_graph,
    encoder_graph,
    training_outputs,
)
from keras_vqvae2.ops import pixels_to_signal, signal_to_pixels
from keras_vqvae2.sampling import compile_function, run_in_chunks
from keras_vqvae2.training import CheckedFit, TrainStep


@keras.saving.register_keras_serializable("keras_vqvae2")
class VQVAE2(KeptArguments, Presets, TrainStep, CheckedFit, keras.Model):
    """Encodes images as grids of discrete codes, coarse to fine, and decodes them.

    Encoders follow one another from the pixels to the coarsest level; each level's features are
    projected to `D` channels and quantized. Decoders go back: each takes what the coarser one
    gave, beside its own level's quantized map, and upsamples it. With two levels:

    ```
    images                  [H, W, C]     -> bottom encoder [H/4, W/4, F] -> top encoder
    top features            [H/8, W/8, F] -> projection, quantizer: codes [H/8, W/8], vectors
    top vectors             [H/8, W/8, D] -> top decoder [H/4, W/4, F/2]: what the top says
    bottom features         [H/4, W/4, F] -> projection (corrected by what the top says), quantizer
    what the top says, beside the bottom's vectors [H/4, W/4, F/2 + D] -> bottom decoder [H, W, C]
    ```

    Calling the model gives the reconstruction. It is trained with `fit(images)` on the mean squared
    error of the signal in [-1, 1], or another `reconstruction_loss`, plus the commitment losses;
    with `fit(noisy, clean)` it learns to reconstruct the second from the first.
    Logs: `loss`, `reconstruction_mse`, `commitment_loss`, and for each level `<level>_usage` and
    `<level>_perplexity` over the epoch; with the discretized logistic `pixel_bits_per_dim`, the
    bits a dimension that name the image where its codes are known.

    Pixels lie in [0, 255] at every door, uint8 or float. A list of levels is coarse to fine. Call
    `keras.utils.set_random_seed` before building the model to repeat its first weights.

    Args:
        image_shape: `(H, W, C)`; `H` and `W` divisible by the product of `strides`.
        filters: channels of the encoders and decoders, even.
        num_residual_blocks: in each encoder and decoder.
        residual_filters: channels inside a residual block; None for half of `filters`.
        num_levels: `L`, at least 1.
        embedding_dim: `D`, of all levels or one a level.
        num_embeddings: `K`, of all levels or one a level.
        decay: of the codebooks' moving averages, in [0, 1).
        commitment_cost: weight of the commitment losses.
        strides: powers of two, one a level: how much coarser a level is than the next finer one,
            or than the image. None for 4 on the finest level and 2 on each coarser one.
        condition_on_coarser: whether a finer level's features are corrected, before they are
            quantized, by what the coarser levels decode to, as in the paper: a finer code then
            need not repeat what the coarser ones say.
        reconstruction_loss: "mse" or "l1", the mean over an image on the signal in [-1, 1]; or
            "discretized_logistic", nats a dimension, see `DiscretizedLogistic`.
        upsampling: how decoders double the height and the width: "nearest", repeated pixels and a
            3x3 convolution, see `NearestConv2D`; "subpixel", see `SubpixelConv2D`; or "transposed",
            4x4 transposed convolutions, which may leave a pattern of dots.
        clipping: how the signal ends at black and white: "soft", bent, see `SoftClip`; or "hard",
            as it is, and cut where it becomes pixels.
        quantizer_options: dictionary of further arguments of `VectorQuantizer`, or None.
        dtype: policy of the layers; None for the global one.
        name: of the model.

    Call arguments:
        inputs: images `[B, H, W, C]`, pixels in [0, 255].

    Returns:
        float32 tensor `[B, H, W, C]`, pixels in [0, 255].

    Raises:
        ValueError: if an argument is out of its range, or the strides do not divide the image.

    Reference:
        Razavi et al. 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2", section 3.1.

    Example:

    >>> model = VQVAE2(image_shape=(16, 16, 3), filters=16, embedding_dim=8, num_embeddings=32)
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype="uint8")
    >>> model.compile(optimizer="adam")
    >>> history = model.fit(images, verbose=0)
    >>> top, bottom = model.encode(images)
    >>> top.shape, bottom.shape, model.decode((top, bottom)).shape
    ((4, 2, 2), (4, 4, 4), (4, 16, 16, 3))
    """

    def __init__(
        self,
        image_shape=(32, 32, 3),
        filters=256,
        num_residual_blocks=2,
        residual_filters=None,
        num_levels=2,
        embedding_dim=64,
        num_embeddings=512,
        decay=0.99,
        commitment_cost=0.25,
        strides=None,
        condition_on_coarser=False,
        reconstruction_loss="mse",
        upsampling="nearest",
        clipping="soft",
        quantizer_options=None,
        dtype=None,
        name=None,
    ):
        num_levels = checks.positive_int("num_levels", num_levels)
        image_shape = checks.sizes("image_shape", image_shape, "HWC")
        strides = _strides(strides, num_levels, image_shape)
        num_residual_blocks = checks.non_negative_int("num_residual_blocks", num_residual_blocks)
        filters = checks.even("filters", filters)
        residual_filters = residual_filters or filters // 2
        embedding_dim = _sizes("embedding_dim", embedding_dim, num_levels)
        num_embeddings = _sizes("num_embeddings", num_embeddings, num_levels)
        checks.one_of("reconstruction_loss", reconstruction_loss, RECONSTRUCTION_LOSSES)
        quantizer_options = checks.options("quantizer_options", quantizer_options)
        dtype = dtype_policy(dtype)

        levels = LevelStack(
            level_names(num_levels),
            Coders(filters, num_residual_blocks, residual_filters, upsampling, clipping, dtype),
            strides,
            image_shape[-1],
            embedding_dim,
            num_embeddings,
            condition_on_coarser,
            {"decay": decay, "commitment_cost": commitment_cost, **quantizer_options},
        )
        encoder = encoder_graph(levels, image_shape)
        decoder = decoder_graph(levels, encoder)
        images = keras.Input(image_shape, name="images")
        outputs = training_outputs(levels, encoder, images, reconstruction_loss)
        super().__init__(images, outputs["reconstruction"], name=name)

        self.keep_arguments(VQVAE2, locals())
        self.level_names = level_names(num_levels)
        self.code_shapes = tuple(tuple(x.shape[1:3]) for x in as_list(encoder.output))
        self.encoder, self.decoder, self.quantizers = encoder, decoder, levels.quantizers
        # The same layers, with all that training needs.
        self.training_graph = keras.Model(images, outputs, name="training_graph")
        self._levels = levels
        self._decoders, self._corrections = levels.decoders, levels.corrections
        self._mse = EpochMean(name="reconstruction_mse")
        self._commitment = EpochMean(name="commitment_loss")
        self._code_metrics = [
            [kind(size, name=f"{level}_{what}") for what, kind in _CODE_METRICS.items()]
            for level, size in zip(self.level_names, num_embeddings, strict=True)
        ]
        self._pixel_bits = None
        if reconstruction_loss == "discretized_logistic":
            self._pixel_bits = BitsPerDim(int(np.prod(image_shape)), name="pixel_bits_per_dim")
        self._encode = compile_function(self, self.encode_tensors)
        self._decode = compile_function(self, self.decode_tensors)

    own_loss = (
        "its `reconstruction_loss` says what it learns by: 'mse', 'l1' or 'discretized_logistic'"
    )

    @property
    def code_weights(self):
        """The weights that decide the codes of an image: all but the finest decoder's."""
        return [weight for layer in self._deciding_layers() for weight in layer.weights]

    def _deciding_layers(self):
        coarser = self._decoders[:-1] if self.condition_on_coarser else []
        return [self.encoder, *self.quantizers, *self._corrections, *coarser]

    def encode_tensors(self, images):
        """Encode a batch of images within a graph.

        Args:
            images: tensor `[B, H, W, C]`, pixels in [0, 255].

        Returns:
            Tuple of int32 tensors `[B, H_l, W_l]`, coarse to fine.
        """
        features = as_list(self.encoder(ops.cast(images, "float32"), training=False))
        codes = []

        def quantize(level, coarser):
            quantizer = self.quantizers[level]
            codes.append(quantizer.encode(self._levels.residual(features, level, coarser)))
            return quantizer.embed_codes(codes[-1])

        self._levels.down(quantize)
        return tuple(codes)

    def decode_tensors(self, codes):
        """Decode a batch of codes within a graph.

        Args:
            codes: int32 tensors `[B, H_l, W_l]`, coarse to fine.

        Returns:
            float32 tensor `[B, H, W, C]`, pixels in [0, 255].
        """
        quantized = [q.embed_codes(c) for q, c in zip(self.quantizers, codes, strict=True)]
        return signal_to_pixels(self.decoder(quantized, training=False))

    def encode(self, images, batch_size=64):
        """Encode images as codes.

        Args:
            images: array `[N, H, W, C]`, pixels in [0, 255], uint8 or float.
            batch_size: images encoded at a time, rounded up to a power of two.

        Returns:
            Tuple of int32 arrays `[N, H_l, W_l]`, coarse to fine.

        Raises:
            ValueError: if the images do not fit the model.
        """
        images = checks.images(images, self.image_shape)
        return run_in_chunks(self._encode, images, limit=batch_size)

    def decode(self, codes, batch_size=64):
        """Decode codes as images.

        Args:
            codes: integer arrays `[N, H_l, W_l]`, one a level, coarse to fine.
            batch_size: images decoded at a time, rounded up to a power of two.

        Returns:
            float32 array `[N, H, W, C]`, pixels in [0, 255].

        Raises:
            ValueError: if the codes do not fit the model.
        """
        return run_in_chunks(self._decode, self.check_codes(codes), limit=batch_size)

    def fix_codes(self, fixed=True, replaced=0.0):
        """Let training change nothing that decides the codes: only the finest decoder learns.

        The codes of an image then stay what they are, and so does their likelihood under a prior,
        while the reconstruction goes on getting better. Call `compile` afterwards.

        Args:
            fixed: False to let everything learn again.
            replaced: share of the codes, in [0, 1), for which in training a near neighbour of the
                codebook stands, so that the decoder forgives a prior that is nearly right.

        Raises:
            ValueError: if `replaced` is out of its range.
        """
        for quantizer in self.quantizers:
            quantizer.replace_codes(replaced if fixed else 0.0)
        # The coarser decoders are fixed too where they decide no code: one that moves would be
        # told from what the finest one has learned of it.
        for layer in {*self._deciding_layers(), *self._decoders[:-1]}:
            layer.trainable = not fixed

    def export(self, filepath, format="tf_saved_model", verbose=None, input_signature=None):
        """Write files that need neither Keras nor this package; see `export_vqvae`.

        Args:
            filepath: folder to write, which must not exist: for TensorFlow Serving the number of a
                version, such as `"savedmodels/vqvae/1"`.
            format: "tf_saved_model"; or "onnx", "openvino" or "litert", each a file a signature.
            verbose: taken for Keras's sake; nothing is printed.
            input_signature: must be left out: the signatures are the model's own.

        Raises:
            ValueError: if `filepath` exists or names a file, the format is unknown or cannot hold
                the model, or an argument is another.
            ModuleNotFoundError: without the package that writes the format.
        """
        from keras_vqvae2.export.formats import export_vqvae

        checks.export_signature(input_signature)
        export_vqvae(self, filepath, format)

    def check_codes(self, codes):
        """Return codes as a tuple of int32 arrays, or raise a ValueError for wrong ones."""
        return checks.levels(codes, self.code_shapes, self.num_embeddings, self.level_names)

    def check_data(self, batch, name):
        """Raise a ValueError if a batch for `fit` or `evaluate` does not fit the model."""
        images, target, _ = _unpack(batch, name)
        checks.images(images, self.image_shape, name)
        _check_target(target, np.shape(images))

    def unpack(self, data):
        """Return the images and the sample weights of what a dataset gives; labels are ignored.

        With images as targets, of a VQ-VAE-2 that learns to take noise away, the images come as a
        pair with them.
        """
        images, target, sample_weight = _unpack(data)
        if target is not None and len(target.shape) == len(images.shape):
            images = (images, target)
        return images, sample_weight

    def call_inputs(self, inputs):
        """Return the images alone."""
        return _images_and_target(inputs)[0]

    def compute_outputs(self, inputs, training):
        """Run the graph with all that the loss and the metrics need."""
        images, _ = _images_and_target(inputs)
        return self.training_graph(images, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the reconstruction loss plus the weighted commitment losses, a scalar."""
        if self.reconstruction_loss == "discretized_logistic":
            error = y_pred["pixel_nats"] / self._pixel_bits.num_dimensions
        else:
            error_of = {"mse": squared_error, "l1": absolute_error}[self.reconstruction_loss]
            _, target = _images_and_target(x)
            error = error_of(pixels_to_signal(target), y_pred["signal"])
        return weighted_mean(error + sum(y_pred["commitment_losses"]), sample_weight)

    def update_metrics(self, x, outputs, sample_weight):
        """Update the model's own metrics with a batch."""
        signal = outputs["signal"]
        if self._pixel_bits is not None:
            self._pixel_bits.update_state(outputs["pixel_nats"], sample_weight)
            # Its means may lie far beyond the range: the outermost levels take all that does.
            signal = ops.clip(signal, -1.0, 1.0)
        _, target = _images_and_target(x)
        self._mse.update_state(squared_error(pixels_to_signal(target), signal), sample_weight)
        self._commitment.update_state(sum(outputs["commitment_losses"]), sample_weight)
        for codes, metrics in zip(outputs["codes"], self._code_metrics, strict=True):
            for metric in metrics:
                metric.update_state(codes)
        return outputs["reconstruction"]

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Update the metrics of `compile`, which compare the reconstruction with the images."""
        images, target = _images_and_target(x)
        return super().compute_metrics(images, ops.cast(target, "float32"), y_pred, sample_weight)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Build the model that `get_config` describes."""
        # Files of before an option do not name it: then there was no choice.
        return cls(**{"upsampling": "transposed", "clipping": "hard", **config})


RECONSTRUCTION_LOSSES = ("mse", "l1", "discretized_logistic")
_CODE_METRICS = {"usage": CodebookUsage, "perplexity": Perplexity}


def _sizes(name, value, num_levels):
    """A positive integer a level."""
    values = checks.per_level(name, value, num_levels)
    return tuple(checks.positive_int(name, size) for size in values)


def _images_and_target(inputs):
    """What is encoded and what is to come of it: the same, unless targets were given."""
    return inputs if isinstance(inputs, tuple) else (inputs, inputs)


def _unpack(data, name="x"):
    """Images, targets or labels, and sample weights of a batch; images by their name in one."""
    images, target, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if isinstance(images, dict):
        # As TensorFlow Datasets gives them, with labels and much else beside.
        found = [key for key in ("image", "images") if key in images]
        if len(found) != 1:
            raise ValueError(
                f"`{name}` must have its images under 'image' or 'images' where batches are "
                f"dictionaries. Received: the keys {sorted(images)}"
            )
        images = images[found[0]]
    return images, target, sample_weight


def _check_target(target, shape):
    """Refuse what is neither targets of the images' shape nor labels, a number an image."""
    if target is None or isinstance(target, dict):
        return
    if tuple(np.shape(target)) not in (tuple(shape), tuple(shape[:1]), (*shape[:1], 1)):
        raise ValueError(
            "`y` must be images to be reconstructed, of the shape of `x`, or labels, which are not "
            f"looked at. Received: shapes y={np.shape(target)}, x={tuple(shape)}"
        )


def _strides(strides, num_levels, image_shape):
    if strides is None:
        strides = (2,) * (num_levels - 1) + (4,)
    if isinstance(strides, np.ndarray):
        strides = strides.tolist()
    if (
        not isinstance(strides, (tuple, list))
        or len(strides) != num_levels
        or any(not isinstance(s, (int, np.integer)) or s < 2 or s & (s - 1) for s in strides)
    ):
        raise ValueError(
            f"`strides` must be {num_levels} powers of two of at least 2, one a level, coarse to "
            f"fine. Received: strides={strides!r}"
        )
    strides = tuple(int(stride) for stride in strides)
    total = int(np.prod(strides))
    if image_shape[0] % total or image_shape[1] % total:
        raise ValueError(
            f"`image_shape` must have a height and a width divisible by the total stride {total} "
            f"of num_levels={num_levels} with strides {strides}. "
            f"Received: image_shape={image_shape}"
        )
    return strides
