"""What lies below a folder: its pictures, its folders, and what is left out of them."""

import collections
import dataclasses
import os

from keras_vqvae2.datasets.decoding import picture_suffixes

# Of systems and programs, in lower case; whatever begins with a dot is hidden as well.
_HIDDEN = {
    *("__macosx", "@eadir", "@tmp", "@recycle", "#recycle", "#snapshot", "lost+found"),
    *("$recycle.bin", "recycler", "system volume information", "found.000", "__pycache__"),
    *("thumbs.db", "ehthumbs.db", "desktop.ini"),
}
# What lies beside pictures and is plainly none.
_COMPANIONS = {
    *(".txt", ".md", ".rst", ".pdf", ".html", ".htm", ".csv", ".tsv", ".json", ".jsonl", ".xml"),
    *(".yaml", ".yml", ".toml", ".ini", ".cfg", ".log", ".py", ".ipynb", ".sh", ".md5", ".sha256"),
    *(".names", ".lst", ".list", ".parquet", ".db", ".sqlite"),
}
_COMPANION_NAMES = {"license", "licence", "notice", "readme", "copying", "authors", "makefile"}


@dataclasses.dataclass
class PictureTree:
    """The content of a folder; paths are relative to it, with `/` between names.

    Attributes:
        pictures: paths of all files with a suffix that pillow decodes, in the order of their names.
        folders: paths of all folders.
        left_out: how many files of each other suffix may be pictures too.
        broken_links: paths of links that lead nowhere.
    """

    pictures: list[str] = dataclasses.field(default_factory=list)
    folders: list[str] = dataclasses.field(default_factory=list)
    left_out: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    broken_links: list[str] = dataclasses.field(default_factory=list)


def walk_pictures(root):
    """Walk through a folder; links are followed, hidden files and folders passed over.

    Args:
        root: path of the folder.

    Returns:
        `PictureTree`.

    Raises:
        ValueError: if a folder cannot be read, or a link leads back to a folder that it lies in.
    """
    tree = PictureTree()
    suffixes = picture_suffixes()
    # Each with the true paths of the folders that it lies in, itself the last.
    waiting = [("", (os.path.realpath(root),))]
    while waiting:
        prefix, chain = waiting.pop()
        for entry in _entries(os.path.join(root, prefix)):
            path = prefix + entry.name
            if entry.name.startswith(".") or entry.name.casefold() in _HIDDEN:
                continue
            if entry.is_symlink() and not os.path.exists(entry.path):
                tree.broken_links.append(path)
            elif entry.is_dir():
                tree.folders.append(path)
                waiting.append((f"{path}/", (*chain, _true_path(entry, chain))))
            else:
                suffix = os.path.splitext(entry.name)[1].lower()
                if suffix in suffixes and entry.is_file():
                    tree.pictures.append(path)
                elif suffix not in _COMPANIONS and entry.name.lower() not in _COMPANION_NAMES:
                    tree.left_out[suffix] += 1
    for paths in (tree.pictures, tree.folders, tree.broken_links):
        paths.sort()
    return tree


def _entries(folder):
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise ValueError(
            f"`data_dir` must hold folders that can be read. Received: {folder}: {error.strerror}"
        ) from error


def _true_path(entry, chain):
    if entry.is_symlink():
        path = os.path.realpath(entry.path)
    else:
        path = os.path.join(chain[-1], entry.name)
    if path in chain:
        raise ValueError(
            "`data_dir` must hold no link to a folder that it lies in, which would have no end. "
            f"Received: {entry.path}, a link to {path}"
        )
    return path
