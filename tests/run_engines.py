"""Run exported files in their engines alone, where no other library of ours can be imported.

    python run_engines.py FOLDER

FOLDER has models, `model/format/signature`, and `inputs.npz`, whose names go on with a number of
rows and the input: `model/format/signature/rows/input`. Answers come as `outputs.npz`.
"""

import sys
from pathlib import Path

import numpy as np


def onnx(file):
    import onnxruntime

    session = onnxruntime.InferenceSession(file.with_suffix(".onnx"))
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))


def openvino(file):
    import openvino

    options = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(file.with_suffix(".xml"), "CPU", options)
    return lambda inputs: {port.get_any_name(): x for port, x in model(inputs).items()}


def litert(file):
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(file.with_suffix(".tflite"))).get_signature_runner()
    return lambda inputs: runner(**inputs)


ENGINES = {"onnx": onnx, "openvino": openvino, "litert": litert}


def main(folder):
    data, results, models = dict(np.load(folder / "inputs.npz")), {}, {}
    for name in sorted({key.rsplit("/", 1)[0] for key in data}):
        kind, format, signature, _ = name.split("/")
        file = folder / kind / format / signature
        if file not in models:
            models[file] = ENGINES[format](file)
        inputs = {key.rsplit("/", 1)[1]: data[key] for key in data if key.startswith(name + "/")}
        results.update({f"{name}/{key}": value for key, value in models[file](inputs).items()})
    np.savez(folder / "outputs.npz", **results)


if __name__ == "__main__":
    sys.modules.update(dict.fromkeys(["keras", "keras_vqvae2", "tensorflow", "torch"]))
    main(Path(sys.argv[1]))
