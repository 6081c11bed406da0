import keras
import numpy as np
import pytest

from keras_vqvae2.sampling import compile_function, run_in_chunks, without_optimizing


@pytest.fixture
def model():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    traces = []

    def function(rows):
        traces.append(rows["x"].shape)
        result = model(rows["x"])
        return result if rows["y"] is None else result + rows["y"]

    return model, compile_function(model, function), traces


def test_a_compiled_function_sees_the_present_weights(model):
    model, compiled, _ = model
    x = np.ones((4, 3), "float32")
    for scale in (1.0, 2.0):
        model.set_weights([np.full((3, 2), scale, "float32"), np.zeros(2, "float32")])
        np.testing.assert_array_equal(compiled({"x": x, "y": None}), np.full((4, 2), 3 * scale))


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch compiles nothing")
def test_it_is_traced_once_a_shape(model):
    """On TensorFlow once for any number of rows."""
    _, compiled, traces = model
    for size in (4, 2, 4, 2, 4):
        compiled({"x": np.ones((size, 3), "float32"), "y": None})
        compiled({"x": np.zeros((size, 3), "float32"), "y": None})
    sizes = 1 if keras.backend.backend() == "tensorflow" else 2
    assert len(traces) == sizes
    compiled({"x": np.ones((4, 3), "float32"), "y": np.ones((4, 2), "float32")})
    assert len(traces) == sizes + 1


@pytest.mark.tensorflow_only
def test_tensorflow_rewrites_other_graphs_as_always_after_a_call_that_fails_too(model):
    from tensorflow.python.eager import context

    def options():
        return context.context().function_call_options.config_proto_serialized

    network, compiled, _ = model
    before = options()
    compiled({"x": np.ones((4, 3), "float32"), "y": None})
    assert options() == before
    failing = compile_function(network, lambda rows: keras.ops.reshape(rows, (-1, 5)))
    with pytest.raises(Exception, match="reshape"):
        failing(np.ones((4, 3), "float32"))
    assert options() == before


@pytest.mark.parametrize("total", [1, 2, 3, 4, 5, 8, 9, 11])
def test_chunks_have_one_size_and_give_each_row_once(total):
    sizes, progress = [], []

    def function(rows):
        sizes.append(len(rows["x"]))
        assert rows["nothing"] is None
        return {"twice": rows["x"] * 2, "pair": (rows["y"],)}

    x, y = np.arange(total), np.arange(total * 3).reshape(total, 3)
    result = run_in_chunks(
        function,
        {"x": x, "y": y, "nothing": None},
        limit=4,
        callback=lambda done, total: progress.append((done, total)),
    )
    np.testing.assert_array_equal(result["twice"], 2 * x)
    np.testing.assert_array_equal(result["pair"][0], y)
    expected = min(4, 1 << (total - 1).bit_length())
    assert set(sizes) == {expected}
    assert progress == [
        (min(done, total), total) for done in range(expected, total + expected, expected)
    ]


@pytest.mark.parametrize("limit", [0, -4, 2.5])
def test_a_wrong_batch_size_is_named(limit):
    with pytest.raises(ValueError, match=f"`batch_size` must be .*Received: batch_size={limit}"):
        run_in_chunks(lambda rows: rows, np.arange(3), limit=limit)


def test_what_is_not_optimized_gives_the_same():
    def random():
        return keras.ops.convert_to_numpy(keras.random.uniform((5, 3), seed=1))

    with without_optimizing():
        inside = random()
    np.testing.assert_allclose(inside, random(), rtol=1e-6)
    if keras.backend.backend() == "jax":
        import jax

        assert not jax.config.read("jax_disable_most_optimizations")
