"""What TensorFlow Serving needs beside a SavedModel, and what its users need to know of it.

```
saved_model/
  models.config        name of the model and where the server finds it
  batching.config      how the server joins requests
  1/                   a version: the SavedModel, and beside it
    MODEL_CARD.md
    assets.extra/tf_serving_warmup_requests
```
"""

import re
import shlex
from pathlib import Path

from keras_vqvae2.export.saved_model import read_signatures

WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
# Where the server's container has the models.
CONTAINER_FOLDER = "/models"

MODELS_CONFIG = """\
# The folder as a container has it that was started by `keras-vqvae2 serve-command`.
model_config_list {{
  config {{
    name: "{name}"
    base_path: "{folder}/{name}"
    model_platform: "tensorflow"
  }}
}}
"""

BATCHING_CONFIG = """\
# Requests that wait are joined, per signature, to batches of up to so many images. A batch of 64
# takes about ten times as long as one image; less if images must come back sooner.
max_batch_size { value: 64 }
# The longest wait of the first request of a batch. Small beside the time of a batch.
batch_timeout_micros { value: 2000 }
# Batches at a time. One uses all cores already; a second one fills the gaps.
num_batch_threads { value: 2 }
# Batches that may wait; more requests are refused with UNAVAILABLE, to be tried again elsewhere.
max_enqueued_batches { value: 8 }
"""


def write_warmup(directory, name):
    """Write a request for each signature, which the server sends itself before it takes others.

    The first call of a signature takes seconds, since TensorFlow optimizes its graph then.

    Args:
        directory: folder of a SavedModel.
        name: of the model on the server.

    Raises:
        ModuleNotFoundError: without `tensorflow-serving-api`.

    Example:

    ```python
    write_warmup("savedmodels/emoji32/1", "emoji32")
    ```
    """
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    file = Path(directory) / WARMUP_FILE
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for signature_name, signature in sorted(read_signatures(directory).items()):
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = signature_name
            for key, info in signature.inputs.items():
                # Zeros are valid wherever there is no default.
                zeros = tf.zeros([max(d.size, 1) for d in info.tensor_shape.dim], info.dtype)
                request.inputs[key].CopyFrom(
                    signature.defaults.get(key, tf.make_tensor_proto(zeros))
                )
            log = prediction_log_pb2.PredictLog(request=request)
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())


def serve_command(directory, port=8500, rest_port=8501):
    """Return the commands that serve a folder of versions: the server's own, and `docker run`.

    Args:
        directory: folder that `export` wrote: versions, `models.config`, `batching.config`.
        port: for gRPC.
        rest_port: for REST.

    Returns:
        Two lines for a shell.

    Raises:
        ValueError: if the folder holds no version or no configuration.

    Example:

    ```python
    server, container = serve_command("runs/emoji32/saved_model")
    ```
    """
    directory = Path(directory).resolve()
    config = directory / "models.config"
    if not versions(directory) or not config.exists():
        raise ValueError(
            "`directory` must hold `models.config` and a folder `1` or so with a SavedModel, as "
            f"`keras-vqvae2 export` writes them. Received: directory={directory}"
        )
    found = re.search(r'name: "([\w.-]+)"', config.read_text())
    if found is None:
        raise ValueError(f"{config} must name its model by letters, digits, `_`, `.` and `-`.")
    name = found[1]
    inside = f"{CONTAINER_FOLDER}/{name}"
    server = [
        "tensorflow_model_server",
        f"--port={port}",
        f"--rest_api_port={rest_port}",
        f"--model_name={name}",
        f"--model_base_path={directory}",
        "--enable_batching=true",
        f"--batching_parameters_file={directory / 'batching.config'}",
    ]
    container = [
        *("docker", "run", "--rm", "-p", f"{port}:8500", "-p", f"{rest_port}:8501"),
        *("-v", f"{directory}:{inside}:ro", "tensorflow/serving"),
        f"--model_config_file={inside}/models.config",
        "--enable_batching=true",
        f"--batching_parameters_file={inside}/batching.config",
    ]
    return shlex.join(server), shlex.join(container)


def versions(directory):
    """Return the numbers of the versions in a folder."""
    return [
        int(path.parent.name)
        for path in Path(directory).glob("*/saved_model.pb")
        if path.parent.name.isdecimal()
    ]
