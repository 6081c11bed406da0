"""What people are used to from Keras: it works here, or a sentence says what to do."""

import keras
import numpy as np
import pytest
from tiny_models import randomize, tell_images_apart

from keras_vqvae2.datasets import CodeBatches, ImageBatches, extract_codes
from keras_vqvae2.models import VQVAE2, HierarchicalPrior, ImageGenerator, PixelCNN

RNG = np.random.default_rng(0)
CLEAN = np.kron(RNG.integers(0, 256, (8, 2, 2, 1)), np.ones((1, 4, 4, 1))).astype("uint8")
NOISY = np.clip(CLEAN + RNG.normal(0, 40, CLEAN.shape), 0, 255).astype("uint8")
LABELS = np.arange(8) % 2
CODES = RNG.integers(0, 4, (8, 2, 2))


def vqvae(**options):
    sizes = {"num_levels": 1, "embedding_dim": 2, "num_embeddings": 4, **options}
    return VQVAE2((8, 8, 1), 4, 0, **sizes)


def pixelcnn(**options):
    return PixelCNN((2, 2), 4, filters=4, num_blocks=1, **options)


@pytest.fixture(scope="module")
def fitted():
    model = vqvae()
    model.compile(keras.optimizers.SGD(0.01))
    model.fit(CLEAN, batch_size=8, verbose=0)
    return model


def test_a_loss_of_compile_is_refused_with_the_way_to_choose_one():
    with pytest.raises(ValueError, match="`loss` must be left out.*reconstruction_loss.*'mae'"):
        vqvae().compile("adam", "mae")
    with pytest.raises(ValueError, match="`loss` must be left out.*label_smoothing"):
        pixelcnn().compile(loss="sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="`loss_weights` must be left out"):
        HierarchicalPrior([pixelcnn()]).compile("adam", loss_weights=[1.0])


def test_a_compiled_model_comes_back_compiled(fitted, tmp_path):
    fitted.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, keras.optimizers.SGD)
    assert int(loaded.optimizer.iterations) == int(fitted.optimizer.iterations) > 0
    expected = fitted.evaluate(CLEAN, verbose=0, return_dict=True)
    assert loaded.evaluate(CLEAN, verbose=0, return_dict=True) == pytest.approx(expected)


def test_targets_are_what_is_reconstructed(fitted):
    """A denoising VQ-VAE: what is encoded is noisy, what is compared is clean."""
    signal = NOISY.astype("float32")
    reconstruction = keras.ops.convert_to_numpy(fitted(signal))
    expected = np.mean(np.square((reconstruction - CLEAN) / 127.5))
    fitted.compile(keras.optimizers.SGD(0.01), metrics=["mae"])
    logs = fitted.evaluate(NOISY, CLEAN, batch_size=8, verbose=0, return_dict=True)
    assert logs["reconstruction_mse"] == pytest.approx(expected, rel=1e-3)
    assert logs["mae"] == pytest.approx(np.abs(reconstruction - CLEAN).mean(), rel=1e-3)
    own = fitted.evaluate(NOISY, batch_size=8, verbose=0, return_dict=True)
    assert own["reconstruction_mse"] != pytest.approx(expected, rel=1e-2)


def test_training_follows_the_targets():
    histories = []
    for target in (CLEAN, 255 - CLEAN):
        keras.utils.set_random_seed(0)
        model = vqvae()
        model.compile(keras.optimizers.Adam(0.01))
        history = model.fit(CLEAN, target, batch_size=8, epochs=40, verbose=0).history
        histories.append(history["reconstruction_mse"])
        pixels = model.decode(model.encode(CLEAN))
        own, other = (np.square(pixels - x).mean() for x in (target, 255 - target))
        assert own < other
    assert all(history[-1] < history[0] for history in histories)


@pytest.mark.parametrize("y", [CLEAN[:, :4], RNG.normal(size=(8, 3)), CLEAN[:4]])
def test_targets_of_another_shape_are_refused(fitted, y):
    with pytest.raises(ValueError, match=r"`y` must be images to be reconstructed.*shapes y="):
        fitted.evaluate(CLEAN, y, verbose=0)


def test_labels_beside_images_are_not_looked_at(fitted):
    plain = fitted.evaluate(CLEAN, batch_size=8, verbose=0, return_dict=True)
    for data in ((CLEAN, LABELS), (ImageBatches((CLEAN, LABELS), 8),)):
        assert fitted.evaluate(*data, batch_size=8, verbose=0, return_dict=True) == plain


@pytest.mark.tensorflow_only
def test_batches_may_be_dictionaries_as_tensorflow_datasets_gives_them(fitted):
    import tensorflow as tf

    expected = fitted.evaluate(CLEAN, batch_size=8, verbose=0, return_dict=True)
    for key in ("image", "images"):
        data = tf.data.Dataset.from_tensor_slices({key: CLEAN, "label": LABELS}).batch(8)
        assert fitted.evaluate(data, verbose=0, return_dict=True) == expected
    other = tf.data.Dataset.from_tensor_slices({"picture": CLEAN}).batch(8)
    with pytest.raises(ValueError, match="under 'image' or 'images'.*keys .'picture'"):
        fitted.evaluate(other, verbose=0)
    with pytest.raises(ValueError, match="`images` must be an array, not a dataset.*extract_codes"):
        fitted.encode(tf.data.Dataset.from_tensor_slices(CLEAN).batch(8))


@pytest.mark.parametrize("kind", ["tf.data", "generator"])
def test_codes_are_extracted_of_arrays_alone(fitted, tmp_path, kind):
    if kind == "generator":
        data = (batch for batch in [CLEAN])
    else:
        data = pytest.importorskip("tensorflow").data.Dataset.from_tensor_slices(CLEAN).batch(8)
    with pytest.raises(ValueError, match="`data` must be ImageData.*put the batches together"):
        extract_codes(fitted, data, tmp_path / "codes")
    assert not (tmp_path / "codes").exists()


def test_a_generator_is_no_array(fitted):
    with pytest.raises(ValueError, match="`images` must be an array, not a dataset.*generator"):
        fitted.encode(batch for batch in [CLEAN])


def test_validation_data_may_be_a_list(fitted):
    expected = fitted.fit(CLEAN, validation_data=(CLEAN, LABELS), verbose=0, batch_size=8).history
    history = fitted.fit(CLEAN, validation_data=[CLEAN, LABELS], verbose=0, batch_size=8).history
    assert history.keys() == expected.keys()
    priors = HierarchicalPrior([pixelcnn(num_classes=2)])
    priors.compile("sgd")
    data = [(CODES,), LABELS]
    assert "val_loss" in priors.fit((CODES,), LABELS, validation_data=data, verbose=0).history


def test_a_callback_needs_no_list(fitted):
    epochs = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch))
    for data in (CLEAN, ImageBatches(CLEAN, 8)):
        fitted.fit(data, callbacks=callback, verbose=0)
    assert epochs == [0, 0]


def test_sizes_may_be_numpy_integers(tmp_path):
    two = np.int64(2)
    model = VQVAE2(
        np.array([8, 8, 1]), 2 * two, np.int32(0), num_levels=two, embedding_dim=two,
        num_embeddings=(np.int64(3), 4), strides=np.array([2, 2]),
    )  # fmt: skip
    prior = PixelCNN(np.array([2, 2]), 2 * two, filters=4 * two, num_blocks=np.int64(1))
    for one in (model, prior):
        one.save(tmp_path / "model.keras")
        copy = keras.saving.load_model(tmp_path / "model.keras")
        assert copy.get_config() == one.get_config()


def test_bare_codes_are_enough_without_a_condition():
    model = pixelcnn()
    model.compile("sgd")
    expected = model.evaluate({"codes": CODES}, verbose=0, return_dict=True)
    assert model.evaluate(CODES, verbose=0, return_dict=True) == expected
    model.fit(CODES, verbose=0)
    model = pixelcnn(num_classes=2)
    model.compile("sgd")
    with pytest.raises(ValueError, match="must be a dictionary with 'codes', 'labels'. Received"):
        model.fit(CODES)


def test_images_are_channels_last_whatever_keras_is_told():
    model = tell_images_apart(vqvae(num_levels=2, strides=(2, 2), condition_on_coarser=True))
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        other = VQVAE2.from_config(model.get_config())
        other.set_weights(model.get_weights())
        codes = other.encode(CLEAN)
        pixels = other.decode(codes)
    finally:
        keras.config.set_image_data_format(before)
    for one, expected in zip(codes, model.encode(CLEAN), strict=True):
        np.testing.assert_array_equal(one, expected)
    np.testing.assert_allclose(pixels, model.decode(codes), atol=1e-3)


def test_half_precision_variables_are_refused():
    keras.config.set_floatx("float16")
    try:
        for build in (vqvae, pixelcnn):
            with pytest.raises(
                ValueError, match="`dtype` must keep variables in float32.*floatx='float16'"
            ):
                build()
    finally:
        keras.config.set_floatx("float32")
    with pytest.raises(ValueError, match="Received: dtype='bfloat16'"):
        vqvae(dtype="bfloat16")


def test_quantized_weights_are_refused(fitted):
    generator = ImageGenerator(fitted, HierarchicalPrior([pixelcnn()]))
    for model in (fitted, generator.prior, pixelcnn(), generator):
        with pytest.raises(ValueError, match="`quantize` cannot be used.*mode='int8'"):
            model.quantize("int8")


@pytest.mark.tensorflow_only
def test_export_takes_keras_arguments_or_names_them(fitted, tmp_path):
    fitted.export(filepath=tmp_path / "1", format="tf_saved_model", verbose=False)
    assert (tmp_path / "1" / "saved_model.pb").exists()
    with pytest.raises(ValueError, match="`format` must be one of 'tf_saved_model'.*format='tf'"):
        fitted.export(tmp_path / "2", format="tf")
    with pytest.raises(ValueError, match="`input_signature` must be left out"):
        fitted.export(tmp_path / "2", input_signature=[])
    assert not (tmp_path / "2").exists()


@pytest.mark.parametrize("condition_on_coarser", [False, True])
def test_codes_stay_those_of_a_model_whose_decoder_learns_on(tmp_path, condition_on_coarser):
    options = {"num_levels": 2, "strides": (2, 2), "condition_on_coarser": condition_on_coarser}
    model = randomize(vqvae(**options))
    model.compile(keras.optimizers.SGD(0.1))
    extract_codes(model, CLEAN, tmp_path / "codes")
    model.fix_codes()
    model.compile(keras.optimizers.SGD(0.1))
    before = [weight.copy() for weight in model.get_weights()]
    model.fit(CLEAN, verbose=0, epochs=2)
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    assert CodeBatches(tmp_path / "codes", 8, vqvae=model).num_embeddings == (4, 4)
    model.fix_codes(False)
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(CLEAN, verbose=0)
    with pytest.raises(ValueError, match="were made by other weights"):
        CodeBatches(tmp_path / "codes", 8, vqvae=model)
