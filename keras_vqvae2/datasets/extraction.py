"""Codes of a frozen VQ-VAE-2 written to disk, for the priors of stage 2."""

import dataclasses
import functools
import hashlib
import os
import shutil
from pathlib import Path

import numpy as np

from keras_vqvae2 import checks, files
from keras_vqvae2.datasets.augmentation import Augmentation
from keras_vqvae2.datasets.image_data import as_image_data
from keras_vqvae2.datasets.manifest import (
    FILE_NAME,
    CodeManifest,
    check_weights,
    is_intact,
    shard_path,
    weights_fingerprint,
    write_sums,
)


def extract_codes(
    vqvae,
    data,
    directory,
    *,
    batch_size=256,
    shard_size=16384,
    passes=1,
    flip=False,
    shift=0,
    noise=0.0,
    seed=0,
    progress=None,
    part=(0, 1),
):
    """Encode a dataset and write its codes to disk as shards, with a manifest.

    It can be killed at any time: the same call goes on after the last complete shard, and the files
    are those of an undisturbed run. A damaged shard is made again. `CodeBatches` reads them.

    Args:
        vqvae: the trained `VQVAE2`.
        data: `ImageData`, an array `[N, H, W, C]`, or a pair `(images, labels)`.
        directory: path of a folder, made if there is none.
        batch_size: images encoded at a time.
        shard_size: examples in a shard, and what a kill may cost. Reading is fastest from at most
            about a hundred shards.
        passes: over the images. The first takes them as they are, each other one augments them
            anew, so that the prior sees more than one encoding of an image.
        flip: whether an augmented pass mirrors half of the images left to right.
        shift: by how many pixels an augmented pass may move an image along each axis.
        noise: standard deviation of normal noise that an augmented pass adds to the images, in grey
            levels of 255; their `encode` then gives other codes of about the same reconstruction.
        seed: integer of at least 0, of the augmentation.
        progress: callable `(done, total)` of examples, called after each batch; or None.
        part: `(index, count)`: of several processes that share the folder, each writes the shards
            of its own part. The one that finds all shards written completes the manifest.

    Returns:
        `CodeManifest` of the folder, complete once the shards of all parts are.

    Raises:
        ValueError: if an argument is out of its range, or the folder holds codes of other weights,
            images or options.

    Example:

    >>> import tempfile
    >>> from keras_vqvae2 import datasets, models
    >>> vqvae = models.VQVAE2((32, 32, 3), filters=4, embedding_dim=2, num_embeddings=8)
    >>> data, folder = datasets.load("emoji32", "test"), tempfile.mkdtemp()
    >>> manifest = extract_codes(vqvae, data, folder, passes=2, flip=True)
    >>> codes = datasets.CodeBatches(folder, batch_size=64, shuffle=True, vqvae=vqvae)
    >>> (top, bottom), labels = codes[0]
    >>> top.shape, bottom.shape, labels.shape
    ((64, 4, 4), (64, 8, 8), (64,))
    """
    data = as_image_data(data)
    batch_size = checks.positive_int("batch_size", batch_size)
    augmentation = augmentation_of_passes(passes, flip, shift, noise, seed)
    manifest = CodeManifest(
        fingerprint=weights_fingerprint(vqvae),
        level_names=tuple(vqvae.level_names),
        code_shapes=tuple(tuple(shape) for shape in vqvae.code_shapes),
        num_embeddings=tuple(vqvae.num_embeddings),
        num_examples=len(data) * passes,
        shard_size=checks.positive_int("shard_size", shard_size),
        passes=passes,
        augmentation=dataclasses.asdict(augmentation),
        source=_describe(data),
        num_classes=data.num_classes if data.labels is not None else None,
        label_names=data.label_names,
    )
    directory = Path(directory)
    index, count = _checked_part(part)
    checks.function_or_none("progress", progress)
    _begin(manifest, directory, vqvae, index)

    def report(done):
        if progress is not None:
            progress(done, manifest.num_examples)

    for shard in range(index, manifest.num_shards, count):
        if is_intact(manifest, directory, shard):
            report(manifest.rows(shard).stop)
        else:
            _write_shard(manifest, shard, vqvae, data, directory, batch_size, report)
    if all(shard_path(directory, shard).exists() for shard in range(manifest.num_shards)):
        manifest = dataclasses.replace(manifest, complete=True)
        manifest.save(directory, index)
    return manifest


def _checked_part(part):
    if isinstance(part, (tuple, list)) and len(part) == 2:
        index, count = part
        if checks.non_negative_int("part", index) < checks.positive_int("part", count):
            return index, count
    raise ValueError(
        f"`part` must be `(index, count)`, 0 <= index < count. Received: part={part!r}"
    )


def augmentation_of_passes(passes=1, flip=False, shift=0, noise=0.0, seed=0):
    """Return the augmentation of all passes but the first, or refuse what contradicts itself.

    Args:
        passes: as of `extract_codes`, like the others.
        flip: see `passes`.
        shift: see `passes`.
        noise: see `passes`.
        seed: see `passes`.

    Returns:
        `Augmentation`.

    Raises:
        ValueError: if an argument is out of its range, the passes would all be alike, or there is
            noise and no pass that takes it.
    """
    passes = checks.positive_int("passes", passes)
    augmentation = Augmentation(flip, shift, seed, noise)
    if passes > 1 and not augmentation:
        raise ValueError(
            "`passes` must be 1 unless `flip`, `shift` or `noise` makes the passes differ. "
            f"Received: passes={passes}, flip={flip}, shift={shift}, noise={noise}"
        )
    if noise and passes == 1:
        raise ValueError(
            "`noise` must be 0 unless `passes` is at least 2: the first takes the images as they "
            f"are. Received: noise={noise}, passes=1"
        )
    return augmentation


def _describe(data):
    """What tells one source of images from another without reading all of it."""
    digest = hashlib.sha256()
    for index in np.linspace(0, len(data) - 1, num=16, dtype=int):
        digest.update(data.images[index].tobytes())
    if data.labels is not None:
        digest.update(data.labels.tobytes())
    return {
        "name": data.name,
        "split": data.split,
        "num_images": len(data),
        "image_shape": list(data.image_shape),
        "digest": digest.hexdigest(),
    }


def _begin(manifest, directory, vqvae, writer):
    """Write the manifest into a fresh folder; refuse to mix two extractions in one."""
    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / FILE_NAME).exists():
        if shard_path(directory, 0).exists():
            raise ValueError(
                f"`directory` must not hold shards without a {FILE_NAME}: nothing says what they "
                f"are. Extract into an empty directory. Received: {str(directory)!r}"
            )
        manifest.save(directory, writer)
        return
    found = CodeManifest.load(directory)
    check_weights(found, vqvae, directory)
    found = dataclasses.replace(found, complete=manifest.complete)
    different = [
        f"{field.name}={getattr(manifest, field.name)} for {getattr(found, field.name)}"
        for field in dataclasses.fields(CodeManifest)
        if getattr(manifest, field.name) != getattr(found, field.name)
    ]
    if different:
        raise ValueError(
            f"The codes in {directory} were begun with other options. Give the same, or extract "
            f"into an empty directory. Received: {', '.join(different)}"
        )


def _write_shard(manifest, shard, vqvae, data, directory, batch_size, report):
    """Encode a shard's rows, write them beside their place and move them there."""
    rows = np.array(manifest.rows(shard))
    levels = [
        np.empty((len(rows), *shape), manifest.code_dtype(level))
        for level, shape in enumerate(manifest.code_shapes)
    ]
    for start in range(0, len(rows), batch_size):
        batch = slice(start, start + batch_size)
        images = _images(data, rows[batch], Augmentation(**manifest.augmentation))
        for level, codes in zip(levels, vqvae.encode(images, batch_size=batch_size), strict=True):
            level[batch] = codes
        report(int(rows[batch][-1]) + 1)
    arrays = dict(zip(manifest.level_names, levels, strict=True))
    if manifest.num_classes is not None:
        arrays["labels"] = data.labels[rows % len(data)]

    path = shard_path(directory, shard)
    # One name a shard, so that a run after a kill overwrites what the kill left.
    partial = path.with_suffix(".partial")
    try:
        _remove(partial)
        partial.mkdir()
        for name, array in arrays.items():
            save = functools.partial(np.save, arr=array, allow_pickle=False)
            files.write(partial / f"{name}.npy", save)
        write_sums(partial)
        _remove(path)  # where it is damaged
        os.replace(partial, path)
        files.sync_folder(directory)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)  # it may be what fills the disk
        raise


def _remove(path):
    """Remove a folder, if it is there, or a file in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _images(data, rows, augmentation):
    """The images of some rows, augmented from the second pass on."""
    passes, indices = np.divmod(rows, len(data))
    images = data.images[indices]
    later = passes > 0
    images[later] = augmentation(images[later], indices[later], passes[later])
    return images
