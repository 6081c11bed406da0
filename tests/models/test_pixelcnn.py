import keras
import numpy as np
import pytest
from gradients import influence, through, visible
from tiny_models import every_grid, pearson, randomize

from keras_vqvae2.models import PixelCNN
from keras_vqvae2.sampling import compile_function, request_noise, sample_request


def log_softmax(logits):
    logits = np.asarray(logits, "float64")
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def test_probabilities_of_all_grids_add_up_to_one(variant):
    model, condition = variant
    grids = every_grid((2, 3), 3)
    for case in range(2):
        given = {k: np.repeat(v, len(grids), 0) for k, v in condition(1, seed=case).items()}
        probabilities = np.exp(model.log_prob(grids, **given, batch_size=1024).astype("float64"))
        # Each of six log-probabilities is off by a few 1e-7 of its size near 2.
        assert probabilities.sum() == pytest.approx(1.0, abs=1e-5)
        assert probabilities.max() > 3 / 729, "far from uniform, or the sum says little"


def test_samples_have_the_frequencies_that_log_prob_gives(variant):
    model, condition = variant
    given = {k: np.repeat(v, 2**14, 0) for k, v in condition(1).items()}
    codes = model.sample(2**14, seed=1, **given, batch_size=2**14)
    grids = every_grid((2, 3), 3)
    given = {k: v[: len(grids)] for k, v in given.items()}
    probabilities = np.exp(model.log_prob(grids, **given, batch_size=1024).astype("float64"))
    index = codes.reshape(-1, 6) @ 3 ** np.arange(5, -1, -1)
    # A right sampler fails one seed in a thousand; this seed is fixed.
    assert pearson(np.bincount(index, minlength=729), probabilities) > 1e-3


def test_log_prob_is_read_off_the_logits(variant):
    model, condition = variant
    codes = np.random.default_rng(0).integers(0, 3, (5, 2, 3))
    given = condition(5)
    logits = log_softmax(model({"codes": codes, **given}))
    expected = np.take_along_axis(logits, codes[..., None], axis=-1).sum(axis=(1, 2, 3))
    # Six float32 terms near 2.
    np.testing.assert_allclose(model.log_prob(codes, **given), expected, atol=1e-5)
    np.testing.assert_allclose(model.log_prob(codes, **given, batch_size=2), expected, atol=1e-5)


def test_the_condition_matters(variant):
    model, condition = variant
    codes = np.zeros((2, 2, 3), int)
    for key, value in condition(2).items():
        given = condition(2)
        given[key] = np.stack([np.zeros_like(value[0]), np.ones_like(value[0])])
        for other in set(given) - {key}:
            given[other][:] = 0
        first, second = model.log_prob(codes, **given)
        assert abs(first - second) > 1e-2


def test_cached_and_plain_samples_are_the_codes_of_a_numpy_sampler(variant):
    model, condition = variant
    given = condition(60)
    # Of each third of the grids other options.
    temperature = np.repeat([1.0, 0.5, 1.5], 20)
    top_k, top_p = np.repeat([0, 2, 0], 20), np.repeat([1.0, 1.0, 0.8], 20)
    options = {"seed": 5, "temperature": temperature, "top_k": top_k, "top_p": top_p, **given}
    cached = model.sample(60, **options)
    np.testing.assert_array_equal(model.sample(60, **options, cached=False), cached)
    # Position by position on the sampled prefixes, in float64.
    uniforms = np.asarray(request_noise(sample_request(60, 5), (2, 3), 0))
    logits = log_softmax(model({"codes": cached, **given})) / temperature[:, None, None, None]
    compared = 0
    for index in np.ndindex(60, 2, 3):
        p = np.exp(logits[index] - logits[index].max())
        p /= p.sum()
        order = np.argsort(-p)
        p[order[top_k[index[0]] or 3 :]] = 0.0
        before = np.cumsum(p[order]) - p[order]
        p[order[before >= top_p[index[0]] * p.sum()]] = 0.0
        cumulative = np.cumsum(p / p.sum())
        # Nearer to a step than float32 can tell, neither code is wrong.
        if np.abs(cumulative - uniforms[index]).min() > 1e-5:
            assert cached[index] == (cumulative <= uniforms[index]).sum()
            compared += 1
    assert compared > 350


def all_steps(model):
    """The logits of a grid by `step`, which is given zeros for all codes after its position."""
    height, width = model.code_shape

    def function(inputs):
        codes = inputs["codes"]
        condition = model.condition_map({k: v for k, v in inputs.items() if k != "codes"})
        cache, outputs = model.init_cache(keras.ops.shape(codes)[0]), []
        for row, column in np.ndindex(height, width):
            before = np.arange(height * width).reshape(height, width) < row * width + column
            seen = keras.ops.where(before, codes, 0)
            if column == 0:
                cache, columns = model.start_row(seen, cache, row, condition), []
            logits, cache = model.step(seen, cache, (row, column))
            outputs.append(logits)
            columns.append(model.column(cache))
            if column == width - 1:
                row_of = keras.tree.map_structure(lambda *x: keras.ops.stack(x), *columns)
                cache = model.end_row(cache, row_of)
        stacked = keras.ops.stack(outputs, axis=1)
        return keras.ops.reshape(stacked, (-1, height, width, model.num_embeddings))

    return compile_function(model, function)


def test_step_equals_call(variant):
    model, condition = variant
    inputs = {
        "codes": np.random.default_rng(0).integers(0, 3, (4, 2, 3)).astype("int32"),
        **{key: value.astype("int32") for key, value in condition(4).items()},
    }
    # Some ten float32 products of at most 200 terms, summed in another order.
    np.testing.assert_allclose(all_steps(model)(inputs), model(inputs), rtol=1e-4, atol=1e-4)


@pytest.fixture(
    scope="module",
    params=[
        ((3, 5), 3, 2),
        ((6, 2), 5, 1),
        ((4, 4), (3, 5), 1),
        ((1, 4), 3, 1),
        ((4, 1), 3, 1),
        ((3, 4), (1, 3), 2),
    ],
    ids=str,
)
def network(request):
    grid, kernel_size, num_blocks = request.param
    model = PixelCNN(grid, 7, filters=8, num_blocks=num_blocks, kernel_size=kernel_size)
    return randomize(model)


def test_cached_sampling_equals_plain_sampling_on_any_grid(network):
    cached = network.sample(16, seed=2)
    np.testing.assert_array_equal(network.sample(16, seed=2, cached=False), cached)
    assert len(np.unique(cached)) > 3


def receptive_field(model):
    """The embedded codes that the logits should see, from the taps of each layer."""
    grid = model.code_shape
    sizes = (model.kernel_size,) * 2 if isinstance(model.kernel_size, int) else model.kernel_size
    blocks = [visible(grid, sizes, "B")] * model.num_blocks
    return through(visible(grid, (7, 7), "A"), *blocks)


def test_gradients_reach_exactly_the_receptive_field_before_a_position(network):
    embedded = network.get_layer("embed").output
    rest = keras.Model(embedded, network.output)
    seen = influence(rest, embedded.shape[1:], draws=6)
    assert not (seen & np.triu(np.ones_like(seen))).any()
    np.testing.assert_array_equal(seen, receptive_field(network))


def test_two_streams_have_no_blind_spot_and_attention_a_smaller_one():
    def sees(**options):
        model = randomize(PixelCNN((4, 6), 7, filters=8, num_blocks=2, **options))
        np.testing.assert_array_equal(
            model.sample(8, seed=0), model.sample(8, seed=0, cached=False)
        )
        embedded = model.get_layer("embed").output
        seen = influence(keras.Model(embedded, model.output), embedded.shape[1:], draws=6)
        assert not (seen & np.triu(np.ones_like(seen))).any()
        return seen

    plain = receptive_field(PixelCNN((4, 6), 7, filters=8, num_blocks=2))
    rows, columns = np.divmod(np.arange(24), 6)
    # All rows above are within reach of the kernels, five columns to either side of a position.
    above = (rows[:, None] > rows) & (abs(columns[:, None] - columns) <= 5)
    blind = above & ~plain
    assert blind.any()
    assert sees(two_stream=True)[above].all()
    # What the positions before have seen.
    assert sees(num_attention_blocks=1, num_heads=2)[blind].any()


def test_the_conditioning_stack_sees_the_context_around():
    def reach(blocks):
        model = PixelCNN(
            (4, 8),
            3,
            filters=8,
            num_blocks=1,
            context_shape=(2, 4),
            num_conditioning_blocks=blocks,
        )
        randomize(model)
        context = np.zeros((1, 2, 4), "int32")
        other = context.copy()
        other[0, 0, 2] = 1
        maps = [np.asarray(model.condition_map({"context": c})) for c in (context, other)]
        return np.abs(maps[1] - maps[0]).max(axis=(2, 3)) > 0

    own = np.zeros((4, 8), bool)
    own[:2, 4:6] = True
    np.testing.assert_array_equal(reach(0), own)
    around = np.zeros((4, 8), bool)
    around[:, 2:8] = True
    np.testing.assert_array_equal(reach(1), around)


def test_label_smoothing_is_of_the_training_loss_alone():
    model = randomize(PixelCNN((2, 3), 3, filters=8, num_blocks=1, label_smoothing=0.2))
    codes = np.random.default_rng(0).integers(0, 3, (8, 2, 3))
    logs = log_softmax(model({"codes": codes}))
    plain = -np.take_along_axis(logs, codes[..., None], axis=-1).mean()
    smoothed = 0.8 * plain - 0.2 * logs.mean()
    model.compile(keras.optimizers.SGD(0.0))
    history = model.fit({"codes": codes}, batch_size=8, verbose=0).history
    assert history["loss"][0] == pytest.approx(smoothed, rel=1e-4)
    assert history["bits_per_code"][0] == pytest.approx(plain / np.log(2), rel=1e-4)
    logs = model.evaluate({"codes": codes}, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(plain, rel=1e-4)


def test_another_code_changes_exactly_the_logits_that_see_it(network):
    height, width = network.code_shape
    size = height * width
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 7, (6, 1, size))
    others = np.repeat(codes, size, axis=1)
    others[:, np.arange(size), np.arange(size)] = (codes[:, 0] + rng.integers(1, 7, (6, size))) % 7
    batch = np.concatenate([codes, others], axis=1).reshape(-1, height, width)
    logits = np.asarray(network({"codes": batch})).reshape(6, 1 + size, size, 7)
    # No tolerance where nothing is seen: the same numbers enter the same sums. Where much is seen
    # a change may be small, and over six draws it is not.
    change = np.abs(logits[:, 1:] - logits[:, :1]).max(axis=(0, 3)).T
    seen = receptive_field(network)
    assert (change[seen] > 1e-5).all()
    assert change[~seen].max(initial=0.0) < 1e-5


def test_a_grid_depends_on_the_seed_and_its_index_alone(conditional):
    model, condition = conditional
    given = condition(21)
    whole = model.sample(21, seed=3, **given)
    first = {key: value[:8] for key, value in given.items()}
    np.testing.assert_array_equal(model.sample(8, seed=3, **first), whole[:8])
    np.testing.assert_array_equal(model.sample(21, seed=3, **given, batch_size=4), whole)
    assert not np.array_equal(model.sample(21, seed=4, **given), whole)
    assert not np.array_equal(model.sample(21, **given), model.sample(21, **given))


def test_options_of_each_grid(conditional):
    model, condition = conditional
    given = condition(6)
    mixed = model.sample(
        6, seed=3, **given, temperature=[1, 2, 0.5, 1, 1, 1], top_k=np.array([0, 0, 0, 1, 0, 2])
    )
    np.testing.assert_array_equal(mixed[[0, 4]], model.sample(6, seed=3, **given)[[0, 4]])
    greedy = model.sample(6, seed=9, **given, top_k=1)
    np.testing.assert_array_equal(mixed[3], greedy[3])
    logits = np.asarray(model({"codes": greedy, **given}))
    np.testing.assert_array_equal(logits.argmax(axis=-1), greedy)


def test_training_on_one_grid_learns_it():
    model = PixelCNN((2, 3), 3, filters=8, num_blocks=1)
    codes = np.tile([[0, 1, 2], [2, 0, 1]], (16, 1, 1))
    model.compile(optimizer=keras.optimizers.Adam(0.03), metrics=["accuracy"])
    history = model.fit({"codes": codes}, epochs=50, batch_size=16, verbose=0).history
    assert history["loss"][0] > 0.9
    assert history["loss"][-1] < 0.1
    assert history["accuracy"][-1] == 1.0
    np.testing.assert_array_equal(model.sample(3, seed=0, top_k=1), codes[:3])
    # The metrics of an evaluation are the likelihood, whatever the batches.
    mixed = np.concatenate([codes[:3], np.zeros((4, 2, 3), int)])
    logs = model.evaluate({"codes": mixed}, batch_size=4, verbose=0, return_dict=True)
    nats = -model.log_prob(mixed).mean() / 6
    assert logs["loss"] == pytest.approx(nats, rel=1e-5)
    assert logs["bits_per_code"] == pytest.approx(nats / np.log(2), rel=1e-5)
    weights = np.array([0, 2, 1, 0, 0, 3, 0.5])
    weighted = model.evaluate(
        {"codes": mixed}, sample_weight=weights, batch_size=7, verbose=0, return_dict=True
    )
    expected = -(weights * model.log_prob(mixed)).sum() / 6
    assert weighted["loss"] == pytest.approx(expected / 7, rel=1e-5)
    assert weighted["bits_per_code"] == pytest.approx(
        expected / weights.sum() / np.log(2), rel=1e-5
    )


@pytest.mark.parametrize(
    "wiring", [{}, {"two_stream": True, "num_attention_blocks": 1, "num_heads": 2}], ids=str
)
def test_training_is_the_same_whether_activations_are_kept_or_computed_again(wiring):
    given = {"num_classes": 3, "context_shape": (1, 3), "dropout": 0.5}
    options = {"filters": 8, "num_blocks": 2, **given, **wiring}
    rng = np.random.default_rng(0)
    inputs = {"codes": rng.integers(0, 3, (8, 2, 3)), "labels": rng.integers(0, 3, 8)}
    inputs["context"] = rng.integers(0, 3, (8, 1, 3))

    def trained(rematerialize):
        keras.utils.set_random_seed(0)
        model = randomize(PixelCNN((2, 3), 3, rematerialize=rematerialize, **options))
        model.compile("sgd")
        model.fit(inputs, batch_size=4, epochs=2, shuffle=False, verbose=0)
        return [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]

    for kept, again in zip(trained(False), trained(True), strict=True):
        np.testing.assert_allclose(again, kept, rtol=1e-4, atol=1e-5)


def test_logits_are_float32_under_any_policy():
    model = PixelCNN((2, 2), 5, filters=8, num_blocks=1, num_classes=2, dtype="mixed_bfloat16")
    logits = model({"codes": np.zeros((2, 2, 2), int), "labels": np.array([0, 1])})
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    codes = model.sample(4, labels=1, seed=0)
    assert np.isfinite(model.log_prob(codes, labels=1)).all()
    assert set(np.unique(codes)) <= set(range(5))


def test_config_describes_the_model():
    model = PixelCNN(
        (2, 4),
        5,
        filters=6,
        num_blocks=1,
        kernel_size=(3, 5),
        embedding_dim=3,
        context_shape=(1, 2),
        context_num_embeddings=4,
        num_classes=3,
        dropout=0.1,
        two_stream=True,
        num_attention_blocks=2,
        num_heads=3,
        num_conditioning_blocks=1,
        label_smoothing=0.1,
        rematerialize=True,
        dtype="mixed_bfloat16",
        name="a_prior",
    )
    copy = PixelCNN.from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    assert [v.shape for v in copy.variables] == [v.shape for v in model.variables]
    assert copy.compute_dtype == model.compute_dtype
    assert copy.name == "a_prior"


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"code_shape": (2,)}, r"`code_shape` must be two positive integers .*code_shape=\(2,\)"),
        ({"code_shape": (2, 0)}, r"Received: code_shape=\(2, 0\)"),
        ({"num_embeddings": 0}, "`num_embeddings` must be .*Received: num_embeddings=0"),
        ({"num_blocks": 0}, "`num_blocks` must be .*Received: num_blocks=0"),
        ({"filters": 7}, "`filters` must be even. Received: filters=7"),
        ({"kernel_size": 2}, "`kernel_size` must be .*Received: kernel_size=2"),
        ({"num_attention_blocks": -1}, "`num_attention_blocks` must be an integer of at least 0"),
        ({"num_conditioning_blocks": 1}, "`num_conditioning_blocks` must be 0 for a model without"),
        ({"label_smoothing": 1.0}, r"`label_smoothing` must lie in \[0, 1\)"),
        ({"context_shape": (2, 2)}, r"`context_shape` must divide `code_shape`.*\(2, 2\)"),
        ({"num_classes": 0}, "`num_classes` must be .*Received: num_classes=0"),
        ({"dropout": 1.5}, "`dropout` must lie in .*Received: dropout=1.5"),
    ],
)
def test_wrong_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        PixelCNN(**{"code_shape": (2, 3), "num_embeddings": 3, "filters": 8, **kwargs})


@pytest.fixture(scope="module")
def conditioned():
    model = PixelCNN((2, 2), 3, filters=4, num_blocks=1, num_classes=2, context_shape=(1, 1))
    model.compile("sgd")
    return model


CODES = np.zeros((4, 2, 2), int)
CONTEXT = np.zeros((4, 1, 1), int)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"labels": 0}, r"`context` must be given.*context_shape=\(1, 1\)"),
        ({"context": CONTEXT}, "`labels` must be given.*num_classes=2"),
        ({"context": CONTEXT, "labels": 2}, r"`labels` must lie in \[0, 2\)"),
        ({"context": CONTEXT[:3], "labels": 0}, "`context` must hold 4 grids.*Received: 3"),
        ({"context": CONTEXT + 3, "labels": 0}, r"`context` must lie in \[0, 3\)"),
        ({"context": CODES, "labels": 0}, r"`context` must have the shape \[B, 1, 1\]"),
    ],
)
def test_wrong_conditions_are_named_by_each_door(conditioned, given, message):
    with pytest.raises(ValueError, match=message):
        conditioned.log_prob(CODES, **given)
    with pytest.raises(ValueError, match=message):
        conditioned.sample(4, seed=0, **given)


def test_a_condition_where_there_is_none_is_named():
    model = PixelCNN((2, 2), 3, filters=4, num_blocks=1)
    with pytest.raises(ValueError, match="`context` must not be given.*context_shape=None"):
        model.sample(4, context=CONTEXT)
    with pytest.raises(ValueError, match="`labels` must be None"):
        model.log_prob(CODES, labels=0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (CODES, "`x` must be a dictionary with 'codes', 'context', 'labels'. Received: ndarray"),
        ({"codes": CODES}, r"must be a dictionary with .*Received: \['codes'\]"),
        ({"codes": CODES + 3, "context": CONTEXT, "labels": CODES[:, 0, 0]}, "`codes` must lie in"),
        ({"codes": CODES, "context": CONTEXT, "labels": CODES[:, 0]}, "`labels` must be one int"),
        (None, "`x` must be arrays or a dataset. Received: x=None"),
    ],
)
def test_wrong_data_is_named_before_training(conditioned, data, message):
    with pytest.raises(ValueError, match=message):
        conditioned.fit(data)
    with pytest.raises(ValueError, match=message):
        conditioned.evaluate(data)
