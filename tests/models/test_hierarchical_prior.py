import itertools
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from tiny_models import every_grid, pearson, randomize

from keras_vqvae2.losses import code_nll
from keras_vqvae2.models import VQVAE2, HierarchicalPrior, PixelCNN
from keras_vqvae2.sampling import (
    compile_function,
    draw_codes,
    request_noise,
    run_in_chunks,
    sample_request,
)


@pytest.fixture(scope="module")
def prior():
    """Grids 1x1 and 2x2, two codes a level: 2 * 16 codes of an image, for each of two classes."""
    model = HierarchicalPrior.from_code_shapes(
        ((1, 1), (2, 2)), 2, filters=8, num_blocks=1, num_classes=2
    )
    model.compile(keras.optimizers.SGD(0.1))
    return randomize(model, seed=1)


def every_image():
    pairs = list(itertools.product(every_grid((1, 1), 2), every_grid((2, 2), 2)))
    return tuple(np.stack(level) for level in zip(*pairs, strict=True))


@pytest.mark.parametrize("label", [0, 1])
def test_all_codes_of_both_levels_have_probability_one(prior, label):
    top, bottom = prior.log_prob(every_image(), labels=label)
    probabilities = np.exp(top.astype("float64") + bottom)
    # Five float32 log-probabilities near 1.
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-5)
    # Each level on its own: 16 bottoms given each top, and the top the same beside all of them.
    np.testing.assert_allclose(np.exp(bottom).reshape(2, 16).sum(axis=1), 1.0, atol=1e-5)
    assert np.ptp(top.reshape(2, 16), axis=1).max() < 1e-6
    assert probabilities.max() > 2 / 32
    # The bottom depends on the top, and the whole on the label.
    assert np.abs(np.diff(np.exp(bottom).reshape(2, 16), axis=0)).max() > 1e-2
    other = sum(prior.log_prob(every_image(), labels=1 - label))
    assert np.abs(np.exp(other) - probabilities).max() > 1e-3


def test_samples_have_the_frequencies_that_log_prob_gives(prior):
    top, bottom = prior.sample(4096, labels=1, seed=2, batch_size=4096)
    index = top.ravel() * 16 + bottom.reshape(-1, 4) @ [8, 4, 2, 1]
    probabilities = np.exp(sum(prior.log_prob(every_image(), labels=1)).astype("float64"))
    # A right sampler fails one seed in a thousand; this seed is fixed.
    assert pearson(np.bincount(index, minlength=32), probabilities) > 1e-3


def test_known_codes_stay_and_the_rest_follows_the_conditionals(prior):
    """Bottom code 1 and 2 known: each other one given the codes before it, not after it."""
    size = 4096
    mask = np.tile([[False, True], [True, False]], (size, 1, 1))
    codes = np.tile([[0, 1], [1, 0]], (size, 1, 1)).astype("int32")
    known = [(np.zeros((size, 1, 1), "int32"), np.zeros((size, 1, 1), bool)), (codes, mask)]
    function = compile_function(
        prior, lambda rows: prior.sample_tensors(rows["request"], rows["labels"], rows["known"])
    )
    labels = np.zeros(size, "int32")
    rows = {"request": sample_request(size, 1), "labels": labels, "known": known}
    (top, bottom), log_prob = run_in_chunks(function, rows, limit=size)
    assert (bottom[mask] == codes[mask]).all()
    # Of the known codes too: that of the whole image.
    expected = sum(prior.log_prob((top, bottom), labels=0))
    np.testing.assert_allclose(log_prob, expected, atol=1e-4)
    index = top.ravel() * 4 + bottom[:, 0, 0] * 2 + bottom[:, 1, 1]
    log_top, log_bottom = (x.astype("float64") for x in prior.log_prob(every_image(), labels=0))
    joint = np.exp(log_bottom).reshape(2, 2, 2, 2, 2)  # top, then the bottom in raster order
    first = joint.sum(axis=(2, 3, 4))
    last = joint[:, :, 1, 1] / joint[:, :, 1, 1].sum(axis=-1, keepdims=True)
    expected = np.exp(log_top).reshape(2, 16)[:, :1, None] * first[..., None] * last
    assert expected.sum() == pytest.approx(1.0, abs=1e-5)
    assert pearson(np.bincount(index, minlength=8), expected.ravel()) > 1e-3


def test_a_sample_depends_on_seed_and_index_alone(prior):
    whole = prior.sample(21, labels=0, seed=3)
    for a, b in zip(prior.sample(8, labels=0, seed=3, batch_size=4), whole, strict=True):
        np.testing.assert_array_equal(a, b[:8])
    progress = []
    prior.sample(9, labels=0, seed=3, batch_size=4, callback=lambda *args: progress.append(args))
    assert progress == [(4, 9), (8, 9), (9, 9)]


RNG = np.random.default_rng(0)
TOP, BOTTOM = RNG.integers(0, 2, (8, 1, 1)), RNG.integers(0, 2, (8, 2, 2))
LABELS = RNG.integers(0, 2, 8)


def evaluate(model, *args, **kwargs):
    return model.evaluate(*args, **kwargs, verbose=0, return_dict=True, batch_size=8)


def expected_logs(model, codes, labels=None):
    levels = model.log_prob(codes, labels)
    sizes = [np.prod(shape) for shape in model.code_shapes]
    nats = [-level.mean() / size for level, size in zip(levels, sizes, strict=True)]
    bits = -sum(levels).mean() / sum(sizes) / np.log(2)
    return {"loss": sum(nats), "bits_per_code": bits} | {
        f"{name}_bits_per_code": level / np.log(2)
        for name, level in zip(model.level_names, nats, strict=True)
    }


def close(expected):
    return {key: pytest.approx(float(value), rel=1e-4) for key, value in expected.items()}


def test_data_of_two_levels_with_labels(prior):
    expected = close(expected_logs(prior, (TOP, BOTTOM), LABELS))
    assert evaluate(prior, (TOP, BOTTOM), LABELS) == expected
    assert evaluate(prior, ((TOP, BOTTOM), LABELS)) == expected


def test_data_of_two_levels_without_labels():
    model = randomize(
        HierarchicalPrior.from_code_shapes(((1, 1), (2, 2)), 2, filters=8, num_blocks=1)
    )
    model.compile("sgd")
    expected = close(expected_logs(model, (TOP, BOTTOM)))
    assert evaluate(model, (TOP, BOTTOM)) == expected
    assert evaluate(model, [TOP, BOTTOM]) == expected
    assert evaluate(model, ((TOP, BOTTOM),)) == expected
    assert evaluate(model, (TOP, BOTTOM), LABELS) == expected, "labels are not looked at"
    weights = np.array([0, 0, 4, 0, 0, 4.0, 0, 0])
    chosen = (TOP[[2, 5]], BOTTOM[[2, 5]])
    assert evaluate(model, (TOP, BOTTOM), sample_weight=weights) == close(
        expected_logs(model, chosen)
    )


@pytest.mark.tensorflow_only
def test_tf_data_of_each_form(prior):
    import tensorflow as tf

    expected = close(expected_logs(prior, (TOP, BOTTOM), LABELS))
    dataset = tf.data.Dataset.from_tensor_slices(((TOP, BOTTOM), LABELS)).batch(8)
    assert evaluate_dataset(prior, dataset) == expected
    weighted = tf.data.Dataset.from_tensor_slices(((TOP, BOTTOM), LABELS, np.ones(8))).batch(4)
    assert evaluate_dataset(prior, weighted) == expected
    plain = randomize(
        HierarchicalPrior.from_code_shapes(((1, 1), (2, 2)), 2, filters=8, num_blocks=1)
    )
    plain.compile("sgd")
    expected = close(expected_logs(plain, (TOP, BOTTOM)))
    for data in ((TOP, BOTTOM), ((TOP, BOTTOM),), ((TOP, BOTTOM), LABELS)):
        dataset = tf.data.Dataset.from_tensor_slices(data).batch(8)
        assert evaluate_dataset(plain, dataset) == expected


def evaluate_dataset(model, dataset):
    return model.evaluate(dataset, verbose=0, return_dict=True)


def test_one_level():
    model = randomize(
        HierarchicalPrior.from_code_shapes(((2, 2),), 2, filters=8, num_blocks=1, num_classes=2)
    )
    model.compile("sgd")
    expected = close(expected_logs(model, (BOTTOM,), LABELS))
    assert set(expected) == {"loss", "bits_per_code", "level_0_bits_per_code"}
    assert evaluate(model, BOTTOM, LABELS) == expected
    assert evaluate(model, (BOTTOM,), LABELS) == expected
    assert [level.shape for level in model.sample(3, labels=0, seed=0)] == [(3, 2, 2)]


def test_three_levels_each_given_the_one_before():
    shapes = ((1, 1), (1, 2), (2, 4))
    model = randomize(
        HierarchicalPrior.from_code_shapes(shapes, (2, 3, 4), filters=(4, 6, 8), num_blocks=1)
    )
    samples = model.sample(5, seed=0)
    assert [level.shape[1:] for level in samples] == list(shapes)
    levels = model.log_prob(samples)
    assert [set(p.input_names) for p in map(_names, model.level_priors)] == [
        {"codes"},
        {"codes", "context"},
        {"codes", "context"},
    ]
    # The finest level looks at the middle one, not at the coarsest.
    other = model.log_prob((1 - samples[0], *samples[1:]))
    np.testing.assert_array_equal(other[2], levels[2])
    assert not np.allclose(other[1], levels[1])
    assert [p.filters for p in model.level_priors] == [4, 6, 8]


def _names(prior):
    prior.input_names = list(prior._input_keys)
    return prior


def test_training_improves_every_level(prior):
    model = HierarchicalPrior.from_config(prior.get_config())
    model.compile(keras.optimizers.Adam(0.02), metrics=None)
    codes, labels = (LABELS[:, None, None], np.ones_like(BOTTOM)), LABELS
    history = model.fit(
        codes,
        labels,
        epochs=30,
        batch_size=8,
        verbose=0,
        validation_data=(codes, labels),
        validation_freq=29,
    ).history
    for key in ("loss", "top_bits_per_code", "bottom_bits_per_code"):
        assert history[key][-1] < 0.3 * history[key][0]
    # Validated after the epoch before the last: one step apart.
    assert history["val_loss"][-1] == pytest.approx(history["loss"][-1], rel=1e-4)
    top, bottom = model.sample(4, labels=[0, 1, 1, 0], seed=0, top_k=1)
    np.testing.assert_array_equal(top.ravel(), [0, 1, 1, 0])
    assert (bottom == 1).all()


def test_from_vqvae_takes_its_grids_and_codebooks():
    vqvae = VQVAE2((16, 8, 1), filters=4, num_residual_blocks=0, num_embeddings=(3, 5))
    model = HierarchicalPrior.from_vqvae(vqvae, filters=4, num_blocks=1)
    assert model.code_shapes == ((2, 1), (4, 2))
    assert model.num_embeddings == (3, 5)


def test_config_keeps_the_policy_it_was_built_under():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = HierarchicalPrior.from_code_shapes(
            ((1, 1), (2, 2)), (2, 3), filters=4, num_blocks=1, name="a"
        )
    finally:
        keras.config.set_dtype_policy("float32")
    copy = HierarchicalPrior.from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    assert {p.get_layer("hidden").compute_dtype for p in copy.level_priors} == {"bfloat16"}
    assert copy.name == "a"


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"code_shapes": ()}, "`level_priors` must hold at least one model"),
        ({"code_shapes": ((2, 2), (3, 3))}, "`context_shape` must divide `code_shape`"),
        ({"num_embeddings": (2, 2, 2)}, "`num_embeddings` must be one value or 2 of them"),
        ({"filters": (8, 8, 8)}, "`filters` must be one value or 2 of them"),
        ({"num_classes": 0}, "`num_classes` must be .*Received: num_classes=0"),
    ],
)
def test_wrong_arguments_are_named(kwargs, message):
    options = {"code_shapes": ((1, 1), (2, 2)), "num_embeddings": 2, "filters": 4, "num_blocks": 1}
    with pytest.raises(ValueError, match=message):
        HierarchicalPrior.from_code_shapes(**{**options, **kwargs})


@pytest.mark.parametrize(
    ("level_priors", "message"),
    [
        ([], r"`level_priors` must hold at least one model.*Received: \[\]"),
        (((1, 1), (2, 2)), "`from_vqvae` builds one.*Received: .'tuple', 'tuple'"),
        ([{"context_shape": (1, 1)}], "must be coarse to fine.*level 0 with context_shape=.1, 1"),
        ([{}, {"context_shape": (2, 1)}], r"level 1 with.*after \(2, 2\) of 3 codes"),
        (
            [{}, {"context_shape": (2, 2), "context_num_embeddings": 4}],
            "context_num_embeddings=4 after",
        ),
        ([{"num_classes": 2}, {"num_classes": 3}], r"the same num_classes.*Received: \[2, 3\]"),
    ],
)
def test_levels_that_do_not_fit_are_named(level_priors, message):
    if all(isinstance(options, dict) for options in level_priors):
        level_priors = [
            PixelCNN((2, 2), 3, filters=4, num_blocks=1, **options) for options in level_priors
        ]
    with pytest.raises(ValueError, match=message):
        HierarchicalPrior(level_priors)


@keras.saving.register_keras_serializable("tests")
class Frequencies(keras.Model):
    """A level prior of another kind: each code by its own frequency, whatever lies around it."""

    context_shape = context_num_embeddings = num_classes = None

    def __init__(self, code_shape, num_embeddings, name=None):
        codes = keras.Input(code_shape, dtype="int32", name="codes")
        logits = keras.layers.Embedding(num_embeddings, num_embeddings, name="logits")
        super().__init__({"codes": codes}, logits(codes * 0), name=name)
        self.code_shape, self.num_embeddings = code_shape, num_embeddings

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(code_nll(x["codes"], y_pred))

    def log_prob_tensors(self, inputs):
        return -keras.ops.sum(code_nll(inputs["codes"], self(inputs)), axis=(1, 2))

    def sample_tensors(self, request, condition_inputs, stream=0, known=None):
        uniforms = request_noise(request, self.code_shape, stream)
        flat = keras.ops.reshape(uniforms, (-1,))
        first = keras.ops.cast(keras.ops.zeros_like(flat), "int32")
        logits = self.get_layer("logits")(first)
        codes = keras.ops.reshape(draw_codes(logits, flat), keras.ops.shape(uniforms))
        return codes, self.log_prob_tensors({"codes": codes})

    def get_config(self):
        return {
            "code_shape": self.code_shape,
            "num_embeddings": self.num_embeddings,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


def test_a_level_may_be_a_model_of_another_kind(tmp_path):
    """The top by its frequencies, the bottom by a PixelCNN of a class, given the top."""
    bottom = PixelCNN((2, 2), 2, filters=8, num_blocks=1, context_shape=(1, 1), num_classes=2)
    model = randomize(HierarchicalPrior([Frequencies((1, 1), 2), bottom]), seed=1)
    assert (model.num_classes, model.code_shapes) == (2, ((1, 1), (2, 2)))
    top, bottom = model.log_prob(every_image(), labels=0)
    assert np.exp((top + bottom).astype("float64")).sum() == pytest.approx(1.0, abs=1e-5)
    drawn, _ = model.sample(4096, labels=0, seed=0, batch_size=4096)
    frequency = float(np.exp(top.reshape(2, 16)[1, 0]))
    assert np.mean(drawn) == pytest.approx(frequency, abs=4 * (frequency / 4096) ** 0.5)
    model.compile(keras.optimizers.SGD(0.1))
    model.fit((TOP, BOTTOM), LABELS, verbose=0)
    model.save(tmp_path / "prior.keras")
    loaded = keras.saving.load_model(tmp_path / "prior.keras")
    before, after = (each.log_prob(every_image(), labels=1) for each in (model, loaded))
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_the_options_of_version_0_1_still_build_a_prior():
    """A file of that version holds the options of all levels, and no level priors."""
    config = {
        "code_shapes": [[1, 1], [2, 2]],
        "num_embeddings": [2, 3],
        "filters": [4, 8],
        "num_blocks": [1, 1],
        "num_classes": 2,
        "dropout": [0.1, 0.2],
        "two_stream": [True, False],
        "num_attention_blocks": [1, 0],
        "num_heads": [2, 4],
        "num_conditioning_blocks": 1,
        "label_smoothing": 0.1,
        "dtype": "float32",
        "name": "prior",
    }
    model = HierarchicalPrior.from_config(config)
    assert model.name == "prior"
    for level, prior in enumerate(model.level_priors):
        kept = prior.get_config()
        for name in ("filters", "dropout", "two_stream", "num_attention_blocks", "num_heads"):
            assert kept[name] == config[name][level]
        assert (kept["num_conditioning_blocks"], kept["label_smoothing"]) == (level, 0.1)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ((TOP, BOTTOM), None, "`labels` must be given.*num_classes=2"),
        ((TOP, BOTTOM), LABELS + 1, r"`labels` must lie in \[0, 2\)"),
        ((TOP, BOTTOM), LABELS[:, None], r"`labels` must be one integer or .*\(8, 1\)"),
        ((TOP, BOTTOM + 1), LABELS, r"`x of level 'bottom'` must lie in \[0, 2\)"),
        ((BOTTOM, TOP), LABELS, r"`x of level 'top'` must have the shape \[B, 1, 1\]"),
        ((TOP[:5], BOTTOM), LABELS, "same number of examples at each level. Received: 5, 8"),
        ((TOP,), LABELS, "`x` must be a tuple of 2 arrays, one a level: top, bottom"),
        (None, None, "`x` must be arrays or a dataset. Received: x=None"),
    ],
)
def test_wrong_data_is_named(prior, x, y, message):
    with pytest.raises(ValueError, match=message):
        prior.fit(x, y)
    with pytest.raises(ValueError, match=message):
        prior.evaluate(x, y)


def test_wrong_codes_and_labels_are_named(prior):
    with pytest.raises(ValueError, match="`labels` must be given"):
        prior.log_prob((TOP, BOTTOM))
    with pytest.raises(ValueError, match="`labels` must be given"):
        prior.sample(2)
    with pytest.raises(ValueError, match=r"`codes of level 'bottom'` must lie in \[0, 2\)"):
        prior.log_prob((TOP, BOTTOM + 1), labels=0)
    with pytest.raises(ValueError, match="`num_samples` must be an integer"):
        prior.sample(0, labels=1)
    with pytest.raises(ValueError, match="`num_samples` must be an integer"):
        prior.sample(-1, labels=1)


def test_images_without_names_may_lack_a_class_and_have_no_further_one(prior):
    """Of numbered classes a small split may not have the last; the prior here knows two."""

    def data(num_classes, label_names=None):
        return SimpleNamespace(name="few", num_classes=num_classes, label_names=label_names)

    for fitting in (data(1), data(2), data(2, ("cat", "dog"))):
        prior.check_classes(fitting)
    for other in (data(3), data(None)):
        with pytest.raises(ValueError, match="images of few must have the classes.*2. Received"):
            prior.check_classes(other)


def test_the_costs_of_the_codes_add_up_to_the_likelihood(prior):
    codes = every_image()
    costs = prior.code_nll(codes, labels=1)
    assert [cost.shape for cost in costs] == [(32, 1, 1), (32, 2, 2)]
    for cost, log_prob in zip(costs, prior.log_prob(codes, labels=1), strict=True):
        np.testing.assert_allclose(cost.sum(axis=(1, 2)), -log_prob, rtol=1e-5)
    # The first code of the bottom level does not see the one after it.
    first = costs[1][:, 0, 0].reshape(2, 2, 8)  # by top and by that code
    np.testing.assert_allclose(np.ptp(first, axis=2), 0, atol=1e-6)
    assert np.ptp(first, axis=1).min() > 1e-3


def test_noise_is_what_the_codes_of_a_seed_are_drawn_by(prior):
    noise = prior.noise(5, seed=3)
    assert [level.shape for level in noise] == [(5, 1, 1), (5, 2, 2)]
    request = sample_request(5, 3)
    for stream, level in enumerate(noise):
        np.testing.assert_array_equal(level, request_noise(request, level.shape[1:], stream))
    assert not np.array_equal(prior.noise(5)[1], prior.noise(5)[1])
