"""What the documents show is tried: snippets and commands run, links lead to files.

Comments in a document, which its readers do not see, say how a test makes a snippet small:

    <!-- test: epochs=30 -> epochs=1; filters=64 -> filters=8 -->   before a block: what is replaced
    <!-- test setup                                                 code to run at this place
    ...
    -->
"""

import contextlib
import gzip
import io
import json
import re
import shlex
from importlib.metadata import metadata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_vqvae2 import cli
from keras_vqvae2.cli import flags, play, run

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGE = re.compile(
    r"<!-- test setup\n(?P<setup>.*?)\n-->"
    r"|(?:<!-- test: (?P<replace>[^\n]*) -->\n)?```python\n(?P<python>.*?)\n```"
    r"(?:\n\n```text\n(?P<output>.*?)\n```)?",
    re.DOTALL,
)
# Added to a command according to its own flags; the last of two equal flags counts.
TINY = [
    *("--size", "tiny", "--filters", "8", "--embedding-dim", "4", "--num-embeddings", "8"),
    *("--num-residual-blocks", "0", "--prior-filters", "8", "--prior-blocks", "1"),
    *("--train-split", "test[:64]", "--validation-split", "test[:64]", "--allow-collapse"),
    *("--num-samples", "4", "--no-tensorboard"),
]
TINY_OF = {"demo": ["--epochs", "1"], "train-vqvae": ["--epochs", "1"]}
TINY_OF["train-prior"] = TINY_OF["demo"]
TINY_OF["tune"] = ["--trials", "1", "--epochs", "1", "--space", "tiny_space.json"]
TINY_SPACE = {
    "vqvae": {"filters": [8], "num_residual_blocks": [1], "num_embeddings": [64]},
    "prior": {"filters": [8], "num_blocks": [1]},
}
RESOLVE = flags.resolve


def identify(page):
    return page.name


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A working directory with what the documents take for granted: a folder of photos."""
    rng = np.random.default_rng(0)
    for split in ("train", "validation", "test"):
        for index in range(8):
            file = tmp_path / "photos" / split / ("cats", "dogs")[index % 2] / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype="uint8")).save(file)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```python" in page.read_text()], ids=identify
)
def test_snippets_run(page, workplace):
    text = page.read_text()
    namespace = {"__name__": "__main__"}
    for found in PAGE.finditer(text):
        group = "setup" if found["setup"] else "python"
        code = found[group]
        for pair in (found["replace"] or "").split("; "):
            old, _, new = pair.partition(" -> ")
            assert old in code, f"{page.name} has no {old!r} to replace in:\n{code}"
            code = code.replace(old, new) if old else code
        # On the lines that it has in the document, for tracebacks.
        code = "\n" * text.count("\n", 0, found.start(group)) + code
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, page, "exec"), namespace)
        if found["output"] is not None and printed.getvalue():
            assert printed.getvalue().rstrip("\n") == found["output"]


def commands():
    """The words of every command line in the documents, in order, without comments."""
    for page in PAGES:
        for block in re.findall(r"```console\n(.*?)\n```", page.read_text(), re.DOTALL):
            for line in block.split("\n"):
                if line.startswith("$ "):
                    yield page.name, shlex.split(line[2:], comments=True)


def test_make_targets_and_extras_exist():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    # Python 3.10 has no TOML parser; the installed package knows its extras.
    extras = metadata("keras-vqvae2").get_all("Provides-Extra")
    for page, words in commands():
        if words[0] == "make":
            assert set(words[1:]) <= set(targets), (page, words)
        if words[:4] == ["python", "-m", "pip", "install"]:
            assert set(re.findall(r"\[(.*)\]", words[4])) <= set(extras), (page, words)


def test_the_documents_start_with_known_programs():
    programs = {"make", "python", "keras-vqvae2", "tensorboard", "KERAS_BACKEND=jax", "export"}
    assert {words[0] for _, words in commands()} <= programs


@pytest.mark.long
@pytest.mark.tensorflow_only
def test_commands_run(workplace, monkeypatch, capsys):
    write_fashion_mnist(workplace / "fashion-mnist")
    (workplace / "tiny_space.json").write_text(json.dumps(TINY_SPACE))
    # It would serve on and on: the model is loaded, and that is all.
    monkeypatch.setattr(play, "play", lambda load, *_: load())
    for page, words in commands():
        if words[0] != "keras-vqvae2":
            continue
        bare = words[1] in ("app", "serve-command")  # which take no config
        tiny = [] if bare else [*TINY, *TINY_OF.get(words[1], [])]
        monkeypatch.setattr("sys.argv", [*words, *tiny])
        # The other runs differ from the first by their configuration: they stop at their data.
        other = any(run in shlex.join(words) for run in ("photos", "runs/tuned"))
        monkeypatch.setattr(flags, "resolve", load_and_stop if other else RESOLVE)
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        assert not exit_.value.code, f"{page}: {shlex.join(words)}\n{capsys.readouterr()}"
    assert {path.name for path in Path("runs/emoji32").iterdir()} >= {
        *("config.json", "vqvae2", "codes", "prior", "report.json"),
        *("samples.png", "samples_random.png", "reconstructions.png"),
    }


def load_and_stop(*arguments):
    """Resolve the flags of a command, see that there is the data that they name, and end it."""
    config = RESOLVE(*arguments)
    config.save()
    data = run.load_split(config, "train")
    if config.data.name == "photos":
        assert data.label_names == ("cats", "dogs")
        assert data.image_shape == (*config.data.image_size, 3)
    raise SystemExit


def write_fashion_mnist(folder):
    """Eight test images as IDX files."""
    folder.mkdir()
    for name, shape in (("images-idx3", (8, 28, 28)), ("labels-idx1", (8,))):
        sizes = np.array(shape, ">u4").tobytes()
        content = bytes([0, 0, 8, len(shape)]) + sizes + np.zeros(shape, "uint8").tobytes()
        (folder / f"t10k-{name}-ubyte.gz").write_bytes(gzip.compress(content))


def test_a_request_by_hand_has_all_inputs_of_the_served_preset():
    (body,) = re.findall(r"curl \S+ -d '(.*?)'", (ROOT / "docs/serving.md").read_text(), re.DOTALL)
    request = json.loads(body)
    card = (ROOT / "savedmodels/emoji32/1/MODEL_CARD.md").read_text()
    (inputs,) = re.findall(rf"^\| `{request['signature_name']}` \|.*?\|(.*?)\|", card, re.MULTILINE)
    expected = set(re.findall(r"`(\w+)` ", inputs))
    assert all(instance.keys() == expected for instance in request["instances"])


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_links_lead_to_files_and_headings(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if link.startswith("https://"):
            continue
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name} links to {link}"
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"\W+", "-", title.lower()) for title in titles}, link
