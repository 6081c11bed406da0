"""The pictures of a run: which classes and images they show, and where they go."""

from keras_vqvae2.cli.progress import console
from keras_vqvae2.cli.run import load_codes


def frequent_classes(config, generator):
    """Return the classes of a run's training codes, the most frequent first.

    Args:
        config: `Config`.
        generator: the run's `ImageGenerator`.

    Returns:
        int array `[num_classes]`; in their own order where no codes tell; empty without classes.

    Example:

    ```python
    most_frequent, *_ = frequent_classes(config, load_generator(config))
    ```
    """
    import numpy as np

    frequencies = np.zeros(generator.num_classes or 0)
    if len(frequencies) and (config.codes_dir / "train").exists():
        codes = load_codes(config, "train")
        for index in range(len(codes) if codes.num_classes else 0):
            frequencies += np.bincount(codes[index][1], minlength=len(frequencies))
    return np.argsort(-frequencies, kind="stable")


def one_label(priors, count, label):
    """Return the class of images that are all of one.

    Args:
        priors: the `HierarchicalPrior`, which knows the names of its classes.
        count: how many images.
        label: name or number of the class.

    Returns:
        int32 array `[count]`.

    Raises:
        ValueError: if the label is not known, or the prior is unconditional.

    Example:

    ```python
    one_label(priors, count=64, label="flag")
    ```
    """
    import numpy as np

    if priors.num_classes is None:
        raise ValueError(
            "`label` must be left out: the prior was trained without --conditional. "
            f"Received: label={label!r}"
        )
    names = priors.label_names or ()
    numbers = [str(number) for number in range(priors.num_classes)]
    for known in (names, numbers):
        if label in known:
            return np.full(count, list(known).index(label), np.int32)
    raise ValueError(
        f"`label` must be one of {', '.join(names) or f'0 to {priors.num_classes - 1}'}. "
        f"Received: label={label!r}"
    )


def spread(data, count):
    """Return the places of some of a dataset's images, evenly spread: neighbours are often alike.

    Args:
        data: what has a length.
        count: how many at most.

    Returns:
        int array `[count]`.

    Example:

    >>> spread("abcdefghi", 3)
    array([0, 4, 8])
    """
    import numpy as np

    return np.linspace(0, len(data) - 1, min(count, len(data))).astype(int)


def save_picture(path, picture):
    """Write a picture, and say so.

    Args:
        path: of the file, in the run's folder or where the user wants it.
        picture: uint8 `[H, W, C]`.
    """
    from keras_vqvae2 import drawing

    drawing.save(path, picture)
    console().print(f"wrote {path}", markup=False)
