"""What is written for TensorFlow Serving, and requests to a server that answers as it does."""

import io
import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import many_requests
import numpy as np
import pytest
from PIL import Image

from keras_vqvae2 import cli
from keras_vqvae2.cli.config import Config
from keras_vqvae2.cli.export import FORMATS as formats_of_the_program
from keras_vqvae2.cli.export import export
from keras_vqvae2.export import formats, model_card, serving

grpc = pytest.importorskip("grpc", reason="the extra `serving` is not installed")
pytest.importorskip("tensorflow_serving.apis", reason="the extra `serving` is not installed")

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.long]

CLIENT = Path(__file__).parents[2] / "examples" / "serving_client.py"
LEVEL = {"usage": 1.0, "perplexity": 6.5, "bits_per_code": {"train": 2.5, "validation": 2.75}}
REPORT = {
    "dataset": "emoji32",
    "reconstruction": {
        "train": {"mse": 0.03125, "psnr": 21.1, "ssim": 0.875},
        "validation": {"mse": 0.0625, "psnr": 18.1, "ssim": 0.75},
    },
    "levels": {"top": LEVEL, "bottom": LEVEL},
    "bits_per_image_dimension": {"train": 0.125, "validation": 0.25},
    "note": "Bits are of the codes.",
    "history": [
        {
            "bits_per_code": 3.0 - epoch / 16,
            "val_bits_per_code": 3.0 + (epoch - 9) ** 2 / 512,
            "val_top_bits_per_code": 2.0,
            "val_bottom_bits_per_code": 4.0 - epoch / 16,
        }
        for epoch in range(30)
    ],
    "samples": {
        "extractor": {"name": "emoji32", "checksum": "0123456789abcdef" * 4},
        "num_samples": 100,
        "num_reference": 400,
        "reference": "emoji32/train",
        "held_out": "emoji32/test",
        "seed": 0,
        "temperature": 0.875,
        "top_k": None,
        "top_p": None,
        "frechet_distance": {
            "real": 1.0,
            "reconstructions": 1.25,
            "samples": 1.5,
            "random_codes": 64.0,
        },
        "precision": {"real": 0.75},
        "nearest_training_distance": {"samples": 2.5, "real": 2.25},
    },
}


@pytest.fixture(scope="module")
def config(class_model, tmp_path_factory):
    """A run whose two stages are trained, exported once."""
    config = Config.create("tiny", run_dir=tmp_path_factory.mktemp("run"))
    for folder in (config.vqvae_dir, config.prior_dir):
        folder.mkdir()
    class_model.vqvae.save(config.vqvae_file)
    class_model.prior.save(config.prior_file)
    config.report_file.write_text(json.dumps(REPORT))
    export(config)
    return config


@pytest.fixture(scope="module")
def server(config):
    from prediction_service import Server

    with Server("emoji32", config.saved_model_dir / "1") as server:
        yield server


@pytest.fixture(scope="module")
def stub(server):
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    with grpc.insecure_channel(server.address) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def predict(stub, signature, inputs):
    """The outputs of a `Predict` call."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "emoji32", signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    outputs = stub.Predict(request, timeout=120).outputs
    return {key: tf.make_ndarray(outputs[key]) for key in outputs}


def test_a_second_export_is_a_second_version(config, monkeypatch):
    monkeypatch.setattr(formats, "export_generator", lambda model, path: path.mkdir())
    monkeypatch.setattr(model_card, "model_card", lambda *arguments: "")
    monkeypatch.setattr(serving, "write_warmup", lambda *arguments: None)
    folder = export(config)
    assert folder == config.saved_model_dir / "2"
    shutil.rmtree(folder)


def test_a_name_that_no_server_takes_is_refused(config):
    with pytest.raises(ValueError, match="`name` must consist of letters.*Received: name='a b'"):
        export(config, name="a b")


def test_the_configuration_is_what_the_server_reads(config):
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    text = (config.saved_model_dir / "models.config").read_text()
    parsed = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = parsed.model_config_list.config
    assert (model.name, model.base_path) == ("emoji32", "/models/emoji32")
    assert model.model_platform == "tensorflow"
    # Of a message without a Python class: fields of wrapped numbers.
    batching = (config.saved_model_dir / "batching.config").read_text()
    fields = re.findall(r"^(\w+) \{ value: (\d+) \}$", batching, re.MULTILINE)
    assert {name for name, _ in fields} == {
        *("max_batch_size", "batch_timeout_micros", "num_batch_threads", "max_enqueued_batches")
    }
    rest = [line for line in batching.splitlines() if not re.match(r"\w+ \{|#", line)]
    assert not rest


def test_warmup_requests_parse_and_run(config, server):
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    file, model = config.saved_model_dir / "1" / serving.WARMUP_FILE, server.service.model
    names = set()
    for record in tf.data.TFRecordDataset(str(file)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.name == "emoji32"
        names.add(request.model_spec.signature_name)
        inputs = {key: tf.make_ndarray(request.inputs[key]) for key in request.inputs}
        for output in model.run(request.model_spec.signature_name, inputs).values():
            assert len(output) == 1
    assert names == {name for name in model.signatures if not name.startswith("__")}


def test_the_commands_name_the_folder_and_its_files(config, monkeypatch, capsys):
    folder = config.saved_model_dir
    monkeypatch.setattr(
        "sys.argv", ["keras-vqvae2", "serve-command", str(folder), "--port", "9000"]
    )
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert not exit_.value.code
    server, container = map(shlex.split, capsys.readouterr().out.splitlines())
    assert server[0] == "tensorflow_model_server"
    assert "--port=9000" in server
    assert f"--model_base_path={folder}" in server
    assert f"--batching_parameters_file={folder}/batching.config" in server
    assert container[:2] == ["docker", "run"]
    assert f"{folder}:/models/emoji32:ro" in container
    assert "--model_config_file=/models/emoji32/models.config" in container
    assert "9000:8500" in container


def test_a_folder_without_versions_is_refused(tmp_path):
    with pytest.raises(ValueError, match=f"`directory` must hold .*Received: directory={tmp_path}"):
        serving.serve_command(tmp_path)


def test_without_the_extra_the_export_goes_on(config, monkeypatch, capsys):
    monkeypatch.setattr(formats, "export_generator", lambda model, path: path.mkdir())
    monkeypatch.setattr(model_card, "model_card", lambda *arguments: "")
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    folder = export(config)
    shutil.rmtree(folder)
    output = " ".join(capsys.readouterr().out.split())
    assert "No warm-up requests" in output
    assert "keras-vqvae2[serving]" in output


def test_another_format_is_written_beside_it(config, monkeypatch, capsys):
    assert formats_of_the_program == tuple(formats.FORMATS)
    written = []
    monkeypatch.setattr(formats, "export_generator", lambda *arguments: written.append(arguments))
    folder = export(config, format="litert")
    assert folder == config.run_dir / "litert"
    assert [(path, format) for _, path, format in written] == [(folder, "litert")]
    assert "litert" in capsys.readouterr().out


def test_metadata_describes_the_signatures(stub):
    import tensorflow as tf
    from tensorflow_serving.apis import get_model_metadata_pb2

    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "emoji32"
    packed = stub.GetModelMetadata(request).metadata["signature_def"]
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert packed.Unpack(signatures)
    signature = signatures.signature_def["sample"]
    assert set(signature.inputs) == {"seed", "labels", "temperature", "top_k", "top_p"}
    assert tf.make_ndarray(signature.defaults["temperature"]).tolist() == [1.0]


def test_what_is_not_given_has_its_default(stub, class_model, config):
    seeds = np.arange(5)
    outputs = predict(stub, "", {"seed": seeds})
    options = {"labels": 0, "top_p": config.sampling.top_p}
    expected = [class_model.generate(1, seed=seed, **options) for seed in seeds]
    difference = outputs["images"].astype(int) - np.concatenate(expected)
    assert np.abs(difference).max() <= 1


@pytest.fixture(scope="module")
def rows(class_model):
    return many_requests.right_rows(class_model)


@pytest.fixture(scope="module")
def alone(server, rows):
    return many_requests.answers_alone(server, rows)


def test_the_images_are_those_of_the_model(class_model, rows, alone):
    for row in range(many_requests.ROWS):
        options = {name: rows[name][row] for name in ("labels", "temperature", "top_k", "top_p")}
        image = class_model.generate(1, seed=int(rows["seed"][row]), **options)[0].astype(int)
        assert np.abs(alone["sample"]["images"][row] - image).max() <= 1


def test_many_clients_right_and_wrong(server, rows, alone):
    answered = many_requests.ask_all(server, rows, alone, requests=160, seed=0)
    assert min(answered.values()) > 50
    many_requests.check_again(server, rows, alone)


def test_two_thousand_requests(server, rows, alone):
    many_requests.ask_all(server, rows, alone, requests=800, seed=1)
    before = many_requests.resident()
    answered = many_requests.ask_all(server, rows, alone, requests=2000, seed=2)
    grown = many_requests.resident() - before
    print(f"{answered}, {grown / 2**20:.0f} MiB more")
    assert sum(answered.values()) == 2000
    assert grown < 64 << 20
    many_requests.check_again(server, rows, alone)


@pytest.fixture
def run_client(tmp_path, monkeypatch):
    """Runs the example with flags; gives the picture's pixels."""

    def run(*flags):
        out = tmp_path / "served.png"
        monkeypatch.setattr(sys, "argv", [CLIENT.name, f"--out={out}", *flags])
        with redirect_stdout(io.StringIO()):
            runpy.run_path(str(CLIENT), run_name="__main__")
        return np.asarray(Image.open(out))

    return run


def test_the_client_asks_over_grpc_and_rest(server, run_client, class_model):
    flags = ("--seed=5", "--label=3", "--temperature=0.7")
    picture = run_client(f"--address={server.address}", *flags)
    expected = [
        class_model.generate(1, labels=3, seed=seed, temperature=0.7) for seed in range(5, 21)
    ]
    rows = [np.concatenate([image[0] for image in expected[i : i + 4]], 1) for i in (0, 4, 8, 12)]
    assert np.abs(picture.astype(int) - np.concatenate(rows)).max() <= 1
    over_rest = run_client("--rest", f"--address={server.rest_address}", *flags)
    np.testing.assert_array_equal(over_rest, picture)


def test_the_client_asks_the_real_server(config, run_client):
    if shutil.which("tensorflow_model_server") is None:
        pytest.skip("tensorflow_model_server is not on the PATH")
    command, _ = serving.serve_command(config.saved_model_dir, port=18500, rest_port=18501)
    with subprocess.Popen(shlex.split(command)) as process:
        try:
            with grpc.insecure_channel("localhost:18500") as channel:
                grpc.channel_ready_future(channel).result(timeout=120)
            time.sleep(1)
            picture = run_client("--address=localhost:18500")
            np.testing.assert_array_equal(
                run_client("--rest", "--address=localhost:18501"), picture
            )
        finally:
            process.terminate()


def test_the_model_card_says_what_a_stranger_needs(config):
    card = (config.saved_model_dir / "1" / "MODEL_CARD.md").read_text()
    for words in ("Apache-2.0", "16×8×3", "| 0.0312 | 0.0625 |", "keras-vqvae2 evaluate"):
        assert words in card
    assert "`labels` are the classes: 0 " in card
    assert "| samples of the prior | 1.500 |" in card
    assert "seed 0, temperature 0.875" in card
    # The curves: the first, the best and the last epoch among them.
    assert "| 1 | 3.000 | 3.158 | 2.000 | 4.000 |" in card
    assert "| **10** | 2.438 | 3.000 | 2.000 | 3.438 |" in card
    assert "| 30 |" in card
    for name in ("sample", "sample_from_noise", "complete", "log_prob", "encode", "decode"):
        assert f"| `{name}` |" in card


def test_the_model_card_says_which_weights_were_kept(config, class_model):
    *before, last = REPORT["history"]
    report = {**REPORT, "history": [*before, {**last, "kept": True}]}
    card = model_card.model_card("m", class_model, config.saved_model_dir / "1", report)
    assert "Its weights are those of epoch 30, not of the best validation." in card
    assert "| **30** | 1.188 |" in card


def test_the_requests_of_the_model_card_run(config, server):
    card = (config.saved_model_dir / "1" / "MODEL_CARD.md").read_text()
    over_grpc, over_rest, calls = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    over_grpc = over_grpc.replace("localhost:8500", server.address)
    over_rest = over_rest.replace("localhost:8501", server.rest_address)
    answers = []
    for way in (over_grpc, over_grpc + over_rest):
        namespace = {}
        exec(way, namespace)
        ask = namespace["predict"]
        answers.append([])
        namespace["predict"] = lambda *a, ask=ask, **k: answers[-1].append(ask(*a, **k))
        exec(calls, namespace)
    assert len(answers[0]) == 7
    for expected, answer in zip(*answers, strict=True):
        if list(answer) == [None]:
            (name,) = expected
            answer = {name: answer[None]}
        assert answer.keys() == expected.keys()
        for key, value in answer.items():  # by name: a map of protos has no order
            np.testing.assert_allclose(value, expected[key], rtol=1e-5)
