"""Which split and which class the pictures of a folder belong to, by the folders they lie in."""

import collections
import dataclasses
import re
import unicodedata

from keras_vqvae2.datasets.splits import SPLITS, named_split, split_of

_MANY = 5  # names that a message lists


@dataclasses.dataclass
class SplitFiles:
    """The pictures of a split.

    Attributes:
        pictures: their paths, relative to the dataset's folder.
        classes: the name of each picture's class, or None where they lie in no class folders.
        empty: names of class folders without pictures.
    """

    pictures: list[str]
    classes: list[str] | None
    empty: list[str]


def arrange(root, tree):
    """Arrange the pictures of a folder in splits.

    Args:
        root: path of the folder, for messages.
        tree: `PictureTree` of it.

    Returns:
        A dict from the names of splits to `SplitFiles`.

    Raises:
        ValueError: if splits are mixed with classes, named twice, below the classes or of other
            classes, or pictures lie beside class folders.
    """
    _check_no_inner_splits(root, tree)
    spellings = _spellings(tree)
    if not spellings:
        return _split_by_hash(_files(root, "", tree))
    folders = {name for names in spellings.values() for name in names}
    others = sorted({path.split("/")[0] for path in tree.pictures} - folders)
    if others:
        raise ValueError(
            f"Beside folders of splits {root} must hold no other pictures. Received: the splits "
            f"{_listed(sorted(folders))} beside {_listed(others)}"
        )
    for split, names in spellings.items():
        if len(names) > 1:
            raise ValueError(
                f"{root} must have one folder for a split. Received: {_listed(names)}, all of "
                f"which mean {split}"
            )
    splits = {
        split: _files(root, f"{spellings[split][0]}/", tree)
        for split in SPLITS
        if split in spellings
    }
    _check_same_classes(root, splits)
    return splits


def _spellings(tree):
    """The folders that are named for a split, `{split: names}`."""
    folders = sorted({path.split("/")[0] for path in tree.folders})
    full = sorted({path.split("/")[0] for path in tree.pictures if "/" in path})
    # Of `seg_train` and `seg_test`; where others lie beside, a class may be a `bullet_train`.
    heads = [full[0][: end.end()] for end in re.finditer(r"[\W_]", full[0])] if full[1:] else []
    for head in heads:
        if all(name.startswith(head) and named_split(name[len(head) :]) for name in full):
            folders = [name for name in folders if name.startswith(head)]
            break
    else:
        head = ""
    spellings = collections.defaultdict(list)
    for name in folders:
        if split := named_split(name[len(head) :]):
            spellings[split].append(name)
    return spellings


def _files(root, prefix, tree):
    """The pictures below a folder of the tree, with their classes."""
    pictures = [path for path in tree.pictures if path.startswith(prefix)]
    inner = [path[len(prefix) :] for path in pictures]
    # One accent may be written in two ways, as macOS and Linux do; a class has one name.
    classes = [unicodedata.normalize("NFC", p.split("/")[0]) for p in inner if "/" in p]
    if classes and len(classes) != len(inner):
        loose = next(path for path in inner if "/" not in path)
        raise ValueError(
            f"The images of {root / prefix} must lie in class sub-folders all or none. Received: "
            f"{loose} beside the folder {classes[0]}"
        )
    folders = (path[len(prefix) :] for path in tree.folders if path.startswith(prefix))
    names = {unicodedata.normalize("NFC", path) for path in folders if "/" not in path}
    return SplitFiles(pictures, classes or None, sorted(names - set(classes)))


def _split_by_hash(files):
    owners = [split_of(path) for path in files.pictures]
    splits = {}
    for split in SPLITS:
        rows = [row for row, owner in enumerate(owners) if owner == split]
        splits[split] = SplitFiles(
            [files.pictures[row] for row in rows],
            files.classes and [files.classes[row] for row in rows],
            files.empty,
        )
    return splits


def _check_same_classes(root, splits):
    """Raise a ValueError if the splits that have classes do not have the same."""
    labelled = {split: set(files.classes) for split, files in splits.items() if files.classes}
    every = set().union(*labelled.values())
    lacking = {
        split: sorted(every - classes - set(splits[split].empty))
        for split, classes in labelled.items()
    }
    found = [f"{split} without {_listed(names)}" for split, names in lacking.items() if names]
    if found:
        raise ValueError(
            f"The splits of {root} must have the same class folders; a split without any is "
            "unlabelled, and an empty folder stands for a class that a split has no picture of. "
            f"Received: {'; '.join(found)}"
        )


def _check_no_inner_splits(root, tree):
    """Raise a ValueError if a folder below the first has splits in it: they would become one."""
    inner = collections.defaultdict(set)
    for folder in {path.rpartition("/")[0] for path in tree.pictures}:
        names = folder.split("/")
        for depth in range(1, len(names)):
            inner["/".join(names[:depth])].add(names[depth])
    for folder, names in sorted(inner.items()):
        splits = {name for name in names if named_split(name)}
        # Of classes, one alone may be called so, as the trains among vehicles.
        if splits == names or len(set(map(named_split, splits))) > 1:
            raise ValueError(
                f"The folders of splits must lie right in `data_dir`, above those of classes. "
                f"Received: {root}, with {_listed(sorted(splits))} in {folder}"
            )


def _listed(names):
    more = f", … ({len(names)} in all)" if len(names) > _MANY else ""
    return ", ".join(map(repr, names[:_MANY])) + more
