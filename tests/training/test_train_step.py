"""The steps of each backend against steps worked out by hand, and against each other."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from keras_vqvae2.losses import weighted_mean
from keras_vqvae2.models import VQVAE2, HierarchicalPrior
from keras_vqvae2.training import CheckedFit, TrainStep


class Line(TrainStep, CheckedFit, keras.Model):
    """`w x + b` fitted to `t`; counts its training steps in a variable without gradient."""

    def __init__(self):
        super().__init__()
        self.w = self.add_weight(shape=(), initializer="ones", name="w")
        self.b = self.add_weight(shape=(), initializer="zeros", name="b")
        self.steps = self.add_weight(shape=(), initializer="zeros", trainable=False, name="steps")
        self.absolute = keras.metrics.Mean(name="absolute")
        self.built = True

    def call(self, inputs):
        return self.w * inputs["x"] + self.b

    def check_data(self, batch, name):
        pass

    def unpack(self, data):
        x, t, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        return {"t": t, "x": x}, sample_weight

    def compute_outputs(self, inputs, training):
        if training:
            self.steps.assign(self.steps + 1.0)
        return {"line": self(inputs)}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return weighted_mean(ops.square(y_pred["line"] - x["t"]), sample_weight)

    def update_metrics(self, x, outputs, sample_weight):
        self.absolute.update_state(ops.abs(outputs["line"] - x["t"]), sample_weight)
        return outputs["line"]

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, x["t"], y_pred, sample_weight)


RNG = np.random.default_rng(0)
X, T = RNG.normal(size=(2, 10)).astype("float32")
WEIGHTS = RNG.random(10).astype("float32")


def by_hand(w, b, batches, rate, momentum):
    """Stochastic gradient descent with momentum; the epoch's loss and absolute error."""
    velocity, loss, absolute, weight = np.zeros(2), 0.0, 0.0, 0.0
    for rows in batches:
        x, t, s = (a[rows].astype("float64") for a in (X, T, WEIGHTS))
        error = w * x + b - t
        loss += (s * error**2).mean() * len(x)
        absolute, weight = absolute + (s * abs(error)).sum(), weight + s.sum()
        gradient = np.array([(2 * s * error * x).mean(), (2 * s * error).mean()])
        velocity = momentum * velocity - rate * gradient
        w, b = np.array([w, b]) + velocity
    return w, b, loss / 10, absolute / weight


@pytest.mark.parametrize("scaled", [False, True])
def test_steps_are_those_of_gradient_descent_by_hand(scaled):
    model = Line()
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    if scaled:  # As under float16; a power of two changes no digit.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=2.0**10)
    model.compile(optimizer=optimizer, metrics=["mse"])
    # Ten examples by four: the last batch is smaller.
    history = model.fit(X, T, sample_weight=WEIGHTS, batch_size=4, shuffle=False, verbose=0).history
    batches = [slice(0, 4), slice(4, 8), slice(8, 10)]
    w, b, loss, absolute = by_hand(1.0, 0.0, batches, 0.1, 0.9)
    # Three steps in float32.
    assert float(model.w) == pytest.approx(w, rel=1e-5)
    assert float(model.b) == pytest.approx(b, rel=1e-5)
    assert float(model.steps) == 3
    assert history["loss"][0] == pytest.approx(loss, rel=1e-5)
    assert history["absolute"][0] == pytest.approx(absolute, rel=1e-5)


def test_evaluation_changes_nothing_but_its_metrics():
    model = Line()
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    logs = model.evaluate(X, T, batch_size=4, verbose=0, return_dict=True)
    errors = X.astype("float64") - T
    assert logs["loss"] == pytest.approx((errors**2).mean(), rel=1e-5)
    assert logs["absolute"] == pytest.approx(abs(errors).mean(), rel=1e-5)
    assert (float(model.w), float(model.b), float(model.steps)) == (1.0, 0.0, 0.0)
    # And a second time the same: the metrics start anew.
    assert model.evaluate(X, T, batch_size=4, verbose=0, return_dict=True) == logs


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch traces nothing")
def test_a_step_is_traced_once():
    """Also the first one of a new optimizer, which has variables to create."""
    model, traces = Line(), []
    outputs = model.compute_outputs
    model.compute_outputs = lambda inputs, training: (
        traces.append(training) or outputs(inputs, training)
    )
    model.compile(optimizer="adam")
    model.fit(X, T, validation_data=(X, T), batch_size=5, epochs=2, verbose=0)
    assert sorted(traces) == [False, True]


class Batches(keras.utils.PyDataset):
    def __init__(self, count):
        super().__init__()
        self.count, self.asked = count, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.asked.append(index)
        return X[4 * index : 4 * index + 4], T[4 * index : 4 * index + 4]


def test_a_py_dataset_keeps_its_order():
    model, data = Line(), Batches(2)
    model.compile(optimizer="sgd")
    for _ in range(3):
        data.asked.clear()
        model.fit(data, verbose=0)
        assert data.asked[-2:] == [0, 1]
    assert float(model.steps) == 6


def test_data_without_a_batch_is_named():
    model = Line()
    model.compile(optimizer="sgd")
    for door in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="`x` must hold at least one batch.*an empty dataset"):
            door(Batches(0))
        with pytest.raises(ValueError, match="`x` must be arrays or a dataset. Received: x=None"):
            door(None)
    with pytest.raises(ValueError, match="`validation_data` must hold at least one batch"):
        model.fit(X, T, validation_data=Batches(0))


class Checked(Line):
    """Keeps what it is given to check."""

    def check_data(self, batch, name):
        self.checked = [np.asarray(part) for part in batch]


def test_the_first_batch_of_a_generator_is_checked_and_read():
    def batches():
        return ((X[start : start + 4], T[start : start + 4]) for start in (0, 4))

    model = Checked()
    model.compile(optimizer="sgd")
    options = {"steps_per_epoch": 2, "shuffle": False, "verbose": 0}
    model.fit(batches(), validation_data=(X, T), **options)
    assert float(model.steps) == 2
    logs = model.evaluate(batches(), steps=2, verbose=0, return_dict=True)
    np.testing.assert_array_equal(model.checked, (X[:4], T[:4]))
    assert logs == model.evaluate(X[:8], T[:8], batch_size=4, verbose=0, return_dict=True)
    with pytest.raises(ValueError, match="`x` must hold at least one batch.*an empty dataset"):
        model.fit(batch for batch in ())


@pytest.mark.parametrize("pack", [lambda data: data, lambda data: (data,)])
def test_a_generator_validates_by_all_its_batches(pack):
    model, checked = Checked(), []
    model.check_data = lambda batch, name: checked.append(name)
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    validation = pack((X[start : start + 4], T[start : start + 4]) for start in (0, 4))
    options = {"validation_data": validation, "validation_steps": 2, "verbose": 0}
    history = model.fit(X, T, **options).history
    assert checked == ["x", "validation_data"]
    logs = model.evaluate(X[:8], T[:8], batch_size=4, verbose=0, return_dict=True)
    assert history["val_loss"] == [logs["loss"]]


def test_a_loader_is_checked_and_left_as_it_was(monkeypatch):
    class Loader:
        """As torch's: batches by iteration, as often as one asks."""

        def __iter__(self):
            return iter([(X[:4], T[:4])])

        def __len__(self):
            return 1

    taken = []
    monkeypatch.setattr(keras.Model, "evaluate", lambda self, x, y: taken.append(x))
    model, loader = Checked(), Loader()
    model.compile(optimizer="sgd")
    model.evaluate(loader)
    assert taken == [loader]
    np.testing.assert_array_equal(model.checked, (X[:4], T[:4]))


def weights_of(model):
    return [keras.ops.convert_to_numpy(v).astype("float64") for v in model.trainable_variables]


def set_weights(model, weights):
    for variable, new in zip(model.trainable_variables, weights, strict=True):
        variable.assign(new)


def test_a_prior_steps_along_the_slope_of_its_loss():
    """What one SGD step moved is the gradient: the loss of `evaluate` changes by its square."""
    model = HierarchicalPrior.from_code_shapes(((1, 1), (2, 2)), 3, filters=4, num_blocks=1)
    model.compile(keras.optimizers.SGD(1.0))
    rng = np.random.default_rng(0)
    start = [rng.normal(scale=0.4, size=v.shape) for v in model.trainable_variables]
    codes = tuple(rng.integers(0, 3, (8, *shape)) for shape in model.code_shapes)
    set_weights(model, start)
    start = weights_of(model)
    model.fit(codes, batch_size=8, verbose=0)
    gradient = [a - b for a, b in zip(start, weights_of(model), strict=True)]
    for direction in (gradient, [rng.normal(size=g.shape) for g in gradient]):
        slope = sum((g * d).sum() for g, d in zip(gradient, direction, strict=True))
        step, losses = 1e-3, []
        for sign in (1, -1):
            moved = [s + sign * step * d for s, d in zip(start, direction, strict=True)]
            set_weights(model, moved)
            losses.append(model.evaluate(codes, batch_size=8, verbose=0, return_dict=True)["loss"])
        # A float32 loss near 2 is off by 2e-7, over a distance of 2e-3: 1e-4; a ReLU may bend.
        assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(slope, rel=2e-2, abs=2e-3)


STEPS = """
import sys
import numpy as np
import keras
from keras_vqvae2.models import VQVAE2, HierarchicalPrior


def run(weights_file, results_file):
    stored, results = dict(np.load(weights_file)), {}
    # No k-means and no restarts: their random choices are a backend's own.
    options = {"kmeans_iterations": 0, "restart_threshold": 0.0}
    vqvae = VQVAE2(
        (8, 8, 1), filters=4, num_residual_blocks=1, num_embeddings=4, embedding_dim=3,
        quantizer_options=options,
    )
    prior = HierarchicalPrior.from_vqvae(vqvae, filters=4, num_blocks=1, num_classes=2)
    for name, model in {"vqvae": vqvae, "prior": prior}.items():
        for index, variable in enumerate(model.trainable_variables):
            rng = np.random.default_rng(index)
            variable.assign(rng.normal(scale=0.3, size=variable.shape))
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9))
    for quantizer in vqvae.quantizers:
        quantizer.sums.assign(np.random.default_rng(1).normal(size=(4, 3)))
    fit = {"batch_size": 4, "epochs": 2, "shuffle": False, "verbose": 0}
    logs = vqvae.fit(stored["images"], sample_weight=stored["weights"], **fit).history
    results.update({f"vqvae_{key}": value for key, value in logs.items()})
    codes = (stored["top"], stored["bottom"])
    logs = prior.fit(codes, stored["labels"], sample_weight=stored["weights"], **fit).history
    results.update({f"prior_{key}": value for key, value in logs.items()})
    for name, model in {"vqvae": vqvae, "prior": prior}.items():
        for index, variable in enumerate(model.trainable_variables):
            results[f"{name}_{index}"] = keras.ops.convert_to_numpy(variable)
    for index, quantizer in enumerate(vqvae.quantizers):
        results[f"counts_{index}"] = keras.ops.convert_to_numpy(quantizer.counts)
        results[f"sums_{index}"] = keras.ops.convert_to_numpy(quantizer.sums)
    np.savez(results_file, **results)


if __name__ == "__main__":
    run(*sys.argv[1:])
"""


@pytest.mark.long
@pytest.mark.tensorflow_only
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_other_backends_take_the_same_steps(tmp_path, backend):
    pytest.importorskip(backend)
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "data.npz",
        images=rng.integers(0, 256, (8, 8, 8, 1)),
        weights=rng.random(8).astype("float32"),
        top=rng.integers(0, 4, (8, 1, 1)),
        bottom=rng.integers(0, 4, (8, 2, 2)),
        labels=rng.integers(0, 2, 8),
    )
    script = tmp_path / "steps.py"
    script.write_text(STEPS)
    other = subprocess.Popen(
        [sys.executable, script, tmp_path / "data.npz", tmp_path / "other.npz"],
        env={**os.environ, "KERAS_BACKEND": backend},
    )
    namespace = {"__name__": "steps"}
    exec(STEPS, namespace)
    namespace["run"](tmp_path / "data.npz", tmp_path / "tensorflow.npz")
    assert other.wait(timeout=300) == 0
    here, there = np.load(tmp_path / "tensorflow.npz"), np.load(tmp_path / "other.npz")
    assert set(here) == set(there)
    for key in here:
        # Four steps of float32 sums in two orders.
        np.testing.assert_allclose(here[key], there[key], rtol=2e-4, atol=2e-5, err_msg=key)


def test_models_take_the_steps_of_this_backend():
    for model in (VQVAE2, HierarchicalPrior):
        assert model.train_step is TrainStep.train_step
        assert TrainStep.__module__ == f"keras_vqvae2.training.{keras.backend.backend()}"


def test_another_backend_is_named(monkeypatch):
    spec = importlib.util.find_spec("keras_vqvae2.training")
    monkeypatch.setattr(keras.backend, "backend", lambda: "openvino")
    message = "runs on the TensorFlow, the JAX and the PyTorch backend. Received: backend='openvino"
    with pytest.raises(ImportError, match=message):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="the state is an attribute on JAX")
def test_no_step_of_fit_searches_the_state_for_layers():
    found, model = [], Line()
    model.compile("sgd")
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: found.append(
            type(model._jax_state["trainable_variables"])
        )
    )
    model.fit(X, T, batch_size=5, callbacks=[watch], verbose=0)
    assert found == [list, list]  # a copy that tracks layers has another type
