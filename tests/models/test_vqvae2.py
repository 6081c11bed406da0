import keras
import numpy as np
import pytest
from tiny_models import tell_images_apart

from keras_vqvae2.layers import NearestConv2D, SoftClip
from keras_vqvae2.models import VQVAE2, HierarchicalPrior


def value(tensor):
    return keras.ops.convert_to_numpy(tensor).astype("float64")


# Every number of levels, sizes that are not square and not a power of two, grey and colour.
SIZES = {
    "one level": ({"image_shape": (8, 4, 1), "num_levels": 1}, ((2, 1),)),
    "28x20 grey": ({"image_shape": (28, 20, 1), "strides": (2, 2)}, ((7, 5), (14, 10))),
    "64x48 colour": (
        {"image_shape": (64, 48, 3), "num_levels": 3, "num_embeddings": (4, 8, 16)},
        ((4, 3), (8, 6), (16, 12)),
    ),
}


@pytest.mark.parametrize("name", list(SIZES))
def test_levels_and_sizes(name):
    options, code_shapes = SIZES[name]
    model = VQVAE2(**{"num_embeddings": 8, **options}, filters=4, num_residual_blocks=0)
    images = np.random.default_rng(0).integers(0, 256, (3, *options["image_shape"]), "uint8")
    assert model.code_shapes == code_shapes
    model.compile("adam")
    logs = model.fit(images, batch_size=3, verbose=0).history
    usage = [key for key in logs if key.endswith("_usage")]
    assert usage == sorted(f"{level}_usage" for level in model.level_names)
    codes = model.encode(images)
    assert [level.shape for level in codes] == [(3, *shape) for shape in code_shapes]
    for level, size in zip(codes, model.num_embeddings, strict=True):
        assert level.dtype == np.int32
        assert level.min() >= 0
        assert level.max() < size
    # Once whole, once by way of the codes; pixels of up to 255 from some ten float32 layers.
    np.testing.assert_allclose(model.decode(codes), model(images), atol=2e-2)


def test_training_improves(trained):
    history = trained.history.history
    assert history["reconstruction_mse"][-1] < 0.8 * history["reconstruction_mse"][0]
    assert history["loss"][-1] < 0.8 * history["loss"][0]


def test_codes_are_the_quantizers_of_the_encoder(trained, images):
    features = trained.encoder(images.astype("float32"))
    for x, quantizer, codes in zip(
        features, trained.quantizers, trained.encode(images), strict=True
    ):
        flat, codebook = value(x).reshape(-1, 4), value(quantizer.codebook)
        distances = np.square(flat[:, None] - codebook).sum(axis=-1)
        np.testing.assert_array_equal(codes.ravel(), distances.argmin(axis=1))


@pytest.fixture(scope="module")
def coarse_to_fine(images):
    """Three levels, each finer one given the coarser."""
    keras.utils.set_random_seed(1)
    model = VQVAE2(
        (8, 8, 3),
        filters=8,
        num_residual_blocks=1,
        num_levels=3,
        embedding_dim=4,
        num_embeddings=4,
        strides=(2, 2, 2),
        condition_on_coarser=True,
        reconstruction_loss="discretized_logistic",
        quantizer_options={"metric": "cosine"},
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    model.fit(images, epochs=2, batch_size=8, verbose=0)
    return model


def test_finer_codes_are_those_of_what_the_coarser_leave(coarse_to_fine, images):
    model = coarse_to_fine
    codes = model.encode(images)
    graph = model.training_graph(images.astype("float32"), training=False)
    for level, expected in zip(codes, graph["codes"], strict=True):
        np.testing.assert_array_equal(level, expected)
    np.testing.assert_allclose(model.decode(codes), model(images), atol=2e-2)
    # By hand: the finer features, corrected by the decoded coarser levels.
    features = model.encoder(images.astype("float32"))
    embedded = [q.embed_codes(c) for q, c in zip(model.quantizers, codes, strict=True)]
    coarser = model.get_layer("level_0_decoder")(embedded[0])
    correction = model.get_layer("level_1_correction")(coarser)
    by_hand = model.quantizers[1].encode(features[1] + correction)
    np.testing.assert_array_equal(codes[1], by_hand)
    # Another point, if not always another code.
    uncorrected = keras.ops.convert_to_numpy(features[1])
    assert np.abs(correction).mean() > 1e-3 * np.abs(uncorrected).mean()


def test_with_fixed_codes_only_the_finest_decoder_learns(coarse_to_fine, images):
    model = clone(coarse_to_fine)
    codes = model.encode(images)
    errors = recompute(model, images)[0]
    model.fix_codes()
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(images, epochs=4, batch_size=8, verbose=0)
    assert recompute(model, images)[0].mean() < errors.mean()
    for a, b in zip(model.encode(images), codes, strict=True):
        np.testing.assert_array_equal(a, b)
    model.fix_codes(False)
    assert len(model.trainable_variables) == len(coarse_to_fine.trainable_variables)


@pytest.mark.long
def test_with_replaced_codes_the_decoder_forgives_near_misses(coarse_to_fine, images):
    codes = coarse_to_fine.encode(images)
    rng = np.random.default_rng(0)
    wrong = []  # of each level half are one of the eight nearest other codes
    for level, quantizer in zip(codes, coarse_to_fine.quantizers, strict=True):
        book = keras.ops.convert_to_numpy(quantizer.codebook)
        order = np.square(book[:, None] - book[None]).sum(-1).argsort(axis=-1)
        near = order[level, rng.integers(1, min(9, len(book)), level.shape)]
        wrong.append(np.where(rng.random(level.shape) < 0.5, near, level))
    errors = {}
    for replaced in (0.0, 0.5):
        model = clone(coarse_to_fine)
        keras.utils.set_random_seed(0)
        model.fix_codes(replaced=replaced)
        model.compile(keras.optimizers.Adam(1e-2))
        model.fit(images, epochs=30, batch_size=8, verbose=0)
        for a, b in zip(model.encode(images), codes, strict=True):
            np.testing.assert_array_equal(a, b)
        errors[replaced] = np.square(model.decode(wrong) - images.astype("float32")).mean()
    assert errors[0.5] < errors[0.0]
    with pytest.raises(ValueError, match=r"`share` must .*Received: share=1"):
        model.fix_codes(replaced=1)


def test_the_discretized_logistic_bounds_the_bits_of_a_pixel(coarse_to_fine, images):
    logs = coarse_to_fine.evaluate(images, verbose=0, return_dict=True)
    outputs = coarse_to_fine.training_graph(images.astype("float32"), training=False)
    nats = value(outputs["pixel_nats"]) / 192
    assert logs["pixel_bits_per_dim"] == pytest.approx(nats.mean() / np.log(2), rel=1e-4)
    expected = nats.mean() + logs["commitment_loss"]
    assert logs["loss"] == pytest.approx(expected, rel=1e-4)
    # The error is that of the pixels: means beyond the range are clipped.
    error = np.square((value(outputs["reconstruction"]) - images) / 127.5).mean()
    assert logs["reconstruction_mse"] == pytest.approx(error, rel=1e-4)


def test_the_l1_loss_is_the_mean_absolute_error(trained, images):
    model = VQVAE2.from_config({**trained.get_config(), "reconstruction_loss": "l1"})
    model.set_weights(trained.get_weights())
    model.compile()
    logs = model.evaluate(images, batch_size=24, verbose=0, return_dict=True)
    signal = value(model.training_graph(images.astype("float32"))["signal"])
    expected = np.abs(signal - (images / 127.5 - 1.0)).mean() + logs["commitment_loss"]
    assert logs["loss"] == pytest.approx(expected, rel=1e-4)


def test_any_dtype_and_batch_size_give_the_same_codes(trained, images):
    codes = trained.encode(images)
    for other in (images.astype("float64"), images.astype("int64")):
        for a, b in zip(trained.encode(other, batch_size=8), codes, strict=True):
            np.testing.assert_array_equal(a, b)
    one = trained.encode(images[:1])
    np.testing.assert_array_equal(one[1], codes[1][:1])
    reconstruction = trained.decode(codes, batch_size=16)
    assert reconstruction.dtype == np.float32
    assert reconstruction.min() >= 0
    assert reconstruction.max() <= 255
    np.testing.assert_allclose(reconstruction, trained(images), atol=1e-2)


def recompute(model, images):
    """Errors, commitments and pixel errors of each image, by NumPy from codes and features."""
    signal = images / 127.5 - 1.0
    quantized = [
        q.embed_codes(c) for q, c in zip(model.quantizers, model.encode(images), strict=True)
    ]
    output = value(model.decoder(quantized))
    errors = np.square(output - signal).mean(axis=(1, 2, 3))
    features = model.encoder(images.astype("float32"))
    commitment = sum(
        0.25 * np.square(value(x) - value(e)).mean(axis=(1, 2, 3))
        for x, e in zip(features, quantized, strict=True)
    )
    pixels = np.abs(np.clip((output + 1) * 127.5, 0, 255) - images).mean(axis=(1, 2, 3))
    return errors, commitment, pixels


def test_evaluate_equals_numpy_over_uneven_batches(trained, images):
    errors, commitment, pixels = recompute(trained, images)
    logs = trained.evaluate(images, batch_size=9, verbose=0, return_dict=True)
    # Means over 24 images of float32 results.
    assert logs["loss"] == pytest.approx((errors + commitment).mean(), rel=1e-4)
    assert logs["reconstruction_mse"] == pytest.approx(errors.mean(), rel=1e-4)
    assert logs["commitment_loss"] == pytest.approx(commitment.mean(), rel=1e-3)
    assert logs["mae"] == pytest.approx(pixels.mean(), rel=1e-4)
    for level, codes in zip(("top", "bottom"), trained.encode(images), strict=True):
        p = np.bincount(codes.ravel(), minlength=2) / codes.size
        perplexity = np.prod(np.where(p > 0, p, 1.0) ** -p)
        assert logs[f"{level}_perplexity"] == pytest.approx(perplexity, rel=1e-5)
        assert logs[f"{level}_usage"] == (p > 0).mean()


def test_sample_weights_count_without_and_with_targets(trained, images):
    errors, commitment, _ = recompute(trained, images)
    weights = np.random.default_rng(0).random(24)
    expected = {
        "loss": (weights * (errors + commitment)).mean(),
        "reconstruction_mse": (weights * errors).sum() / weights.sum(),
    }
    for targets in (None, np.zeros(24)):
        logs = trained.evaluate(
            images, targets, sample_weight=weights, batch_size=24, verbose=0, return_dict=True
        )
        assert logs["loss"] == pytest.approx(expected["loss"], rel=1e-4)
        assert logs["reconstruction_mse"] == pytest.approx(expected["reconstruction_mse"], rel=1e-4)


def test_weights_of_zero_train_nothing_and_arrive_in_validation(trained, images):
    model = clone(trained)
    model.compile(keras.optimizers.SGD(1.0))
    before = [value(v) for v in model.trainable_variables]
    logs = model.fit(
        images,
        sample_weight=np.zeros(24),
        validation_data=(images, None, np.zeros(24)),
        batch_size=24,
        verbose=0,
    ).history
    for old, new in zip(before, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(value(new), old)
    assert logs["loss"] == [0.0]
    assert logs["val_loss"] == [0.0]


def clone(model):
    copy = VQVAE2.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy


def test_soft_clipping_bends_the_signal_and_changes_no_code(images):
    options = {"filters": 4, "num_residual_blocks": 0, "embedding_dim": 4, "num_embeddings": 8}
    hard = tell_images_apart(VQVAE2((8, 8, 3), clipping="hard", **options))
    soft = VQVAE2((8, 8, 3), **options)
    assert soft.clipping == "soft"
    soft.set_weights(hard.get_weights())
    cut, bent = (value(model.training_graph(images)["signal"]) for model in (hard, soft))
    assert np.abs(cut).max() > 0.9
    np.testing.assert_allclose(bent, value(SoftClip()(cut)), atol=1e-6)
    np.testing.assert_allclose(value(soft(images)), (bent.clip(-1, 1) + 1) * 127.5, atol=1e-3)
    for a, b in zip(hard.encode(images), soft.encode(images), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_model_of_before_clipping_was_an_option_cuts(trained):
    config = trained.get_config()
    del config["clipping"]
    assert VQVAE2.from_config(config).clipping == "hard"


def test_fit_is_deterministic_after_set_random_seed(images):
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        model = VQVAE2((8, 8, 3), filters=4, num_residual_blocks=0, num_levels=1, num_embeddings=4)
        model.compile("adam")
        model.fit(images, epochs=2, batch_size=8, verbose=0)
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_frozen_quantizers_keep_their_codebooks(trained, images):
    model = clone(trained)
    model.quantizers[0].trainable = False
    model.compile("sgd")
    before = [value(q.sums) for q in model.quantizers]
    model.fit(images, batch_size=24, verbose=0)
    np.testing.assert_array_equal(value(model.quantizers[0].sums), before[0])
    assert not np.array_equal(value(model.quantizers[1].sums), before[1])


def masked_taps(model):
    """How many parameters of masked taps a PixelCNN does not store."""
    missing = 0
    for layer in model._flatten_layers():
        if type(layer).__name__ == "MaskedConv2D":
            taps, inputs, outputs = layer.kernel.shape
            missing += (np.prod(layer.kernel_size) - taps) * inputs * outputs
    return missing


@pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
def test_the_default_is_of_the_specified_size(upsampling):
    vqvae = VQVAE2(upsampling=upsampling)
    assert vqvae.code_shapes == ((4, 4), (8, 8))
    assert vqvae.num_embeddings == (512, 512)
    assert [tuple(x.shape[1:]) for x in vqvae.encoder.outputs] == [(4, 4, 64), (8, 8, 64)]
    prior = HierarchicalPrior.from_vqvae(vqvae)
    priors = [p.count_params() + masked_taps(p) for p in prior.level_priors]
    decoder = vqvae.decoder.count_params()
    if upsampling == "nearest":
        # Its kernels have 9 taps where the specified transposed ones have 16.
        layers = [layer for decoder_ in vqvae._decoders for layer in decoder_.layers]
        upsampled = [layer for layer in layers if isinstance(layer, NearestConv2D)]
        assert len(upsampled) == 3
        decoder += sum(7 * layer.kernel.shape[2] * layer.kernel.shape[3] for layer in upsampled)
    sizes = [vqvae.encoder.count_params(), decoder, *priors]
    for size, specified in zip(sizes, (3e6, 3e6, 8e6, 8e6), strict=True):
        assert abs(size / specified - 1) < 0.1
    assert abs(sum(sizes) / 22e6 - 1) < 0.1


def test_config_describes_the_model():
    model = VQVAE2(
        (16, 8, 2),
        filters=6,
        num_residual_blocks=1,
        residual_filters=5,
        embedding_dim=(3, 4),
        num_embeddings=(5, 6),
        decay=0.9,
        commitment_cost=0.5,
        strides=(4, 2),
        quantizer_options={"restart_threshold": 0.0, "seed": 3},
        dtype="mixed_bfloat16",
        name="a_model",
    )
    copy = VQVAE2.from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    assert [v.shape for v in copy.variables] == [v.shape for v in model.variables]
    assert [q.get_config() for q in copy.quantizers] == [q.get_config() for q in model.quantizers]
    assert copy.quantizers[1].decay == 0.9
    assert copy.quantizers[1].restart_threshold == 0.0


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"image_shape": (28, 20, 1)}, r"divisible by the total stride 8 .*\(28, 20, 1\)"),
        ({"image_shape": (16, 20, 1)}, r"divisible by the total stride 8"),
        ({"image_shape": (16, 16)}, r"`image_shape` must be three .*image_shape=\(16, 16\)"),
        ({"image_shape": (16, 16, 0)}, r"Received: image_shape=\(16, 16, 0\)"),
        ({"num_levels": 0}, "`num_levels` must be .*Received: num_levels=0"),
        ({"filters": 5}, "`filters` must be even. Received: filters=5"),
        ({"strides": (2, 2, 2)}, r"`strides` must be 2 powers of two .*strides=\(2, 2, 2\)"),
        ({"strides": (2, 3)}, r"Received: strides=\(2, 3\)"),
        ({"strides": (1, 2)}, r"Received: strides=\(1, 2\)"),
        ({"embedding_dim": (4,)}, "`embedding_dim` must be one value or 2 of them"),
        ({"num_embeddings": (4, 4, 4)}, "`num_embeddings` must be one value or 2 of them"),
        ({"decay": 1.5}, r"`decay` must lie in \[0, 1\). Received: decay=1.5"),
        ({"commitment_cost": -1.0}, "`commitment_cost` must be at least 0"),
    ],
)
def test_wrong_arguments_are_named(kwargs, message):
    options = {"image_shape": (16, 16, 3), "filters": 4, "num_residual_blocks": 0}
    with pytest.raises(ValueError, match=message):
        VQVAE2(**{**options, **kwargs})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((2, 8, 8, 1)), r"`x` must have the shape \[B, 8, 8, 3\].*\(2, 8, 8, 1\)"),
        (np.zeros((8, 8, 3)), r"Received: shape=\(8, 8, 3\)"),
        (np.zeros((0, 8, 8, 3)), "`x` must hold at least one image"),
        (np.full((2, 8, 8, 3), 300.0), r"`x` must hold pixels in \[0, 255\]"),
        (np.full((2, 8, 8, 3), np.nan), "`x` must hold pixels in"),
        (np.zeros((2, 8, 8, 3), bool), "`x` must be uint8 or float pixels"),
        ((np.zeros((2, 8, 8, 3)), np.zeros(2)), "`x` must be one array of images"),
        (None, "`x` must be arrays or a dataset. Received: x=None"),
    ],
)
def test_wrong_data_is_named_before_training(trained, data, message):
    with pytest.raises(ValueError, match=message):
        trained.fit(data)
    with pytest.raises(ValueError, match=message):
        trained.evaluate(data)


def test_floats_in_the_unit_interval_are_warned_of(trained, images):
    with pytest.warns(UserWarning, match=r"pixels are expected in \[0, 255\]"):
        trained.encode(images / 255.0)


def test_wrong_images_and_codes_are_named(trained, images):
    top, bottom = trained.encode(images)
    with pytest.raises(ValueError, match=r"`images` must have the shape \[B, 8, 8, 3\]"):
        trained.encode(images[..., :1])
    with pytest.raises(ValueError, match=r"`codes of level 'top'` must lie in \[0, 2\)"):
        trained.decode((top + 2, bottom))
    with pytest.raises(ValueError, match="must be a tuple of 2 arrays"):
        trained.decode(bottom)


@pytest.mark.tensorflow_only
def test_tf_data_is_checked_and_read(trained, images):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(images).batch(24)
    logs = trained.evaluate(dataset, verbose=0, return_dict=True)
    assert logs == trained.evaluate(images, batch_size=24, verbose=0, return_dict=True)
    with pytest.raises(ValueError, match="`x` must hold at least one batch.*an empty dataset"):
        trained.fit(dataset.take(0))
    with pytest.raises(ValueError, match="`validation_data` must hold at least one batch"):
        trained.fit(images, validation_data=dataset.take(0))
    with pytest.raises(ValueError, match=r"`x` must have the shape \[B, 8, 8, 3\]"):
        trained.fit(dataset.map(lambda x: x[..., :1]))
