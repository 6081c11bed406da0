"""Files of ONNX Runtime, OpenVINO and LiteRT, one a signature: each runs in its engine alone.

The operations are those of the SavedModel but for two things. No engine has assertions, so what is
wrong with a request is answered by the engine or not at all. And none has the unsigned words that
wrap and shift in `sampling.noise`: tf2onnx and LiteRT's converter refuse them, and OpenVINO gives
other numbers. Signatures with a seed stay with TensorFlow; `sample_from_noise` takes the noise.
"""

import json

from keras_vqvae2.sampling import without_lists

OPSET = 18


def write(signatures, format, folder):
    """Write the signatures that engines can run.

    Args:
        signatures: of `signatures.vqvae_signatures` or `generator_signatures`.
        format: "onnx", "openvino" or "litert".
        folder: `Path` to write.

    Example:

    ```python
    write(vqvae_signatures(VQVAE2()), "onnx", Path("vqvae"))
    ```
    """
    writer = {"onnx": _write_onnx, "openvino": _write_openvino, "litert": _write_litert}[format]
    folder.mkdir()
    described = {}
    for name, (function, inputs) in signatures.items():
        if "seed" in inputs:
            continue
        concrete = _concrete(function, inputs)
        writer(concrete, folder / name)
        described[name] = {
            "inputs": {key: _described(i) for key, i in inputs.items()},
            "outputs": {
                key: {"shape": x.shape.as_list(), "dtype": x.dtype.name}
                for key, x in concrete.structured_outputs.items()
            },
        }
    (folder / "signatures.json").write_text(json.dumps(described, indent=1) + "\n")


def _described(given):
    """An input for `signatures.json`."""
    result = {"shape": [None, *given.shape], "dtype": given.dtype}
    if given.rule:
        result["rule"] = given.rule
    if given.default is not None:
        result["default"] = given.default
    return result


def _concrete(function, inputs):
    """A concrete function of named tensors, from a function of a dictionary of them."""
    import tensorflow as tf

    def call(*tensors):
        batch = tf.shape(tensors[0])[0]
        # An option may have a single row for all.
        rows = {
            name: x if rule.default is None else tf.broadcast_to(x, (batch, *rule.shape))
            for (name, rule), x in zip(inputs.items(), tensors, strict=True)
        }
        # Outside TensorFlow one name is one tensor: images become reconstructions.
        return {"reconstructions" if key in inputs else key: x for key, x in function(rows).items()}

    specs = [tf.TensorSpec((None, *i.shape), i.dtype, name) for name, i in inputs.items()]
    with without_lists():
        return tf.function(call, autograph=False).get_concrete_function(*specs)


def _frozen(concrete):
    """The graph with its weights, and the names of inputs and outputs by those of its tensors."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(
        concrete, lower_control_flow=False, aggressive_inlining=True
    )
    inputs = {x.name: x.op.name for x in frozen.inputs}
    names = sorted(concrete.structured_outputs)  # the order of a dictionary's tensors
    outputs = {x.name: name for x, name in zip(frozen.outputs, names, strict=True)}
    return frozen.graph.as_graph_def(), inputs, outputs


def _write_onnx(concrete, file):
    import tensorflow as tf
    from tf2onnx.tfonnx import process_tf_graph

    definition, inputs, outputs = _frozen(concrete)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        # Without its optimizers, which take minutes for a sampler: ONNX Runtime has its own.
        model = process_tf_graph(
            graph,
            opset=OPSET,
            input_names=[*inputs],
            output_names=[*outputs],
            tensors_to_rename={**inputs, **outputs},
        ).make_model(file.name)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    file.with_suffix(".onnx").write_bytes(model.SerializeToString())


def _write_openvino(concrete, file):
    import openvino

    definition, inputs, outputs = _frozen(concrete)
    graph = file.with_suffix(".pb")  # its reader of graphs in memory knows no loops
    graph.write_bytes(definition.SerializeToString())
    # Not `openvino.convert_model`, which may report its use over the network.
    model = openvino.Core().read_model(graph)
    for tensor, name in inputs.items():
        model.input(tensor).get_node().set_friendly_name(name)
        model.input(tensor).get_tensor().set_names({name})
    for tensor, name in outputs.items():
        model.output(tensor).get_tensor().set_names({name})
    openvino.save_model(model, file.with_suffix(".xml"), compress_to_fp16=False)
    graph.unlink()


def _write_litert(concrete, file):
    import tensorflow as tf

    module = tf.Module()
    module.weights = list(concrete.variables)  # or the file would not name its inputs
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    file.with_suffix(".tflite").write_bytes(converter.convert())
