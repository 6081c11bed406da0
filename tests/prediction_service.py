"""A server that answers as TensorFlow Serving does, on the official protos and its session loader.

gRPC `Predict` and `GetModelMetadata`, and REST `predict` in rows or columns.
"""

import json
import re
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import grpc
import numpy as np
import tensorflow as tf
from session_model import SessionModel
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, name, path):
        self.name, self.model = name, SessionModel(path)

    def _signature(self, spec, context):
        if spec.name != self.name:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {spec.name}")
        name = spec.signature_name or "serving_default"
        if name not in self.model.signatures:
            message = f'Serving signature key "{name}" not found.'
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, message)
        return name, self.model.signatures[name]

    def Predict(self, request, context):
        name, signature = self._signature(request.model_spec, context)
        refuse = grpc.StatusCode.INVALID_ARGUMENT
        if unknown := set(request.inputs) - set(signature.inputs):
            context.abort(refuse, f"input tensor alias not found in signature: {min(unknown)}")
        inputs = {}
        for key in signature.inputs:
            proto = request.inputs.get(key, signature.defaults.get(key))
            if proto is None:
                context.abort(refuse, f"Signature input alias: {key} not found in request")
            try:
                inputs[key] = tf.make_ndarray(proto)
            except (ValueError, TypeError):
                context.abort(refuse, f"tensor parsing error: {key}")
        try:
            outputs = self.model.run(name, inputs)
        except tf.errors.InvalidArgumentError as error:
            context.abort(refuse, error.message)
        response = predict_pb2.PredictResponse()
        response.model_spec.name, response.model_spec.signature_name = self.name, name
        for key in request.output_filter or outputs:
            response.outputs[key].CopyFrom(tf.make_tensor_proto(outputs[key]))
        return response

    def GetModelMetadata(self, request, context):
        if list(request.metadata_field) != ["signature_def"]:
            message = "Metadata field must be signature_def"
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in self.model.signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = self.name
        response.metadata["signature_def"].Pack(signatures)
        return response


def rest_handler(service):
    """A handler of REST requests, `instances` or `inputs`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            name = re.fullmatch(r"/v1/models/(.*):predict", self.path)[1]
            assert name == service.name
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            signature_name = body.get("signature_name", "serving_default")
            signature = service.model.signatures[signature_name]
            columns = body.get("inputs")
            if columns is None:
                columns = {key: [row[key] for row in body["instances"]] for key in signature.inputs}
            inputs = {
                key: np.array(value, tf.as_dtype(signature.inputs[key].dtype).as_numpy_dtype)
                for key, value in columns.items()
            }
            outputs = service.model.run(signature_name, inputs)
            outputs = {key: value.tolist() for key, value in outputs.items()}
            alone = len(outputs) == 1  # then without its name
            if "instances" in body:
                rows = zip(*outputs.values(), strict=True)
                rows = [row[0] if alone else dict(zip(outputs, row, strict=True)) for row in rows]
                answer = {"predictions": rows}
            else:
                answer = {"outputs": next(iter(outputs.values())) if alone else outputs}
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments):
            pass

    return Handler


class Server:
    """The service on two ports of loopback, within a `with`."""

    def __init__(self, name, path):
        self.service = Service(name, path)

    def __enter__(self):
        self._grpc = grpc.server(futures.ThreadPoolExecutor(4))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            self.service, self._grpc
        )
        self.address = f"localhost:{self._grpc.add_insecure_port('localhost:0')}"
        self._grpc.start()
        self._rest = ThreadingHTTPServer(("localhost", 0), rest_handler(self.service))
        self.rest_address = f"localhost:{self._rest.server_port}"
        Thread(target=self._rest.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self._rest.shutdown()
        self._grpc.stop(None)
