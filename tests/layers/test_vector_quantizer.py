import keras
import numpy as np
import pytest
from gradients import compiled, gradient

from keras_vqvae2.layers import VectorQuantizer


def value(tensor):
    return keras.ops.convert_to_numpy(tensor).astype("float64")


def distances(vectors, codebook):
    return np.square(vectors[:, None] - codebook[None]).sum(axis=-1)


class SlowQuantizer:
    """The averages in float64, vector by vector; only the random choices are the layer's own."""

    def __init__(self, size, dim, seed, decay, epsilon, kmeans_iterations, restart_threshold):
        self.size, self.decay, self.epsilon = size, decay, epsilon
        self.kmeans_iterations, self.restart_threshold = kmeans_iterations, restart_threshold
        self.counts, self.sums = np.zeros(size), np.zeros((size, dim))
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.batches = 0
        self.restarts = 0

    def random_vectors(self, vectors):
        uniforms = keras.random.uniform((len(vectors),), seed=self.seed_generator)
        order = np.argsort(value(uniforms), kind="stable")
        return np.stack([vectors[order[i % len(vectors)]] for i in range(self.size)])

    def codebook(self):
        total = self.counts.sum()
        smooth = (self.counts + self.epsilon) / (total + self.size * self.epsilon) * total
        return self.sums / smooth[:, None]

    def statistics(self, vectors, codes):
        counts, sums = np.zeros(self.size), np.zeros_like(self.sums)
        for vector, code in zip(vectors, codes, strict=True):
            counts[code] += 1
            sums[code] += vector
        return counts, sums

    def train(self, vectors):
        start = self.random_vectors(vectors)
        codebook = self.codebook() if self.batches else start
        if not self.batches:
            for _ in range(self.kmeans_iterations):
                codes = distances(vectors, codebook).argmin(axis=1)
                for code in set(codes):
                    codebook[code] = vectors[codes == code].mean(axis=0)
        codes = distances(vectors, codebook).argmin(axis=1)
        quantized = codebook[codes]
        counts, sums = self.statistics(vectors, codes)
        decay = min(self.decay, self.batches / (self.batches + 49))
        self.batches += 1
        self.counts = decay * self.counts + (1 - decay) * counts
        self.sums = decay * self.sums + (1 - decay) * sums
        fresh, fair = self.random_vectors(vectors), self.counts.mean()
        for code in range(self.size):
            if self.counts[code] < self.restart_threshold * fair:
                self.counts[code], self.sums[code] = fair, fair * fresh[code]
                self.restarts += 1
        return quantized, codes


def test_ten_training_steps_equal_a_slow_oracle():
    options = {"decay": 0.7, "epsilon": 1e-3, "kmeans_iterations": 3, "restart_threshold": 0.3}
    layer = VectorQuantizer(12, 3, commitment_cost=0.5, seed=5, **options)
    layer.build((None, 3, 5, 3))
    train = compiled(layer, training=True)
    oracle = SlowQuantizer(12, 3, seed=5, **options)
    rng = np.random.default_rng(0)
    for step in range(10):
        # The data wanders, so that codes die along the way.
        x = rng.normal(loc=0.7 * step, size=(4, 3, 5, 3)).astype("float32")
        out = train(x)
        quantized, codes = oracle.train(x.reshape(-1, 3).astype("float64"))
        np.testing.assert_array_equal(out["codes"], codes.reshape(4, 3, 5))
        # Float32 sums of up to 60 vectors near 10, read back by a division: a few 1e-7 of each,
        # carried through ten steps of an average that forgets.
        close = {"rtol": 3e-5, "atol": 3e-5}
        np.testing.assert_allclose(out["quantized"], quantized.reshape(x.shape), **close)
        np.testing.assert_allclose(layer.counts, oracle.counts, **close)
        np.testing.assert_allclose(layer.sums, oracle.sums, **close)
        np.testing.assert_allclose(layer.codebook, oracle.codebook(), **close)
        error = np.square(x - quantized.reshape(x.shape)).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(out["commitment_loss"], 0.5 * error, rtol=1e-3)
    assert oracle.restarts >= 5


def test_the_first_batch_starts_every_code_at_vectors_of_its_own():
    # As many vectors as codes: k-means has nothing to improve, each code is one of the vectors.
    x = np.random.default_rng(0).normal(size=(2, 2, 2, 3)).astype("float32")
    layer = VectorQuantizer(8, 3, epsilon=1e-12)
    out = layer(x, training=True)
    assert sorted(np.ravel(out["codes"])) == list(range(8))
    # Distances cancel in float32 near zero, the vectors themselves are only divided by 1.
    np.testing.assert_allclose(out["quantized"], x, atol=1e-6)
    np.testing.assert_allclose(layer.counts, np.ones(8))


def test_kmeans_leaves_each_code_at_the_mean_of_its_vectors():
    x = np.random.default_rng(0).normal(size=(100, 2)).astype("float32")
    layer = VectorQuantizer(5, 2, kmeans_iterations=60, epsilon=1e-12, restart_threshold=0.0)
    codes = np.asarray(layer(x, training=True)["codes"])
    assert set(codes) == set(range(5))
    for code in range(5):
        np.testing.assert_allclose(layer.codebook[code], x[codes == code].mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("epsilon", [1e-5, 0.5])
def test_a_constant_input_gives_the_closed_form_whatever_the_smoothing(epsilon):
    layer = VectorQuantizer(
        3, 2, decay=0.8, epsilon=epsilon, kmeans_iterations=0, restart_threshold=0.0
    )
    layer.build((None, 2))
    centres = np.array([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]])
    counts, n = np.array([2.0, 4.0, 6.0]), np.array([1.0, 0.0, 5.0])
    layer.counts.assign(counts)
    layer.sums.assign(counts[:, None] * centres)
    x = np.repeat(centres, n.astype(int), axis=0).astype("float32")
    train = compiled(layer, training=True)
    for step in range(1, 6):
        train(x)
        decay = 0.8**step
        # Reading the smoothed codebook must not have changed a count.
        expected = decay * counts + (1 - decay) * n
        np.testing.assert_allclose(layer.counts, expected, rtol=1e-6)
        np.testing.assert_allclose(layer.sums, expected[:, None] * centres, rtol=1e-5)
    total = expected.sum()
    smooth = (expected + epsilon) / (total + 3 * epsilon) * total
    np.testing.assert_allclose(
        layer.codebook, expected[:, None] * centres / smooth[:, None], rtol=1e-5
    )


def test_dead_codes_start_again_with_all_their_state():
    layer = VectorQuantizer(
        8, 2, decay=0.5, kmeans_iterations=0, restart_threshold=0.1, epsilon=1e-12
    )
    layer.build((None, 2))
    # One code in the data, seven far away with next to no count.
    layer.sums.assign(np.full((8, 2), 1e3) * np.arange(8)[:, None] * 1e-3)
    layer.counts.assign([8.0] + [1e-3] * 7)
    x = np.random.default_rng(0).normal(size=(40, 2)).astype("float32")
    layer(x, training=True)
    fair = (0.5 * (8 + 7e-3) + 0.5 * 40) / 8
    np.testing.assert_allclose(layer.counts[1:], np.full(7, fair), rtol=1e-6)
    restarted = value(layer.sums)[1:] / fair
    nearest = distances(restarted, x)
    np.testing.assert_allclose(nearest.min(axis=1), 0.0, atol=1e-10)
    assert len(set(nearest.argmin(axis=1))) == 7, "each code another vector"
    assert len(np.unique(layer.encode(x))) == 8


@pytest.mark.parametrize(("seen", "most"), [(0, 2), (100, 12), (10_000, 350)])
def test_a_code_that_nothing_chooses_starts_again_sooner_in_a_young_codebook(seen, most):
    layer = VectorQuantizer(4, 2, seed=0)
    layer.build((None, 2))
    train = compiled(layer, training=True)
    train(np.random.default_rng(0).normal(size=(16, 2)).astype("float32"))
    layer.maturity.assign((1 + seen) / (50 + seen))
    layer.counts.assign(np.ones(4))
    layer.sums.assign([[9.0, 9.0], [0.0, 0.0], [0.1, 0.0], [0.0, 0.1]])
    x = np.tile(np.float32([[0.0, 0.0], [0.1, 0.0], [0.0, 0.1]]), (4, 1))
    step = 0
    while value(layer.codebook).max() > 1 and step < 400:
        train(x)
        step += 1
    # At a decay of 0.99 it takes 0.99**n < 0.03.
    assert most / 3 < step <= most
    assert value(layer.maturity) == pytest.approx((1 + seen + step) / (50 + seen + step), rel=1e-4)


def test_no_restarts_when_turned_off():
    layer = VectorQuantizer(4, 2, restart_threshold=0.0, seed=0)
    far = np.full((16, 2), 9.0, "float32")
    layer.build((None, 2))
    train = compiled(layer, training=True)
    train(np.random.default_rng(0).normal(size=(16, 2)).astype("float32"))
    before = value(layer.counts)
    train(far)
    moved = value(layer.counts) > before
    assert moved.sum() == 1
    np.testing.assert_allclose(value(layer.counts)[~moved], before[~moved] / 50, rtol=1e-6)


@pytest.fixture(scope="module")
def trained():
    layer = VectorQuantizer(6, 3, commitment_cost=0.3, seed=0)
    x = np.random.default_rng(0).normal(size=(4, 2, 3, 3)).astype("float32")
    layer(x, training=True)
    return layer, x


def test_gradients_pass_straight_through(trained):
    layer, x = trained
    weights = np.random.default_rng(1).normal(size=x.shape).astype("float32")
    along = keras.ops.array(weights)
    passed = gradient(lambda x: keras.ops.sum(layer(x)["quantized"] * along), x)
    np.testing.assert_array_equal(passed, weights)


def test_the_codebook_has_no_gradient(trained):
    layer, _ = trained
    assert layer.trainable_variables == []
    assert len(layer.non_trainable_variables) == 4  # counts, sums, initialized, the seed


def test_the_commitment_gradient_pulls_to_the_code(trained):
    layer, x = trained
    pull = gradient(lambda x: keras.ops.sum(layer(x)["commitment_loss"]), x)
    quantized = value(layer(x)["quantized"])
    # 18 numbers an example; one subtraction in float32.
    np.testing.assert_allclose(pull, 2 * 0.3 * (x - quantized) / 18, rtol=1e-4, atol=1e-7)


def test_the_commitment_loss_means_the_same_in_training_and_evaluation(trained):
    layer, x = trained
    x = x + 0.5
    evaluated = value(layer(x, training=False)["commitment_loss"])
    quantized = value(layer(x)["quantized"])
    expected = 0.3 * np.square(x - quantized).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(evaluated, expected, rtol=1e-5)
    assert evaluated.shape == (4,)
    # Training quantizes with the codebook as it was before the batch moved it.
    copy = VectorQuantizer.from_config(layer.get_config())
    copy.build(x.shape)
    for new, old in zip(copy.variables, layer.variables, strict=True):
        new.assign(old.value)
    np.testing.assert_array_equal(copy(x, training=True)["commitment_loss"], evaluated)
    assert not np.array_equal(copy.counts, layer.counts)


def test_nothing_changes_in_evaluation_or_when_frozen(trained):
    layer, x = trained
    before = [value(v) for v in layer.variables]
    layer(x + 1.0)
    layer(x + 1.0, training=False)
    layer.encode(x)
    layer.trainable = False
    layer(x + 1.0, training=True)
    layer.trainable = True
    for old, variable in zip(before, layer.variables, strict=True):
        np.testing.assert_array_equal(value(variable), old)


def test_encode_and_embed_codes_agree_with_call(trained):
    layer, x = trained
    x = x + 0.3
    out = layer(x)
    codes = layer.encode(x)
    np.testing.assert_array_equal(codes, out["codes"])
    assert keras.backend.standardize_dtype(codes.dtype) == "int32"
    # The straight-through sum x + (e - x) rounds once more than e.
    np.testing.assert_allclose(layer.embed_codes(codes), out["quantized"], atol=1e-6)
    np.testing.assert_array_equal(layer.encode(layer.codebook), np.arange(6))
    expected = distances(x.reshape(-1, 3), value(layer.codebook)).argmin(axis=1)
    np.testing.assert_array_equal(np.ravel(codes), expected)


def test_cosine_codes_are_unit_vectors_at_the_smallest_angle():
    layer = VectorQuantizer(6, 3, metric="cosine", commitment_cost=0.3, seed=0)
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(4, 5, 3)) * rng.uniform(0.1, 9, (4, 5, 1))).astype("float32")
    train = compiled(layer, training=True)
    layer.build(x.shape)
    for _ in range(3):
        train(x)
    codebook = value(layer.codebook)
    np.testing.assert_allclose(np.linalg.norm(codebook, axis=1), 1.0, rtol=1e-6)
    units = x / np.linalg.norm(x, axis=-1, keepdims=True)
    expected = (units @ codebook.T).argmax(axis=-1)
    out = layer(x)
    np.testing.assert_array_equal(out["codes"], expected)
    np.testing.assert_array_equal(layer.encode(x), expected)
    np.testing.assert_array_equal(layer.encode(7 * x), expected)
    np.testing.assert_allclose(out["quantized"], codebook[expected], atol=1e-6)
    error = 0.3 * np.square(units - codebook[expected]).mean(axis=(1, 2))
    np.testing.assert_allclose(out["commitment_loss"], error, rtol=1e-4)


def test_the_rotation_trick_turns_the_gradient_with_the_vector():
    layer = VectorQuantizer(5, 3, gradient="rotation", seed=0)
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(2, 7, 3)).astype("float32")
    layer(x, training=True)
    quantized = value(layer(x)["quantized"])
    np.testing.assert_allclose(quantized, value(layer.codebook)[layer.encode(x)], atol=1e-6)
    along = keras.ops.array(weights)
    passed = gradient(lambda x: keras.ops.sum(layer(x)["quantized"] * along), x)
    for vector, code, weight, result in zip(
        x.astype("float64"), quantized, weights, passed, strict=True
    ):
        # The rotation in the plane of the two, by Rodrigues' formula with the axis x cross q.
        a, b = vector / np.linalg.norm(vector), code / np.linalg.norm(code)
        k = np.cross(a, b)
        cross = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
        rotation = np.eye(3) + cross + cross @ cross / (1 + a @ b)
        scale = np.linalg.norm(code) / np.linalg.norm(vector)
        np.testing.assert_allclose(result, scale * rotation.T @ weight, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_float32_state(policy):
    layer = VectorQuantizer(8, 4, dtype=policy, seed=0)
    # The squares of these overflow float16.
    x = 300 * np.random.default_rng(0).normal(size=(8, 4, 4, 4)).astype("float32")
    layer.build(x.shape)
    train = compiled(layer, training=True)
    for _ in range(3):
        out = train(x)
    half = policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(out["quantized"].dtype) == half
    assert keras.backend.standardize_dtype(out["commitment_loss"].dtype) == "float32"
    assert keras.backend.standardize_dtype(layer.codebook.dtype) == "float32"
    assert keras.backend.standardize_dtype(layer.embed_codes([0]).dtype) == half
    for variable in (layer.counts, layer.sums, layer.maturity):
        assert keras.backend.standardize_dtype(variable.dtype) == "float32"
    for tensor in (out["quantized"], out["commitment_loss"], layer.codebook, layer.counts):
        assert np.isfinite(value(tensor)).all()


def test_any_number_of_axes():
    layer = VectorQuantizer(4, 3)
    for shape in ((5, 3), (5, 2, 2, 2, 3)):
        out = layer(np.ones(shape, "float32"))
        spec = layer.compute_output_spec(keras.KerasTensor(shape))
        assert {k: tuple(v.shape) for k, v in out.items()} == {k: v.shape for k, v in spec.items()}


def test_config_describes_the_layer():
    layer = VectorQuantizer(
        6,
        3,
        decay=0.5,
        epsilon=1e-3,
        commitment_cost=2.0,
        kmeans_iterations=2,
        restart_threshold=0.1,
        metric="cosine",
        gradient="rotation",
        embeddings_initializer="normal",
        seed=7,
    )
    config = layer.get_config()
    assert VectorQuantizer.from_config(config).get_config() == config
    assert (config["decay"], config["seed"], config["kmeans_iterations"]) == (0.5, 7, 2)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_embeddings": 0}, "`num_embeddings` must be .*Received: num_embeddings=0"),
        ({"embedding_dim": 1.5}, "`embedding_dim` must be .*Received: embedding_dim=1.5"),
        ({"decay": 1.5}, r"`decay` must lie in \[0, 1\). Received: decay=1.5"),
        ({"decay": 1.0}, r"`decay` must lie in \[0, 1\). Received: decay=1.0"),
        ({"epsilon": 0.0}, "`epsilon` must be positive. Received: epsilon=0.0"),
        ({"commitment_cost": -1}, "`commitment_cost` must be .*Received: commitment_cost=-1"),
        ({"kmeans_iterations": -1}, "`kmeans_iterations` must .*: kmeans_iterations=-1"),
        ({"restart_threshold": 1.0}, r"`restart_threshold` must lie in \[0, 1\)"),
        ({"metric": "l1"}, "`metric` must be one of 'euclidean', 'cosine'. Received: metric='l1'"),
        ({"gradient": "none"}, "`gradient` must be one of 'straight_through', 'rotation'"),
    ],
)
def test_wrong_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        VectorQuantizer(**kwargs)


def test_an_input_of_another_dimension_is_refused():
    with pytest.raises(ValueError, match=r"must be `embedding_dim`. Received: .*embedding_dim=3"):
        VectorQuantizer(4, 3)(np.zeros((1, 2, 2, 4), "float32"))


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_replaced_codes_are_near_neighbours_in_training_alone(metric):
    quantizer = VectorQuantizer(16, 3, metric=metric, seed=0)
    inputs = np.random.default_rng(0).normal(size=(8, 20, 20, 3)).astype("float32")
    quantizer(inputs, training=True)
    quantizer.trainable = False
    before = quantizer(inputs, training=True)
    quantizer.replace_codes(0.25, neighbours=3)
    after = quantizer(inputs, training=True)
    codebook = value(quantizer.codebook)
    for key in ("codes", "commitment_loss"):
        np.testing.assert_array_equal(value(after[key]), value(before[key]))
    codes = value(after["codes"]).ravel().astype(int)
    used = distances(value(after["quantized"]).reshape(-1, 3), codebook).argmin(axis=-1)
    ranks = np.argsort(np.argsort(distances(codebook, codebook)))[codes, used]
    assert abs((ranks > 0).mean() - 0.25) < 0.03
    # 0 is the code itself; each neighbour stands in as often as the others.
    np.testing.assert_allclose(np.bincount(ranks)[1:] / (ranks > 0).sum(), 1 / 3, atol=0.06)
    np.testing.assert_array_equal(value(quantizer(inputs)["quantized"]), value(before["quantized"]))
    quantizer.replace_codes(0.0)
    np.testing.assert_array_equal(
        value(quantizer(inputs, training=True)["quantized"]), value(before["quantized"])
    )


def test_a_single_code_has_no_neighbour():
    quantizer = VectorQuantizer(1, 2, seed=0)
    inputs = np.ones((4, 2), "float32")
    quantizer(inputs, training=True)
    quantizer.trainable = False
    quantizer.replace_codes(0.5)
    assert set(value(quantizer(inputs, training=True)["codes"])) == {0}
