"""What a folder of codes holds: its manifest, its shards, and the rows of each.

```
codes/
  manifest.json
  shard-00000/top.npy       uint16 [rows, H, W], int32 where K > 65,536; a file for each level
              bottom.npy
              labels.npy    int32 [rows], if there are labels
              SHA256SUMS    of these files, as `sha256sum -c` reads it
  shard-00001/ ...
```

Row `r` of the whole is image `r % N` in augmented pass `r // N`, and shard `s` holds the rows from
`s * shard_size` on: a shard's number determines its content, so shards can be written in any order,
by any worker. A shard is written beside its place and moved there, and the manifest says
`"complete": true` after the last: what has its final name is whole. The manifest holds a checksum
of itself, and each shard those of its files; codes of before there were any are read all the same.
"""

import dataclasses
import hashlib
import math
import re
from pathlib import Path

import keras
import numpy as np

from keras_vqvae2 import files
from keras_vqvae2.datasets.augmentation import Augmentation

FORMAT_VERSION = 1
FILE_NAME = "manifest.json"
SUMS_NAME = "SHA256SUMS"
MOST_ROWS = 2**48
MOST_CODES = 2**16  # along an axis of a grid
_SHARD = re.compile(r"shard-(\d{5,15})")
_MOST_HEADER = 2**12  # bytes of a `.npy` file before its values


@dataclasses.dataclass(frozen=True)
class CodeManifest:
    """The description of a folder of codes, stored in it as `manifest.json`.

    Attributes:
        fingerprint: `weights_fingerprint` of the VQ-VAE-2 that made the codes.
        level_names: of the levels, coarse to fine.
        code_shapes: the grid `(H, W)` of each level.
        num_embeddings: `K` of each level.
        num_examples: rows in all: images times passes.
        shard_size: rows of each shard but the last.
        passes: over the images; all but the first are augmented.
        augmentation: its `flip`, `shift`, `seed` and `noise`.
        source: the images' `name`, `split`, `num_images`, `image_shape` and a `digest`.
        num_classes: how many classes the labels tell apart; None without labels.
        label_names: a name for each class, or None.
        complete: whether all shards are written.
        format_version: of the layout above.
    """

    fingerprint: str
    level_names: tuple[str, ...]
    code_shapes: tuple[tuple[int, int], ...]
    num_embeddings: tuple[int, ...]
    num_examples: int
    shard_size: int
    passes: int
    augmentation: dict
    source: dict
    num_classes: int | None
    label_names: tuple[str, ...] | None
    complete: bool = False
    format_version: int = FORMAT_VERSION

    @property
    def num_shards(self):
        """How many shards hold the examples."""
        return -(-self.num_examples // self.shard_size)

    def rows(self, shard):
        """Return the rows that a shard holds, a range."""
        start = shard * self.shard_size
        return range(start, min(start + self.shard_size, self.num_examples))

    def code_dtype(self, level):
        """Return the dtype that a level's codes are stored in."""
        return np.dtype("uint16" if self.num_embeddings[level] <= 2**16 else "int32")

    def save(self, directory, writer=0):
        """Write the manifest into a folder, whole or not at all.

        Args:
            directory: path of the folder.
            writer: number of this process among those that write into the folder.
        """
        text = files.signed_json(dataclasses.asdict(self))
        files.write_text(Path(directory) / FILE_NAME, text, writer)

    @classmethod
    def load(cls, directory):
        """Read the manifest of a folder, complete or not.

        Args:
            directory: path of the folder.

        Returns:
            `CodeManifest`.

        Raises:
            ValueError: if there is none, it is corrupt, or its format has another version.
        """
        path = Path(directory) / FILE_NAME
        if not path.is_file():
            raise ValueError(
                "`directory` must hold codes that `extract_codes` wrote. "
                f"Received: {str(directory)!r}, without {FILE_NAME}"
            )
        try:
            fields = files.read_signed_json(path)
            version = fields["format_version"]
            if version != FORMAT_VERSION:
                raise ValueError(
                    f"{path} must have format version {FORMAT_VERSION}: extract the codes again. "
                    f"Received: version {version!r}"
                )
            manifest = cls(**fields)
            _check_fields(manifest, path)
            return dataclasses.replace(
                manifest,
                # Codes on disk may be older than an option of it.
                augmentation=dataclasses.asdict(_augmentation(manifest, path)),
                level_names=tuple(manifest.level_names),
                code_shapes=tuple(tuple(shape) for shape in manifest.code_shapes),
                num_embeddings=tuple(manifest.num_embeddings),
                label_names=manifest.label_names and tuple(manifest.label_names),
            )
        except files.DamagedFileError as error:
            raise ValueError(
                f"{error}, so it is not a manifest of codes. Remove {directory} to extract anew."
            ) from error
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is not a manifest of codes: {error}") from error


def _check_fields(manifest, path):
    """Raise a ValueError for what `extract_codes` never writes."""
    for name in manifest.level_names:
        if Path(name).name != name:  # of a file, which stays in its shard
            raise ValueError(f"{path} must have plain level names. Received: {name!r}")
    grids = [length for shape in manifest.code_shapes for length in shape]
    for name, values, most in (
        ("num_examples", [manifest.num_examples], MOST_ROWS),
        ("shard_size", [manifest.shard_size], MOST_ROWS),
        ("passes", [manifest.passes], MOST_ROWS),
        ("code_shapes", grids, MOST_CODES),
        ("num_embeddings", list(manifest.num_embeddings), 2**31 - 1),
        ("num_classes", [] if manifest.num_classes is None else [manifest.num_classes], 2**31 - 1),
    ):
        if not all(type(value) is int and 1 <= value <= most for value in values):
            raise ValueError(
                f"{path} must have `{name}` of integers from 1 to {most}. Received: {values}"
            )
    levels = len(manifest.level_names)
    pairs = [len(shape) for shape in manifest.code_shapes] == [2] * levels
    if not (levels and pairs and len(manifest.num_embeddings) == levels):
        raise ValueError(
            f"{path} must have a grid (H, W) and `num_embeddings` for each level. Received: "
            f"{manifest.code_shapes} and {manifest.num_embeddings} for {manifest.level_names}"
        )


def _augmentation(manifest, path):
    try:
        return Augmentation(**manifest.augmentation)
    except ValueError as error:
        raise ValueError(f"{error} In {path}.") from error


def present_shards(manifest, directory):
    """Return which shards are there, a sorted list: what a manifest claims takes no time.

    Args:
        manifest: `CodeManifest` of the folder.
        directory: path of the folder.
    """
    numbers = (_SHARD.fullmatch(entry.name) for entry in Path(directory).iterdir())
    found = {int(match[1]) for match in numbers if match}
    return sorted(shard for shard in found if shard < manifest.num_shards)


def shard_path(directory, shard):
    """Return the path of a shard, which exists once the shard is complete."""
    return Path(directory) / f"shard-{shard:05d}"


def write_sums(folder):
    """Write the checksums of a shard's files beside them.

    Args:
        folder: of the shard, complete but for them.
    """
    names = [file.stem for file in folder.glob("*.npy")]
    files.write_text(folder / SUMS_NAME, _sums(folder, names))


def _sums(folder, names):
    found = sorted(f"{name}.npy" for name in names)
    return "".join(f"{files.digest(folder / name)}  {name}\n" for name in found)


def is_intact(manifest, directory, shard):
    """Return whether a shard's files are those that were written.

    Args:
        manifest: `CodeManifest` of the folder.
        directory: path of the folder.
        shard: number of the shard.

    Returns:
        bool; False for a shard that is not there.

    Raises:
        OSError: if a file cannot be read.
    """
    folder, rows = shard_path(directory, shard), len(manifest.rows(shard))
    arrays = {
        name: (shape, manifest.code_dtype(level))
        for level, (name, shape) in enumerate(
            zip(manifest.level_names, manifest.code_shapes, strict=True)
        )
    }
    if manifest.num_classes is not None:
        arrays["labels"] = ((), np.dtype("int32"))
    sums = folder / SUMS_NAME
    try:
        if folder.is_symlink() or any(entry.is_symlink() for entry in folder.iterdir()):
            return False  # a shard is a folder of files, whatever lies elsewhere
        for name, (shape, dtype) in arrays.items():
            file, size = folder / f"{name}.npy", rows * math.prod(shape) * dtype.itemsize
            if files.size_of(file) not in range(size, size + _MOST_HEADER):
                return False
            array = np.load(file, mmap_mode="r", allow_pickle=False)
            if (array.shape, array.dtype) != ((rows, *shape), dtype):
                return False
        # Not there in codes of before there were any; they are told by their shapes.
        if not sums.exists():
            return True
        files.size_of(sums, _MOST_HEADER)
        return sums.read_bytes() == _sums(folder, arrays).encode()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        raise
    except Exception:  # of a damaged header NumPy raises errors of many kinds
        return False


def weights_fingerprint(model):
    """Return a hash of the weights that decide what a model is fingerprinted for.

    Of a `VQVAE2` those that decide the codes of an image: its finest decoder may go on learning.
    Of any other model all weights. The optimizer's state has no part in it. Equal weights have
    equal fingerprints in every process and on every backend.

    Args:
        model: a built `keras.Model`, such as `VQVAE2`.

    Returns:
        The SHA-256 of names, shapes, dtypes and values, 64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for variable in getattr(model, "code_weights", model.weights):
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
        # Not the path: Keras numbers the layers of a second model in the same process.
        digest.update(f"{variable.name} {value.dtype} {value.shape}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def check_weights(manifest, vqvae, directory):
    """Raise a ValueError if other weights than those of `vqvae` made the codes."""
    fingerprint = weights_fingerprint(vqvae)
    if fingerprint != manifest.fingerprint:
        raise ValueError(
            f"The codes in {directory} were made by other weights. Load the weights that made "
            "them, or extract the codes again into an empty directory. Received: weights "
            f"{fingerprint[:12]}, codes of {manifest.fingerprint[:12]}"
        )
