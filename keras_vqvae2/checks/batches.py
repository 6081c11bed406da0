"""Checks of batches of images, codes, labels and masks."""

import warnings

import numpy as np

from keras_vqvae2.checks.values import positive_int


def images(value, image_shape, name="images"):
    """Return a batch of images as an array, or raise a ValueError that says what is wrong.

    Args:
        value: array-like `[B, H, W, C]`, pixels in [0, 255], uint8 or float.
        image_shape: the model's `(H, W, C)`.
        name: the argument's name for messages.

    Returns:
        NumPy array as given: uint8 stays uint8, to be cast on the device.

    Raises:
        ValueError: for a wrong rank, size, dtype or range, or an empty batch.
    """
    if hasattr(value, "element_spec") or hasattr(value, "__next__"):
        raise ValueError(
            f"`{name}` must be an array, not a dataset: `fit` takes datasets, and `extract_codes` "
            "the codes of many images; or call this for each of its batches. "
            f"Received: a {type(value).__name__}"
        )
    if isinstance(value, (tuple, list)) and np.ndim(value[0] if value else 0) != 3:
        raise ValueError(f"`{name}` must be one array of images. Received: {_describe(value)}")
    array = np.asarray(value)
    _batch_of(array, image_shape, name)
    if len(array) == 0:
        raise ValueError(f"`{name}` must hold at least one image. Received: shape={array.shape}")
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise ValueError(
            f"`{name}` must be uint8 or float pixels in [0, 255]. Received: dtype={array.dtype}"
        )
    pixel_range(array, name)
    return array


def pixel_range(array, name):
    """Raise a ValueError for pixels outside [0, 255]; warn when floats look scaled to [0, 1]."""
    if array.dtype == np.uint8 or array.size == 0:
        return
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 255):  # also catches NaN
        raise ValueError(
            f"`{name}` must hold pixels in [0, 255]. Received: values in [{low:g}, {high:g}]"
        )
    if np.issubdtype(array.dtype, np.floating) and 0 < high <= 1:
        warnings.warn(
            f"`{name}` holds floats in [{low:g}, {high:g}], but pixels are expected in [0, 255]. "
            "If they were scaled to [0, 1], multiply them by 255.",
            stacklevel=3,
        )


def codes(value, code_shape, num_embeddings, name="codes"):
    """Return codes as an int32 array `[B, H, W]`, or raise a ValueError that says what is wrong.

    Args:
        value: integer array-like `[B, H, W]`, each in `[0, num_embeddings)`.
        code_shape: the grid `(H, W)`.
        num_embeddings: `K`.
        name: the argument's name for messages.
    """
    array = np.asarray(value)
    _batch_of(array, code_shape, name)
    if len(array) == 0:
        raise ValueError(f"`{name}` must hold at least one example. Received: shape={array.shape}")
    return _indices(array, num_embeddings, name, "codes")


def label_numbers(value, label_names, name="labels"):
    """Return labels with numbers in the place of names.

    Args:
        value: numbers as they are, or a name, or a sequence of names.
        label_names: the names of all classes in order, or None.
        name: the argument's name for messages.

    Raises:
        ValueError: if a name is not among them.
    """
    array = np.asarray(value)
    if value is None or array.dtype.kind not in "UO":
        return value
    numbers = {str(label): number for number, label in enumerate(label_names or ())}
    unknown = [label for label in array.ravel().tolist() if label not in numbers]
    if unknown:
        known = ", ".join(map(repr, numbers)) or "numbers: this model has no label_names"
        raise ValueError(f"`{name}` must be of {known}. Received: {name}={unknown[0]!r}")
    return np.reshape([numbers[label] for label in array.ravel().tolist()], array.shape)


def label_names(value, num_classes):
    """Return the names of the classes as a tuple of strings, or None.

    Args:
        value: sequence of distinct strings, one a class, or None.
        num_classes: how many classes the model knows; None for an unconditional model.

    Raises:
        ValueError: if there are not as many as classes, or two are the same.
    """
    if value is None:
        return None
    names = tuple(map(str, value)) if isinstance(value, (tuple, list, np.ndarray)) else (value,)
    if len(names) != num_classes or len(set(names)) != len(names):
        raise ValueError(
            f"`label_names` must be {num_classes} distinct names, one a class. "
            f"Received: label_names={names}"
        )
    return names


def labels(value, num_classes, batch_size, name="labels", optional=False):
    """Return labels as an int32 array `[B]`, or None for a model without classes.

    Args:
        value: None, one integer for the whole batch, or integers `[B]` in `[0, num_classes)`.
        num_classes: how many classes the model knows; None for an unconditional model.
        batch_size: `B`.
        name: the argument's name for messages.
        optional: whether the model knows images without a class: -1, as which None comes back.
    """
    if num_classes is None:
        if value is not None:
            raise ValueError(
                f"`{name}` must be None: this model was built with num_classes=None. "
                f"Received: {name}={value!r}"
            )
        return None
    if value is None:
        if optional:
            return np.full(positive_int("num_samples", batch_size), -1, np.int32)
        raise ValueError(
            f"`{name}` must be given: this model was built with num_classes={num_classes}. "
            f"Received: {name}=None"
        )
    array, batch_size = np.asarray(value), positive_int("num_samples", batch_size)
    if array.ndim == 0:
        array = np.repeat(array, batch_size)
    if array.shape != (batch_size,):
        raise ValueError(
            f"`{name}` must be one integer or have the shape [{batch_size}]. "
            f"Received: shape={array.shape}"
        )
    return _indices(array, num_classes, name, "classes", least=-1 if optional else 0)


def _batch_of(array, shape, name):
    if array.ndim != 1 + len(shape) or array.shape[1:] != tuple(shape):
        expected = ", ".join(str(size) for size in shape)
        raise ValueError(
            f"`{name}` must have the shape [B, {expected}]. Received: shape={array.shape}"
        )


def _indices(array, size, name, what, least=0):
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"`{name}` must be integers. Received: dtype={array.dtype}")
    if not (array.min() >= least and array.max() < size):
        raise ValueError(
            f"`{name}` must lie in [{least}, {size}), the {what} this model knows. "
            f"Received: values in [{array.min()}, {array.max()}]"
        )
    return array.astype(np.int32)


def levels(value, code_shapes, num_embeddings, level_names, name="codes"):
    """Return the codes of every level as a tuple of int32 arrays `[B, H_l, W_l]`.

    Args:
        value: sequence of integer arrays, one a level, coarse to fine.
        code_shapes: the grids `(H_l, W_l)`.
        num_embeddings: `K` of each level.
        level_names: for messages.
        name: the argument's name for messages.
    """
    _one_a_level(value, level_names, name)
    arrays = tuple(
        codes(array, shape, size, f"{name} of level {level!r}")
        for array, shape, size, level in zip(
            value, code_shapes, num_embeddings, level_names, strict=True
        )
    )
    _of_one_length(arrays, name)
    return arrays


def noise(value, code_shapes, level_names, name="noise"):
    """Return the noise of every level as a tuple of float32 arrays `[B, H_l, W_l]`.

    Args:
        value: sequence of arrays of numbers in [0, 1), one a level, coarse to fine.
        code_shapes: the grids `(H_l, W_l)`.
        level_names: for messages.
        name: the argument's name for messages.
    """
    _one_a_level(value, level_names, name)
    arrays = tuple(np.asarray(level, "float32") for level in value)
    for array, shape, level in zip(arrays, code_shapes, level_names, strict=True):
        _batch_of(array, shape, f"{name} of level {level!r}")
        if len(array) == 0:
            raise ValueError(f"`{name}` must be of at least one image. Received: {array.shape}")
        if not ((array >= 0) & (array < 1)).all():
            raise ValueError(
                f"`{name}` of level {level!r} must lie in [0, 1). "
                f"Received: values in [{array.min():g}, {array.max():g}]"
            )
    _of_one_length(arrays, name)
    return arrays


def _one_a_level(value, level_names, name):
    if not isinstance(value, (tuple, list)) or len(value) != len(level_names):
        raise ValueError(
            f"`{name}` must be a tuple of {len(level_names)} arrays, one a level: "
            f"{', '.join(level_names)}. Received: {_describe(value)}"
        )


def _of_one_length(arrays, name):
    lengths = [len(array) for array in arrays]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"`{name}` must hold the same number of examples at each level. "
            f"Received: {', '.join(map(str, lengths))}"
        )


def _describe(value):
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"{type(value).__name__} of shape {np.shape(value)}"


def mask(value, shape, name="mask"):
    """Return a mask as a bool array `[B, H, W]`; one `[H, W]` serves the whole batch."""
    array = np.asarray(value)
    if array.dtype != bool or array.shape not in (tuple(shape), tuple(shape[1:])):
        raise ValueError(
            f"`{name}` must be bool of the shape {list(shape)} or {list(shape[1:])}, true where a "
            f"pixel is known. Received: dtype={array.dtype}, shape={array.shape}"
        )
    return np.broadcast_to(array, shape)
