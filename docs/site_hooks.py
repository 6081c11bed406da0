"""What the site needs beyond `mkdocs.yml`: links out of docs/, and docstrings as Keras has them."""

import posixpath
import re
from pathlib import Path

import griffe
from mkdocs.structure.files import File, InclusionLevel

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LINK = re.compile(r"\]\(([^)#:]+)(#[^)]*)?\)")


def place(path):
    """Where a file of the repository lies in the site: what is in docs/ a folder higher."""
    return path.relative_to(DOCS if path.is_relative_to(DOCS) else ROOT).as_posix()


def links(text, source):
    """The files of the repository that a page leads to."""
    for link, _ in LINK.findall(text):
        yield (source.parent / link).resolve()


def on_files(files, config):
    """Take in the README, and whatever pages lead to outside of docs/."""
    waiting = [Path(file.abs_src_path) for file in files if file.is_documentation_page()]
    waiting.append(ROOT / "README.md")
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        if files.get_file_from_path(place(path)) is None:
            level = InclusionLevel.NOT_IN_NAV
            files.append(File.generated(config, place(path), abs_src_path=path, inclusion=level))
        if path.suffix == ".md":
            found = {file for file in links(path.read_text(), path) if file.is_file()}
            waiting += found - seen
            seen |= found
    return files


def on_page_markdown(markdown, page, config, files):
    """Turn links between files of the repository into links between files of the site."""
    source = Path(page.file.abs_src_path)

    def turn(found):
        target = place((source.parent / found[1]).resolve())
        link = posixpath.relpath(target, posixpath.dirname(page.file.src_uri))
        return f"]({link}{found[2] or ''})"

    return LINK.sub(turn, markdown)


class KerasDocstrings(griffe.Extension):
    """Reads the sections that Keras's docstrings have and Google's have not."""

    def on_object(self, *, obj, **kwargs):
        """Rewrite a docstring before it is parsed."""
        if obj.docstring:
            text = obj.docstring.value
            text = re.sub("^Call arguments:$", "Other Args: Call arguments:", text, flags=re.M)
            text = re.sub("^(Example|Reference):$", r"**\1:**", text, flags=re.M)
            # Without a fence `>>>` is a quotation in a quotation in a quotation.
            text = re.sub(r"^>>> .*?(?=\n\n|\Z)", "```pycon\n\\g<0>\n```", text, flags=re.M | re.S)
            obj.docstring.value = text
