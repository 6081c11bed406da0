"""Ask a served model for 16 images by seed, class and temperature, and write a picture of them.

    keras-vqvae2 serve-command runs/emoji32/saved_model     # prints how to start the server
    python examples/serving_client.py --model emoji32 --temperature 0.9
    python examples/serving_client.py --model emoji32 --rest --label 15 --guidance 2

REST knows no defaults: there a model by class wants its label, and one that is guided the guidance.
Needs `pip install tensorflow-serving-api pillow`, and not this package.
"""

import argparse
import json
import urllib.request

import numpy as np
from PIL import Image


def over_grpc(address, model, inputs):
    """Return the images of a `Predict` call."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest(output_filter=["images"])
    request.model_spec.name = model
    request.model_spec.signature_name = "sample"
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = stub.Predict(request, timeout=60)
    return tf.make_ndarray(response.outputs["images"])


def over_rest(address, model, inputs):
    """Return the images of a `predict` request, a row an image."""
    columns = {key: value.tolist() for key, value in inputs.items()}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    body = json.dumps({"signature_name": "sample", "instances": rows}).encode()
    url = f"http://{address}/v1/models/{model}:predict"  # of no other scheme
    with urllib.request.urlopen(url, body, timeout=60) as response:  # nosec B310
        predictions = json.load(response)["predictions"]
    return np.array([row["images"] for row in predictions], "uint8")


def main():
    """Parse the flags, ask, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="emoji32", help="its name on the server")
    parser.add_argument(
        "--address", help="host:port; by default localhost, 8500 or with --rest 8501"
    )
    parser.add_argument("--rest", action="store_true", help="REST in place of gRPC")
    parser.add_argument("--seed", type=int, default=0, help="of the first image")
    parser.add_argument("--label", type=int, help="class of all images, if the model has classes")
    parser.add_argument("--guidance", type=float, help="by the class, if the model can be guided")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--out", default="served.png")
    flags = parser.parse_args()

    # A row an image for every input: a server that joins requests takes nothing else.
    inputs = {
        "seed": np.arange(flags.seed, flags.seed + 16, dtype="int64"),
        "temperature": np.full(16, flags.temperature, "float32"),
        "top_k": np.zeros(16, "int32"),
        "top_p": np.ones(16, "float32"),
    }
    if flags.label is not None:
        inputs["labels"] = np.full(16, flags.label, "int32")
    if flags.guidance is not None:
        inputs["guidance"] = np.full(16, flags.guidance, "float32")
    ask = over_rest if flags.rest else over_grpc
    address = flags.address or ("localhost:8501" if flags.rest else "localhost:8500")
    images = ask(address, flags.model, inputs)
    picture = np.concatenate([np.concatenate(row, axis=1) for row in np.split(images, 4)])
    Image.fromarray(picture.squeeze()).save(flags.out)
    print(f"wrote {flags.out}")


if __name__ == "__main__":
    main()
