"""The three stages by the command line, on a folder of small pictures in two classes."""

import collections
import json
import math
import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import keras
import numpy as np
import pytest
from command_line import command
from PIL import Image

from keras_vqvae2.cli.config import Config

pytestmark = pytest.mark.long

FLAGS = [
    *("--size", "tiny", "--filters", "8", "--num-embeddings", "8", "--batch-size", "16"),
    *("--num-residual-blocks", "0", "--prior-blocks", "1", "--conditional", "--allow-collapse"),
    *("--epochs", "2", "--flip", "--code-passes", "2", "--num-samples", "5"),
    # All that a training can be told beyond the defaults.
    *("--wiring", "best", "--decoder-epochs", "1", "--cosine-decay"),
    *("--steady", "0.5", "--prior-two-stream"),
    *("--prior-ema", "0.9", "--prior-precision", "mixed_bfloat16"),
]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """24 training and 8 validation pictures of 8x8: discs and squares of any colour."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:8, :8]
    for index in range(32):
        name = ("disc", "square")[index % 2]
        center, radius = rng.integers(2, 6, 2), rng.integers(1, 4)
        away = np.abs(np.stack([rows - center[0], columns - center[1]]))
        inside = (away.max(0) if name == "square" else np.hypot(*away)) <= radius
        pixels = np.where(inside[:, :, None], rng.integers(0, 200, 3), 255).astype(np.uint8)
        file = folder / ("train" if index < 24 else "validation") / name / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    return folder


@pytest.fixture(scope="module")
def finished(pictures, tmp_path_factory):
    """The run directory of a demo."""
    run_dir = tmp_path_factory.mktemp("runs") / "finished"
    assert command("demo", "--dataset", pictures, "--run-dir", run_dir, *FLAGS) == 0
    return run_dir


@pytest.fixture
def copy(finished, tmp_path):
    """The same, to be changed."""
    return shutil.copytree(finished, tmp_path / "run")


def test_a_demo_leaves_all_its_files(finished):
    files = {path.relative_to(finished).as_posix() for path in finished.rglob("*")}
    assert files >= {
        "config.json",
        "vqvae2/vqvae2_final.keras",
        "codes/train/manifest.json",
        "codes/validation/manifest.json",
        "prior/prior_final.keras",
        "samples.png",
        "samples_random.png",
        "reconstructions.png",
        "report.json",
        "report.html",
    }
    assert list((finished / "logs" / "vqvae2").glob("events*"))
    assert list((finished / "logs" / "prior").rglob("events*"))


def test_the_pictures_hold_the_images_asked_for(finished):
    def size(name):
        with Image.open(finished / name) as picture:
            return picture.size

    # 5 images of 8 pixels and 2 of padding in rows of 3; 5 pairs in rows of 2. Shown twice as big.
    assert size("samples_random.png") == (2 * 32, 2 * 22)
    assert size("reconstructions.png") == (2 * 42, 2 * 32)
    width, height = size("samples.png")  # a row a class, with its name
    assert width > 2 * 32 + 2 * 8
    assert height == 2 * 22


def test_the_report_holds_every_number(finished):
    report = json.loads((finished / "report.json").read_text())
    assert set(report["reconstruction"]) == {"train", "validation"}
    for values in report["reconstruction"].values():
        assert values["psnr"] == pytest.approx(10 * math.log10(4 / values["mse"]))
    assert list(report["levels"]) == ["top", "bottom"]
    bits = 0.0
    for level in report["levels"].values():
        assert 0 < level["usage"] <= 1
        assert level["entropy_bits"] == pytest.approx(math.log2(level["perplexity"]))
        bits += level["bits_per_code"]["validation"] * math.prod(level["code_shape"])
    assert report["bits_per_image_dimension"]["validation"] == pytest.approx(bits / (8 * 8 * 3))
    assert "not of the pixels" in report["note"]


def test_the_report_is_a_page_that_needs_no_other_file(finished):
    class Page(HTMLParser):
        tags, text = collections.Counter(), ""

        def handle_starttag(self, tag, attrs):
            self.tags[tag] += 1
            for name, value in attrs:
                if name in ("src", "href"):
                    assert value.startswith("data:image/png;base64,")

        def handle_data(self, data):
            self.text += data

    page, report = Page(), json.loads((finished / "report.json").read_text())
    page.feed((finished / "report.html").read_text())
    assert (page.tags["img"], page.tags["table"]) == (3, 3)
    assert f"{report['reconstruction']['validation']['mse']:.4f}" in page.text
    assert report["note"] in page.text


def test_the_kept_prior_computes_in_float32(finished):
    from keras_vqvae2.cli.run_models import load_prior

    prior = load_prior(Config.load(finished / "config.json"))
    assert {p.compute_dtype for p in prior.level_priors} == {"float32"}
    wiring = [(p.two_stream, p.num_attention_blocks) for p in prior.level_priors]
    assert wiring == [(True, 2), (True, 0)]


def test_the_decoder_learns_on_while_the_codes_stay(finished):
    history = json.loads((finished / "vqvae2" / "decoder_after_2" / "history.json").read_text())
    before = json.loads((finished / "vqvae2" / "history.json").read_text())
    for level in ("top", "bottom"):
        name = f"val_{level}_perplexity"
        assert history[-1][name] == before[-1][name]
    assert history[-1]["val_reconstruction_mse"] != before[-1]["val_reconstruction_mse"]


def test_samples_are_scored(copy, capsys):
    extractor = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    extractor.save(copy / "pixels.keras")
    flags = ["--run-dir", copy, "--reference", "train", "--held-out", "validation"]
    assert command("evaluate", *flags, "--extractor", copy / "pixels.keras") == 0
    scores = json.loads((copy / "report.json").read_text())["samples"]
    assert scores["extractor"]["name"] == "pixels"
    assert (scores["num_samples"], scores["num_reference"]) == (8, 24)
    assert scores["frechet_distance"]["real"] < scores["frechet_distance"]["random_codes"]
    assert (copy / "neighbours.png").exists()
    message = refusal(capsys, "evaluate", "--run-dir", copy, "--reference", "train")
    assert "`reference` and `held_out` must both be given, or neither" in message


def test_the_reported_likelihood_is_that_of_the_images(finished):
    """By another way: encode the images, ask the prior for nats."""
    from keras_vqvae2.cli.run import load_split
    from keras_vqvae2.cli.run_models import load_prior, load_vqvae

    config = Config.load(finished / "config.json")
    data = load_split(config, "validation")
    nats = load_prior(config).log_prob(load_vqvae(config).encode(data.images[:]), data.labels)
    report = json.loads((finished / "report.json").read_text())
    for level, level_nats in zip(report["levels"].values(), nats, strict=True):
        bits = -np.mean(level_nats) / math.log(2) / math.prod(level["code_shape"])
        # The mean of float32 sums in another order.
        assert level["bits_per_code"]["validation"] == pytest.approx(bits, rel=1e-4)


def test_the_same_seed_gives_the_same_run(finished, pictures, tmp_path):
    again = tmp_path / "again"
    assert (
        command("demo", "--dataset", pictures, "--run-dir", again, "--no-tensorboard", *FLAGS) == 0
    )
    for name in ("samples.png", "samples_random.png", "reconstructions.png", "report.json"):
        assert (again / name).read_bytes() == (finished / name).read_bytes(), name
    assert not (again / "logs").exists()


def test_samples_follow_seed_and_label(copy):
    def samples(*flags):
        assert command("generate", "--run-dir", copy, *flags) == 0
        return (copy / "samples.png").read_bytes()

    before = (copy / "samples.png").read_bytes()
    first = samples("--seed", 1, "--label", "disc")
    assert samples("--seed", 1, "--label", "0") == first != before


def test_the_names_of_the_classes_go_with_the_prior(pictures, copy, tmp_path, capsys):
    """The folder of the images may have gone, or have got another class in front of the others."""
    before = (copy / "samples.png").read_bytes()
    file = copy / "config.json"
    config = json.loads(file.read_text())
    config["data"]["name"] = str(tmp_path / "gone")
    file.write_text(json.dumps(config))
    message = "is not what was written. If you changed it yourself, remove its field `checksum`."
    assert message in refusal(capsys, "generate", "--run-dir", copy)
    del config["checksum"]
    file.write_text(json.dumps(config))
    assert command("generate", "--run-dir", copy, "--seed", 1, "--label", "square") == 0
    expected = (copy / "samples.png").read_bytes()
    assert expected != before
    shutil.copytree(pictures, tmp_path / "gone")
    for split in ("train", "validation"):
        folder = tmp_path / "gone" / split
        shutil.copytree(folder / "disc", folder / "a new class")
    assert command("generate", "--run-dir", copy, "--seed", 1, "--label", "square") == 0
    assert (copy / "samples.png").read_bytes() == expected
    capsys.readouterr()
    message = refusal(capsys, "complete", "--run-dir", copy)
    assert "must have the classes that the prior has learned: ('disc', 'square')" in message
    assert "Received: ('a new class', 'disc', 'square')" in message


def test_completions_keep_what_is_not_hidden(copy, capsys):
    """With nothing of the lower half known, the upper half of the codes stays in all four."""
    assert command("complete", "--run-dir", copy, "--hide", "bottom", "--num-samples", 3) == 0
    with Image.open(copy / "completions.png") as picture:
        assert picture.size == (2 * 62, 2 * 32)  # 6 columns and 3 rows, as above
    message = refusal(capsys, "complete", "--run-dir", copy, "--hide", "middle")
    assert (
        "`hide` must be one of top, bottom, left, right, center. Received: hide='middle'" in message
    )


def test_a_finished_stage_is_not_trained_again(copy):
    before = (copy / "prior" / "history.json").read_bytes()
    assert command("train-prior", "--run-dir", copy) == 0
    assert (copy / "prior" / "history.json").read_bytes() == before
    assert command("train-prior", "--run-dir", copy, "--epochs", 3, "--no-tensorboard") == 0
    assert len(json.loads((copy / "prior" / "history.json").read_text())) == 3


def refusal(capsys, *arguments):
    """The message of a command that ends with an error."""
    assert command(*arguments) == 1
    return capsys.readouterr().err


def test_another_architecture_is_refused(copy, capsys):
    message = refusal(capsys, "train-vqvae", "--run-dir", copy, "--filters", 16)
    assert "`filters` must stay 8" in message
    assert json.loads((copy / "config.json").read_text())["vqvae"]["filters"] == 8


def test_a_prior_of_other_codes_is_refused(copy, capsys):
    assert command("train-vqvae", "--run-dir", copy, "--epochs", 3, "--no-tensorboard") == 0
    assert "other weights" in refusal(capsys, "train-prior", "--run-dir", copy)
    shutil.rmtree(copy / "codes")
    assert command("extract-codes", "--run-dir", copy) == 0
    message = refusal(capsys, "train-prior", "--run-dir", copy)
    assert "has learned codes of other weights. Remove that folder" in message


def test_a_missing_stage_is_named(copy, capsys):
    shutil.rmtree(copy / "prior")
    assert "run `keras-vqvae2 train-prior" in refusal(capsys, "evaluate", "--run-dir", copy)


@pytest.mark.parametrize(
    ("stage", "wrote", "then"),
    [
        ("train-vqvae", "vqvae2/vqvae2_final.keras", "extract-codes"),
        ("extract-codes", "codes", "train-prior"),
        ("train-prior", "prior/prior_final.keras", "generate"),
    ],
)
def test_a_stage_says_what_it_wrote_and_what_comes_next(copy, capsys, stage, wrote, then):
    assert command(stage, "--run-dir", copy) == 0
    said = "".join(capsys.readouterr().out.splitlines())
    assert f"wrote {copy / wrote}" in said
    assert f"next: keras-vqvae2 {then} --run-dir {copy}" in said


def test_an_unknown_label_is_refused(copy, capsys):
    message = refusal(capsys, "generate", "--run-dir", copy, "--label", "triangle")
    assert "`label` must be one of disc, square. Received: label='triangle'" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train-vqvae", "--filters", 16], "`filters` must stay 8"),
        (["train-prior", "--no-conditional"], "`conditional` must stay True"),
        (["extract-codes", "--code-passes", 1, "--code-noise", 2.0], "`noise` must be 0 unless"),
        (["reconstruct", "--data-dir", "nowhere", "--dataset", "nowhere"], "must stay"),
        (["generate", "--label", "triangle"], "`label` must be one of disc, square"),
        (["complete", "--hide", "middle"], "`hide` must be one of"),
        (["evaluate", "--extractor", "nowhere.keras"], "nowhere.keras"),
        (["evaluate", "--reference", "dev", "--held-out", "train"], "dev"),
        (["export", "--name", "a b"], "`name` must consist of letters"),
        (["tune", "--tuner", "grid"], "`tuner` must be one of"),
    ],
)
def test_what_is_refused_leaves_the_run_as_it_was(finished, capsys, arguments, message):
    def content():
        return {path: path.stat().st_mtime_ns for path in finished.rglob("*")}

    before = content()
    name, *flags = arguments
    assert message in refusal(capsys, name, "--run-dir", finished, "--seed", 9, *flags)
    assert content() == before


def test_a_command_prints_no_log_of_tensorflow(copy):
    program = Path(sys.executable).with_name("keras-vqvae2")
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    # Of softmax over an axis of one, which only so tiny a grid has.
    environment["PYTHONWARNINGS"] = "ignore::UserWarning"
    arguments = [program, "generate", "--run-dir", copy]
    result = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=True)
    assert result.stderr == ""
    assert "Stage 3" in result.stdout.splitlines()[0]


def test_a_collapsed_level_is_reported_and_stops_stage_two(copy, capsys):
    shutil.rmtree(copy / "codes")
    shutil.rmtree(copy / "prior")
    file = copy / "vqvae2" / "vqvae2_final.keras"
    vqvae = keras.saving.load_model(file)
    top = vqvae.quantizers[0]
    top.counts.assign(np.ones(8))
    top.sums.assign(np.ones((8, top.embedding_dim)))
    vqvae.save(file)
    assert command("extract-codes", "--run-dir", copy) == 0
    assert "Collapsed: top." in capsys.readouterr().out
    assert "Collapsed: top." in refusal(
        capsys, "train-prior", "--run-dir", copy, "--no-allow-collapse"
    )
    assert not (copy / "prior").exists()
    assert command("train-prior", "--run-dir", copy, "--allow-collapse", "--no-tensorboard") == 0
