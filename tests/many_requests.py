"""Clients that ask a server for images, half of the time wrongly, and know what it is to answer."""

import gc
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

grpc = pytest.importorskip("grpc", reason="the extra `serving` is not installed")

CLIENTS = 16
INT64, INT32 = np.iinfo("int64"), np.iinfo("int32")
# What breaks the rule of an input, whatever its shape.
BROKEN = {
    "temperature": [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-45],
    "top_p": [np.nan, np.inf, 0.0, -0.5, 1.0001],
    "top_k": [-1, INT32.min],
    "labels": [-1, 9, INT32.min, INT32.max],
    "codes_top": [-1, 7, INT32.max],
    "codes_bottom": [-1, 7, INT32.min],
    "uniforms_top": [np.nan, 1.0, -0.25, np.inf],
    "uniforms_bottom": [np.nan, 1.0, -0.25, -np.inf],
}
ROWS = 12


def right_rows(model):
    """Right inputs of all signatures, `ROWS` of each, with the ends of their ranges among them."""
    rng = np.random.default_rng(0)
    seeds = rng.integers(INT64.min, INT64.max, ROWS, endpoint=True)
    seeds[:5] = INT64.min, INT64.max, -1, 0, 2**32
    result = {
        "images": rng.integers(0, 256, (ROWS, *model.image_shape), dtype="uint8"),
        "mask": rng.random((ROWS, *model.image_shape[:2])) < 0.5,
        "seed": seeds,
        "labels": np.arange(ROWS, dtype="int32") % 9,
        "temperature": np.geomspace(0.1, 10, ROWS, dtype="float32"),
        "top_k": np.arange(ROWS, dtype="int32"),
        "top_p": np.linspace(0.2, 1, ROWS, dtype="float32"),
    }
    for name, shape in zip(("top", "bottom"), model.vqvae.code_shapes, strict=True):
        result[f"codes_{name}"] = rng.integers(0, 7, (ROWS, *shape), dtype="int32")
        result[f"uniforms_{name}"] = rng.random((ROWS, *shape), dtype="float32")
    return result


def answers_alone(server, rows):
    """The outputs of each row of each signature, asked for alone."""
    signatures = server.service.model.signatures
    result = {}
    with grpc.insecure_channel(server.address) as channel:
        for name in signatures:
            if not name.startswith("__"):
                keys = list(signatures[name].inputs)
                answers = [
                    ask(channel, name, {key: rows[key][[row]] for key in keys})
                    for row in range(ROWS)
                ]
                result[name] = {
                    key: np.concatenate([answer[key] for answer in answers]) for key in answers[0]
                }
    return result


def ask(channel, signature, inputs):
    """The outputs of a `Predict` call."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "emoji32", signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    outputs = stub.Predict(request, timeout=120).outputs
    return {key: tf.make_ndarray(outputs[key]) for key in outputs}


def spoiled(inputs, given, rng):
    """A request with one thing wrong, and the name that the answer must have.

    `given` are the inputs without a default; the first of them tells how many rows there are.
    """
    name = str(rng.choice(list(inputs)))
    value = inputs[name]
    kinds = ["kind", "rank", "scalar", "no rows", "text", "extra"]
    kinds += ["more rows"] * (name != given[0]) + ["missing"] * (name in given)
    kinds += ["size"] * (value.ndim > 1) + ["rule"] * 3 * (name in BROKEN)
    kind = str(rng.choice(kinds))
    if kind == "extra":
        return {**inputs, "sead": value}, "sead"
    if kind == "missing":
        return {key: other for key, other in inputs.items() if key != name}, name
    if kind == "rule":
        wrong = value.copy()
        wrong.reshape(-1)[rng.integers(value.size)] = rng.choice(BROKEN[name])
    else:
        wrong = {
            "kind": lambda: value.astype("float64"),
            "rank": lambda: value[None],
            "scalar": lambda: value.ravel()[0],
            "no rows": lambda: value[:0],
            "text": lambda: np.full(value.shape, b"x", dtype=object),
            "more rows": lambda: np.repeat(value, 3, axis=0),
            "size": lambda: np.repeat(value, 2, axis=-1),
        }[kind]()
    return {**inputs, name: wrong}, name


class Client:
    """Asks one thing after the other, of which a given share is wrong."""

    def __init__(self, server, rows, expected, number):
        self.server, self.rows, self.expected = server, rows, expected
        self.rng = np.random.default_rng(number)
        self.answered = {"right": 0, "refused": 0}

    def request(self):
        """A signature, the rows, and right inputs."""
        rng, signatures = self.rng, self.server.service.model.signatures
        name = str(rng.choice(list(self.expected)))
        count = int(rng.choice([1, 2, 5, 1000], p=[0.4, 0.3, 0.25, 0.05]))
        chosen = rng.integers(0, ROWS, count)
        signature = signatures[name]
        return name, chosen, {key: self.rows[key][chosen] for key in signature.inputs}

    def run(self, count):
        with grpc.insecure_channel(self.server.address) as channel:
            for _ in range(count):
                name, chosen, inputs = self.request()
                if self.rng.random() < 0.5:
                    self.expect_refusal(channel, name, inputs)
                else:
                    self.expect_answer(channel, name, chosen, inputs)
        return self.answered

    def expect_answer(self, channel, name, chosen, inputs):
        for key, value in ask(channel, name, inputs).items():
            expected = self.expected[name][key][chosen]
            if key == "log_prob":
                np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)
            else:  # the last bit before a pixel is rounded depends on the size of the batch
                assert np.abs(value.astype(int) - expected).max() <= (key == "images")
        self.answered["right"] += 1

    def expect_refusal(self, channel, name, inputs):
        signature = self.server.service.model.signatures[name]
        given = [key for key in inputs if key not in signature.defaults]
        wrong, wanted = spoiled(inputs, given, self.rng)
        with pytest.raises(grpc.RpcError) as error:
            ask(channel, name, wrong)
        details = error.value.details()
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT, details
        assert wanted in details
        self.answered["refused"] += 1


def resident():
    """Bytes of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def ask_all(server, rows, expected, requests, seed):
    """Sixteen clients at once; how many requests were answered in each way."""
    clients = [Client(server, rows, expected, (seed, number)) for number in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        results = [pool.submit(client.run, requests // CLIENTS) for client in clients]
        answers = [result.result() for result in results]
    return {kind: sum(answer[kind] for answer in answers) for kind in answers[0]}


def check_again(server, rows, expected):
    """Ask for the first row of each signature again: the answer is that of before."""
    with grpc.insecure_channel(server.address) as channel:
        for name, outputs in expected.items():
            keys = server.service.model.signatures[name].inputs
            for key, value in ask(channel, name, {key: rows[key][:1] for key in keys}).items():
                np.testing.assert_array_equal(value, outputs[key][:1])
