"""A trained VQ-VAE-2 and its prior: images out."""

import secrets

import keras
import numpy as np
from keras import ops

from keras_vqvae2 import checks
from keras_vqvae2.models.presets import Presets
from keras_vqvae2.ops import to_uint8
from keras_vqvae2.sampling import compile_function, request_noise, run_in_chunks, sample_request
from keras_vqvae2.sampling.noise import split_seed


@keras.saving.register_keras_serializable("keras_vqvae2")
class ImageGenerator(Presets, keras.Model):
    """Generates, completes, reconstructs and scores images.

    Calling the model reconstructs images as `vqvae` does. Image `i` of a call depends on
    `(seed, i)` and its own label alone: `generate(8, seed=3)` is the start of
    `generate(64, seed=3)`.

    Args:
        vqvae: a trained `VQVAE2`.
        prior: a `HierarchicalPrior` over its codes.
        sampling: dictionary of numbers, of `SamplingOptions`: how this model is best sampled, which
            holds where a caller says nothing; None for the distribution as it is.
        name: of the model.

    Raises:
        ValueError: if the grids or codebooks of the two differ, or an option is out of its range.

    Example:

    >>> from keras_vqvae2.models import VQVAE2, HierarchicalPrior
    >>> vqvae = VQVAE2((16, 16, 3), filters=16, embedding_dim=8, num_embeddings=32)
    >>> prior = HierarchicalPrior.from_vqvae(vqvae, filters=16, num_blocks=2)
    >>> model = ImageGenerator(vqvae, prior)
    >>> images = model.generate(4, seed=0)
    >>> images.shape, images.dtype.name, model.log_prob(images).shape
    ((4, 16, 16, 3), 'uint8', (4,))
    """

    def __init__(self, vqvae, prior, sampling=None, name=None):
        for key in ("code_shapes", "num_embeddings"):
            if tuple(getattr(vqvae, key)) != tuple(getattr(prior, key)):
                raise ValueError(
                    f"`prior` must have the {key} of `vqvae`. Received: "
                    f"{getattr(prior, key)} and {getattr(vqvae, key)}"
                )
        super().__init__(name=name)
        self.vqvae = vqvae
        self.prior = prior
        self.sampling = _recommended(checks.options("sampling", sampling), prior)
        self.built = True
        self._generate = compile_function(self, self.generate_tensors)
        self._generate_random = compile_function(self, self.generate_random_tensors)
        self._reconstruct = compile_function(self, self.reconstruct_tensors)
        self._log_prob = compile_function(self, self.log_prob_tensors)
        self._complete = compile_function(self, self.complete_tensors)

    @property
    def image_shape(self):
        """`(H, W, C)` of the images."""
        return self.vqvae.image_shape

    @property
    def label_names(self):
        """A name for each class, or None."""
        return self.prior.label_names

    @property
    def num_classes(self):
        """The number of class labels; None if the prior is unconditional."""
        return self.prior.num_classes

    def call(self, inputs, training=None):
        return self.vqvae(inputs, training=training)

    def generate(
        self,
        num_samples,
        labels=None,
        seed=None,
        candidates=1,
        score_fn=None,
        batch_size=64,
        callback=None,
        **options,
    ):
        """Generate images: codes from the prior, coarse to fine, then the decoder.

        With `candidates=N` each image is the best of `N`: candidate `c` is what the seed
        `seed + c * 2**32` gives, in 64 bits. Only the best so far is kept while they are drawn.

        Args:
            num_samples: how many images.
            labels: numbers or names `[num_samples]`, or one, if the prior is by class; -1 or None
                for no class, if it was trained with `label_dropout`.
            seed: integer; None for another result at each call.
            candidates: images drawn for each image returned.
            score_fn: callable `(images uint8 [B, H, W, C], labels int32 [B] or None) -> [B]`, where
                higher is better; None for the log-likelihood of the codes.
            batch_size: images generated at a time, a power of two.
            callback: callable `(done, total)` after each chunk of each candidate, counted in
                images; or None.
            **options: of `SamplingOptions`: `temperature`, `top_k`, `top_p`, `guidance`; what is
                left out is that of the model's `sampling`.

        Returns:
            uint8 array `[num_samples, H, W, C]`.

        Raises:
            ValueError: if an argument is out of its range.
        """
        candidates = checks.positive_int("candidates", candidates)
        labels = self.prior.check_labels(labels, num_samples)
        low, high = split_seed(secrets.randbits(32) if seed is None else seed)
        best = None
        for candidate in range(candidates):
            seed = (low + ((high + candidate) << 32)) % 2**64
            request = self._request(num_samples, seed, options)
            images, scores = run_in_chunks(
                self._generate,
                {"request": request, "labels": labels},
                limit=batch_size,
                callback=_count_from(candidate * num_samples, candidates * num_samples, callback),
            )
            if candidates == 1:
                return images
            if score_fn is not None:
                scores = np.asarray(score_fn(images, labels))
                if scores.shape != (num_samples,):
                    raise ValueError(
                        f"`score_fn` must return one score an image, [{num_samples}]. "
                        f"Received: shape={scores.shape}"
                    )
            if best is None:
                best, best_scores = images, scores
            else:
                better = scores > best_scores
                best[better], best_scores = images[better], np.maximum(scores, best_scores)
        return best

    def sample_from_noise(self, noise, labels=None, batch_size=64, callback=None, **options):
        """Generate images of given noise, in place of a seed's, and their log-likelihood.

        Of `prior.noise(num_samples, seed)` they are those of `generate(num_samples, seed=seed)`; of
        `sampling.noise_walk` between two seeds', pictures on a way from one to the other.

        Args:
            noise: tuple of float arrays `[B, H_l, W_l]` in [0, 1), coarse to fine.
            labels: as of `generate`.
            batch_size: images generated at a time, a power of two.
            callback: callable `(done, total)` after each chunk, or None.
            **options: as of `generate`.

        Returns:
            `(images, log_prob)`: uint8 array `[B, H, W, C]`, and the log-likelihood of the codes
            that they were decoded from, float32 `[B]`, nats, whatever the options.

        Raises:
            ValueError: if an argument does not fit the model.
        """
        noise = checks.noise(noise, self.prior.code_shapes, self.prior.level_names)
        labels = self.prior.check_labels(labels, len(noise[0]))
        options = self._request(len(noise[0]), 0, options)["options"]
        rows = {"request": {"options": options, "uniforms": noise}, "labels": labels}
        return run_in_chunks(self._generate, rows, limit=batch_size, callback=callback)

    def generate_random(self, num_samples, seed=None, batch_size=64, callback=None):
        """Decode uniformly random codes: what the decoder gives without a prior.

        Args:
            num_samples: how many images.
            seed: integer; None for another result at each call.
            batch_size: images decoded at a time, a power of two.
            callback: callable `(done, total)` after each chunk, or None.

        Returns:
            uint8 array `[num_samples, H, W, C]`.
        """
        request = sample_request(num_samples, seed)
        return run_in_chunks(self._generate_random, request, limit=batch_size, callback=callback)

    def reconstruct(self, images, batch_size=64):
        """Encode images as codes and decode those.

        Args:
            images: array `[B, H, W, C]`, pixels in [0, 255], uint8 or float.
            batch_size: images at a time, a power of two.

        Returns:
            uint8 array `[B, H, W, C]`.

        Raises:
            ValueError: if the images do not fit the model.
        """
        images = checks.images(images, self.image_shape)
        return run_in_chunks(self._reconstruct, images, limit=batch_size)

    def log_prob(self, images, labels=None, batch_size=64):
        """Return the log-likelihood of the codes of images, the total over the levels.

        It is the likelihood of the codes, not of the pixels: many images share the same codes.

        Args:
            images: array `[B, H, W, C]`, pixels in [0, 255], uint8 or float.
            labels: as of `generate`.
            batch_size: images at a time, a power of two.

        Returns:
            float32 array `[B]`, nats.

        Raises:
            ValueError: if an argument does not fit the model.
        """
        images = checks.images(images, self.image_shape)
        labels = self.prior.check_labels(labels, len(images))
        rows = {"images": images, "labels": labels}
        return run_in_chunks(self._log_prob, rows, limit=batch_size)

    def complete(
        self,
        images,
        mask,
        labels=None,
        seed=None,
        batch_size=64,
        callback=None,
        **options,
    ):
        """Keep what is known of images and sample the rest; outpainting is the same call.

        It works on codes, at every level: a code is known when all of its pixels are. Known codes
        are forced in place; each other code is drawn given the codes before it in raster
        order and the coarser codes that cover it and them, or all coarser codes where the prior has
        a conditioning stack, exactly as the prior conditions.

        What raster order cannot see: a code is drawn without regard to known codes of its own level
        that come after it, to its right or below. So a hole is continued from above and from the
        left, and may not meet what lies beneath it, while a missing lower half is completed
        exactly. The image is decoded as a whole: known pixels come back as their reconstruction.

        Pixels that are not known are not looked at: the mean of the known ones takes their place
        in the encoder, whose receptive field reaches beyond a code's own pixels.

        Args:
            images: array `[B, H, W, C]`, pixels in [0, 255], uint8 or float.
            mask: bool array `[H, W]` or `[B, H, W]`: true where the pixel is known.
            labels: as of `generate`.
            seed: integer; None for another result at each call.
            batch_size: images at a time, a power of two.
            callback: callable `(done, total)` after each chunk, or None.
            **options: as of `generate`.

        Returns:
            uint8 array `[B, H, W, C]`. With nothing known it equals `generate`, with everything
            known `reconstruct`.

        Raises:
            ValueError: if an argument does not fit the model.
        """
        images = checks.images(images, self.image_shape)
        mask = checks.mask(mask, images.shape[:3])
        labels = self.prior.check_labels(labels, len(images))
        request = self._request(len(images), seed, options)
        rows = {"request": request, "images": images, "mask": mask, "labels": labels}
        return run_in_chunks(self._complete, rows, limit=batch_size, callback=callback)

    def export(self, filepath, format="tf_saved_model", verbose=None, input_signature=None):
        """Write files that need neither Keras nor this package; see `export_generator`.

        Args:
            filepath: folder to write, which must not exist: for TensorFlow Serving the number of a
                version, such as `"savedmodels/emoji32/1"`.
            format: "tf_saved_model"; or "onnx", "openvino" or "litert", each a file a signature.
            verbose: taken for Keras's sake; nothing is printed.
            input_signature: must be left out: the signatures are the model's own.

        Raises:
            ValueError: if `filepath` exists or names a file, the format is unknown or cannot hold
                the model, or an argument is another.
            ModuleNotFoundError: without the package that writes the format.
        """
        from keras_vqvae2.export.formats import export_generator

        checks.export_signature(input_signature)
        export_generator(self, filepath, format)

    def quantize(self, mode, *args, **kwargs):
        """Refuse Keras's quantization of weights, as both of the models do."""
        self.vqvae.quantize(mode, *args, **kwargs)

    def _request(self, num_samples, seed, options):
        return self.prior.request(num_samples, seed, **{**self.sampling, **options})

    def generate_tensors(self, rows):
        """Generate within a graph: `(images uint8 [B, H, W, C], log_prob float32 [B])`."""
        codes, log_prob = self.prior.sample_tensors(rows["request"], rows["labels"])
        return to_uint8(self.vqvae.decode_tensors(codes)), log_prob

    def generate_random_tensors(self, request):
        """Decode random codes within a graph: uint8 `[B, H, W, C]`."""
        codes = tuple(
            ops.cast(request_noise(request, shape, stream) * size, "int32")
            for stream, (shape, size) in enumerate(
                zip(self.vqvae.code_shapes, self.vqvae.num_embeddings, strict=True)
            )
        )
        return to_uint8(self.vqvae.decode_tensors(codes))

    def reconstruct_tensors(self, images):
        """Reconstruct within a graph: uint8 `[B, H, W, C]`."""
        return to_uint8(self.vqvae.decode_tensors(self.vqvae.encode_tensors(images)))

    def log_prob_tensors(self, rows):
        """Score within a graph: float32 `[B]`."""
        codes = self.vqvae.encode_tensors(rows["images"])
        return sum(self.prior.log_prob_tensors(self.prior.inputs_of(codes, rows["labels"])))

    def complete_tensors(self, rows):
        """Complete within a graph: uint8 `[B, H, W, C]`."""
        mask = ops.cast(rows["mask"], "float32")[..., None]
        images = ops.cast(rows["images"], "float32")
        total = ops.sum(images * mask, axis=(1, 2), keepdims=True)
        mean = total / ops.maximum(ops.sum(mask, axis=(1, 2), keepdims=True), 1.0)
        codes = self.vqvae.encode_tensors(mask * images + (1.0 - mask) * mean)
        known = []
        for level, (height, width) in zip(codes, self.vqvae.code_shapes, strict=True):
            cells = (-1, height, mask.shape[1] // height, width, mask.shape[2] // width)
            known.append((level, ops.min(ops.reshape(mask, cells), axis=(2, 4)) > 0))
        codes, _ = self.prior.sample_tensors(rows["request"], rows["labels"], known)
        return to_uint8(self.vqvae.decode_tensors(codes))

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            "vqvae": keras.saving.serialize_keras_object(self.vqvae),
            "prior": keras.saving.serialize_keras_object(self.prior),
            "sampling": dict(self.sampling),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Build the model that `get_config` describes."""
        parts = {
            key: keras.saving.deserialize_keras_object(config[key], custom_objects=custom_objects)
            for key in ("vqvae", "prior")
        }
        return cls(**parts, sampling=config.get("sampling"), name=config["name"])


def _recommended(sampling, prior):
    """The checked dictionary of sampling options, one number each: a server has no levels."""
    for name, value in sampling.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(
                f"`sampling` must hold a number for each option. Received: {name}={value!r}"
            )
    prior.request(1, seed=0, **sampling)
    return dict(sampling)


def _count_from(start, total, callback):
    """A callback that counts on from `start`, towards `total`."""
    if callback is None:
        return None
    return lambda done, _: callback(start + done, total)
