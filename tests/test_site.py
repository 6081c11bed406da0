"""The site has all pages and all public names, and is built without a warning."""

import importlib
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import yaml

import keras_vqvae2

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
MODULES = sorted(
    name
    for name in keras_vqvae2.__all__
    if isinstance(getattr(keras_vqvae2, name), types.ModuleType)
)


def pages(nav):
    """The pages of a navigation, in its order."""
    for item in nav:
        if isinstance(item, dict):
            (item,) = item.values()
        if isinstance(item, list):
            yield from pages(item)
        else:
            yield item


def public_names(name):
    """The names that a module offers: of its `__all__`, or those that it defines."""
    module = importlib.import_module(f"keras_vqvae2.{name}")
    defined = [key for key, value in vars(module).items() if defines(module, key, value)]
    return {f"{module.__name__}.{key}" for key in getattr(module, "__all__", defined)}


def defines(module, key, value):
    return not key.startswith("_") and getattr(value, "__module__", None) == module.__name__


def test_the_navigation_lists_every_page():
    listed = list(pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    here = {path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")}
    outside = {page for page in listed if not (ROOT / "docs" / page).exists()}
    assert len(set(listed)) == len(listed)
    assert set(listed) - outside == here
    assert "README.md" in outside
    assert all((ROOT / page).exists() for page in outside)


def test_every_public_module_has_a_page():
    assert len(MODULES) == 9
    assert {path.stem for path in REFERENCE.glob("*.md")} == {*MODULES, "index"}
    for name in MODULES:
        lines = (REFERENCE / f"{name}.md").read_text().splitlines()
        assert f"::: keras_vqvae2.{name}" in lines
        assert f"({name}.md)" in (REFERENCE / "index.md").read_text()


def test_every_public_name_belongs_to_a_public_module():
    offered = {name.rpartition(".")[2] for module in MODULES for name in public_names(module)}
    assert set(keras_vqvae2.__all__) <= offered | set(MODULES)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.mark.long
@pytest.mark.parametrize("module", MODULES)
def test_the_reference_describes_the_public_names_of_a_module(site, module):
    page = (site / "reference" / module / "index.html").read_text()
    described = re.findall('<h2 id="([^"]+)" class="doc', page)
    assert sorted(described) == sorted(public_names(module))


@pytest.mark.long
def test_what_the_site_links_to_outside_docs_comes_along(site):
    script = (ROOT / "examples" / "minimal.py").read_bytes()
    assert (site / "examples" / "minimal.py").read_bytes() == script
    front = (site / "index.html").read_text()
    assert 'href="examples/minimal.py"' in front
    assert 'href="quickstart/"' in front
    assert 'href="../#in-python"' in (site / "quickstart" / "index.html").read_text()


@pytest.mark.long
def test_examples_are_shown_as_code(site):
    page = (site / "reference" / "layers" / "index.html").read_text()
    assert "<blockquote>" not in page
    assert '<span class="gp">&gt;&gt;&gt; </span>' in page
    assert "Call arguments:" in page
