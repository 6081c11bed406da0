"""The page that goes with an exported model: what it is, how good it is, how to ask it."""

from importlib import metadata
from pathlib import Path

from keras_vqvae2.evaluation.report import score_rows, score_sentences, shape_text
from keras_vqvae2.export.saved_model import read_signatures

LICENCES = {
    "emoji32": "Noto Emoji at 32 pixels, © Google LLC and the Noto Emoji authors, Apache-2.0; "
    "Twemoji, © Twitter, Inc and other contributors, CC-BY 4.0; "
    "Fluent Emoji, © Microsoft Corporation, MIT",
    "fashion_mnist": "Fashion-MNIST, © 2017 Zalando SE, MIT",
}

PURPOSES = {
    "complete": "the known pixels' reconstruction, the rest sampled",
    "decode": "the images of codes",
    "encode": "the codes of images",
    "log_prob": "the log-likelihood of the images' codes",
    "reconstruct": "images encoded and decoded",
    "sample": "new images, one a seed",
    "sample_from_noise": "new images from uniform numbers in [0, 1); no random operation",
}

PAGE = """\
# {name}, version {version}

Generates, completes, encodes and scores images of {image}. A hierarchical VQ-VAE-2 with a PixelCNN
prior over its codes, exported by keras-vqvae2 {package} as a TensorFlow SavedModel; it needs
TensorFlow or TensorFlow Serving to run, and nothing else.

## Model

{model}

## Data

{data}

## Scores

Means over all images of a split, by `keras-vqvae2 evaluate`.

{scores}

{note}
{samples}{curves}
## Signatures

`B` is the number of images, any from 1 on; row `i` of the outputs depends on row `i` of the inputs
alone. Pixels are uint8. An input with a default may be left out, or have one row for all images.
Over REST, and to a server that joins requests (`--enable_batching`), give every input one row an
image. What is wrong is answered by `INVALID_ARGUMENT` and the name of the input.

{signatures}

{labels}`top_k` 0 and `top_p` 1 mean: not used. `mask` is true where a pixel is known.
`log_prob` is in nats, the total over the levels. `serving_default` is `sample`.

## Requests

Over gRPC, with `pip install tensorflow-serving-api`:

```python
import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel("localhost:8500"))


def predict(signature, **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "{name}"
    request.model_spec.signature_name = signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    outputs = stub.Predict(request, timeout=60).outputs
    return {{key: tf.make_ndarray(outputs[key]) for key in outputs}}

```

Over REST:

```python
import json
import urllib.request


def predict(signature, **inputs):
    columns = {{key: value.tolist() for key, value in inputs.items()}}
    body = json.dumps({{"signature_name": signature, "inputs": columns}}).encode()
    url = "http://localhost:8501/v1/models/{name}:predict"
    with urllib.request.urlopen(url, body) as response:
        outputs = json.load(response)["outputs"]
    # A single output comes without its name.
    return outputs if isinstance(outputs, dict) else {{None: outputs}}
```

A call of each signature, by either of them:

```python
{calls}
```
"""


def model_card(name, model, directory, report):
    """Describe an exported model in Markdown.

    Args:
        name: of the model on the server.
        model: the `ImageGenerator` that was exported.
        directory: folder of its SavedModel, whose name is the number of the version.
        report: the dict of `report.json`, which says how good it is and on what data.

    Returns:
        The page, as text.

    Example:

    ```python
    model_card("emoji32", model, "saved_model/1", json.loads(report_file.read_text()))
    ```
    """
    directory = Path(directory)
    signatures = read_signatures(directory)
    del signatures["serving_default"]
    sizes = [file.stat().st_size for file in directory.rglob("*") if file.is_file()]
    dataset = report["dataset"]
    labels = ""
    if model.num_classes is not None:
        names = model.label_names or map(str, range(model.num_classes))
        numbered = ", ".join(f"{number} {label}" for number, label in enumerate(names))
        labels = f"`labels` are the classes: {numbered}. "
    if model.prior.labels_optional:
        labels += "-1 is no class. `guidance` makes the class clearer: 1 not at all, 2 to 4 a lot. "
    return PAGE.format(
        name=name,
        version=directory.name,
        image=shape_text(model.image_shape),
        package=metadata.version("keras-vqvae2"),
        model=_model_table(model, sum(sizes)),
        data=f"{dataset}: {LICENCES.get(dataset, 'see the source of the data for its licence')}.",
        scores=_score_table(report),
        note=report["note"],
        samples=_samples(report),
        curves=_curves(report),
        signatures=_signature_table(signatures),
        labels=labels,
        calls=_calls(signatures),
    )


def _model_table(model, num_bytes):
    vqvae, priors = model.vqvae, model.prior
    rows = [
        ("images", shape_text(model.image_shape)),
        ("classes", model.num_classes or "none"),
        *(
            (f"{level} codes", f"{shape_text(shape)}, each one of {size}")
            for level, shape, size in zip(
                vqvae.level_names, vqvae.code_shapes, vqvae.num_embeddings, strict=True
            )
        ),
        ("parameters", f"{vqvae.count_params():,} VQ-VAE-2, {priors.count_params():,} prior"),
        ("size", f"{num_bytes / 1e6:.1f} MB"),
    ]
    return _table(("", ""), rows)


def _score_table(report):
    splits = list(report["reconstruction"])
    bits = report["bits_per_image_dimension"]
    errors = [report["reconstruction"][split] for split in splits]
    rows = [
        ("reconstruction MSE, pixels on [-1, 1]", *(f"{error['mse']:.4f}" for error in errors)),
        ("reconstruction PSNR, dB", *(f"{error['psnr']:.1f}" for error in errors)),
        ("reconstruction SSIM", *(f"{error['ssim']:.3f}" for error in errors)),
    ]
    for level, values in report["levels"].items():
        per_code = (f"{values['bits_per_code'][split]:.2f}" for split in splits)
        rows.append((f"prior, bits a {level} code", *per_code))
    rows.append(("bits of all codes an image dimension", *(f"{bits[s]:.3f}" for s in splits)))
    first = splits[0]
    for level, values in report["levels"].items():
        used = f"{values['usage']:.0%} in use, perplexity {values['perplexity']:.0f}"
        rows.append((f"{level} codebook on {first}", used, *[""] * (len(splits) - 1)))
    return _table(("", *splits), rows)


def _samples(report):
    """The section on samples, if they were scored."""
    if "samples" not in report:
        return ""
    head, *rows = score_rows(report["samples"])
    sentences = " ".join(score_sentences(report["samples"]))
    return f"\n## Samples\n\n{_table(head, rows)}\n\n{sentences}\n"


def _curves(report):
    """The section on how the prior learned: its likelihood by epoch, on both splits."""
    history = report.get("history", [])
    if not any("val_bits_per_code" in logs for logs in history):
        return ""
    best = min(range(len(history)), key=lambda epoch: history[epoch]["val_bits_per_code"])
    weights = f"those of the best validation, epoch {best + 1}"
    last = len(history) - 1
    if history[last].get("kept") and best != last:  # for the sake of its samples
        best, weights = last, f"those of epoch {last + 1}, not of the best validation"
    # Evenly spread, with the first, the best and the last.
    shown = {round(place * last / 11) for place in range(12)} | {best}
    # A level may learn by heart while all of them together still gain.
    levels = {f"{name}, validation": f"val_{name}_bits_per_code" for name in report["levels"]}
    curves = {"training": "bits_per_code", "validation": "val_bits_per_code", **levels}

    def row(epoch):
        # A loop of one's own may know its validation alone.
        values = (history[epoch].get(key) for key in curves.values())
        return (
            f"**{epoch + 1}**" if epoch == best else epoch + 1,
            *("" if value is None else f"{value:.3f}" for value in values),
        )

    table = _table(("epoch", *curves), map(row, sorted(shown)))
    return (
        "\n## How the prior learned\n\nBits a code over all levels, while training (with dropout) "
        f"and after the epoch. Its weights are {weights}.\n\n"
        f"{table}\n"
    )


def _signature_table(signatures):
    rows = []
    for name, signature in signatures.items():
        inputs = [
            _tensor(key, info) + _default(signature.defaults.get(key))
            for key, info in sorted(signature.inputs.items())
        ]
        outputs = [_tensor(key, info) for key, info in sorted(signature.outputs.items())]
        rows.append((f"`{name}`", PURPOSES[name], "<br>".join(inputs), "<br>".join(outputs)))
    return _table(("signature", "gives", "inputs", "outputs"), sorted(rows))


def _tensor(name, info):
    from tensorflow import as_dtype

    sizes = ["B", *(dim.size for dim in info.tensor_shape.dim[1:])]
    return f"`{name}` {as_dtype(info.dtype).name} [{', '.join(map(str, sizes))}]"


def _default(proto):
    from tensorflow import make_ndarray

    return "" if proto is None else f", default {make_ndarray(proto).item():g}"


def _calls(signatures):
    """A call of each signature for two images, in Python: of defaults, or zeros."""
    calls = []
    for name, signature in sorted(signatures.items()):
        calls.append(f'outputs = predict(\n    "{name}",')
        calls += [
            f"    {key}={_example(info, signature.defaults.get(key))},"
            for key, info in sorted(signature.inputs.items())
        ]
        calls.append(")")
    return "\n".join(calls)


def _example(info, default):
    from tensorflow import as_dtype, make_ndarray

    shape = [2, *(dim.size for dim in info.tensor_shape.dim[1:])]
    sizes = shape[0] if len(shape) == 1 else tuple(shape)
    dtype = as_dtype(info.dtype).name
    value = 0 if default is None else make_ndarray(default).item()
    return f'np.full({sizes}, {value:g}, "{dtype}")' if value else f'np.zeros({sizes}, "{dtype}")'


def _table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
