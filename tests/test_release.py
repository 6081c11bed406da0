"""What is released: one version everywhere, and a wheel that works away from its source."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
from PIL import Image

import keras_vqvae2

ROOT = Path(__file__).parents[1]
PRESETS = ROOT / "keras_vqvae2" / "models" / "presets"


def test_the_version_stands_in_one_place():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == keras_vqvae2.__version__
    project = (ROOT / "pyproject.toml").read_text()
    assert 'dynamic = ["version"]' in project
    assert not re.search("^version *=", project, re.MULTILINE)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, and the wheel that is built from what the sdist holds."""
    folder = tmp_path_factory.mktemp("built")
    hatchling(ROOT, "sdist", folder)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    hatchling(folder / sdist.name.removesuffix(".tar.gz"), "wheel", folder)
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


def hatchling(source, target, folder):
    command = [sys.executable, "-m", "hatchling", "build", "--target", target]
    subprocess.run([*command, "--directory", folder], cwd=source, check=True, timeout=300)


def tracked(folder):
    """The files of a folder of the package that git does not ignore, as a wheel names them."""
    paths = (path for path in (ROOT / folder).rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in paths if path.suffix != ".pyc"}


@pytest.mark.long
def test_the_wheel_holds_the_package_and_nothing_else(built):
    sdist, wheel = built
    version = keras_vqvae2.__version__
    assert sdist.name == f"keras_vqvae2-{version}.tar.gz"
    assert wheel.name == f"keras_vqvae2-{version}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    info = f"keras_vqvae2-{version}.dist-info"
    assert {name for name in names if not name.startswith(f"{info}/")} == tracked("keras_vqvae2")
    assert names >= {
        *("keras_vqvae2/__init__.pyi", "keras_vqvae2/evaluation/__init__.pyi"),
        *("keras_vqvae2/datasets/emoji/noto.webp", "keras_vqvae2/datasets/emoji/LICENSES.txt"),
        *(f"keras_vqvae2/models/presets/{path.name}" for path in PRESETS.iterdir()),
        *(f"{info}/licenses/LICENSE", f"{info}/licenses/NOTICE", f"{info}/entry_points.txt"),
    }
    assert wheel.stat().st_size < 60e6


@pytest.mark.long
def test_the_sdist_holds_the_tests_too(built):
    sdist, _ = built
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= tracked("keras_vqvae2") | {
        *("tests/conftest.py", "tests/layers/test_vector_quantizer.py", "pyproject.toml"),
        *("README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE", "NOTICE", "Makefile"),
    }


@pytest.mark.long
def test_the_sizes_are_those_of_the_documents(built):
    sdist, wheel = built
    text = (ROOT / "docs" / "quickstart.md").read_text()
    stated = dict(re.findall(r"^\| the (.*) \| ([\d.]+) MB \|", text, re.MULTILINE))
    files = {"wheel": wheel, "source archive": sdist}
    files |= {f"preset `{path.stem}`": path for path in sorted(PRESETS.glob("*.keras"))}
    assert stated.keys() == files.keys()
    for name, path in files.items():
        size = path.stat().st_size / 1e6
        print(f"{name}: {size:.1f} MB")
        assert float(stated[name]) == pytest.approx(size, rel=0.05)


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The programs of an environment with the wheel, and with the dependencies of this one.

    They lie in a folder that a `.pth` file names. Such files in that folder itself are not read,
    the one of an editable installation among them: the source is out of reach.
    """
    home = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    folders = sysconfig.get_paths(vars={"base": str(home), "platbase": str(home)})
    site = Path(folders["purelib"])
    assert site.is_relative_to(home)
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    programs = Path(folders["scripts"])
    pip = [sys.executable, "-m", "pip", "--python", programs / "python", "install"]
    subprocess.run([*pip, "--quiet", "--no-deps", "--no-index", built[1]], check=True)
    return programs


WHERE = "import keras_vqvae2.cli as module; print(module.__file__)"


@pytest.mark.long
def test_the_installed_program_generates_from_a_preset(installed, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(program, *arguments):
        command = [installed / program, *arguments]
        options = {"cwd": tmp_path, "env": environment, "check": True, "timeout": 600}
        return subprocess.run(command, **options, capture_output=True, text=True).stdout.strip()

    assert Path(run("python", "-c", WHERE)).is_relative_to(installed.parent)
    program = (installed / "keras-vqvae2").read_text()
    assert program.startswith(f"#!{installed / 'python'}")
    version = f"keras-vqvae2, version {keras_vqvae2.__version__}"
    assert run("keras-vqvae2", "--version") == version
    run("keras-vqvae2", "generate", "--preset", "emoji32", "--num-samples", "4", "--out", "x.png")
    picture = Image.open(tmp_path / "x.png")
    assert min(picture.size) > 2 * 32
    # Four pictures, not four white squares.
    assert len(picture.convert("RGB").getcolors(100_000)) > 100
