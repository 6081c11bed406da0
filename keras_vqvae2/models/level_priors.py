"""The levels of a prior: whether they fit one another, and what each is given of a batch."""

import keras


def check_levels(level_priors):
    """Raise a ValueError if models are not the priors of levels, coarse to fine.

    Args:
        level_priors: of `HierarchicalPrior`.
    """
    listed = isinstance(level_priors, (tuple, list))
    kinds = [type(prior).__name__ for prior in (level_priors if listed else [level_priors])]
    if not listed or not kinds or not all(isinstance(p, keras.Model) for p in level_priors):
        raise ValueError(
            "`level_priors` must hold at least one model, such as a `PixelCNN`; `from_vqvae` "
            f"builds one for each level of a VQVAE2. Received: {kinds}"
        )
    for level, prior in enumerate(level_priors):
        coarser = level_priors[level - 1] if level else None
        # A grid that was read from a file is a list.
        context = (
            prior.context_shape and tuple(prior.context_shape),
            prior.context_num_embeddings,
        )
        known, after = [(None, None)], ""
        if coarser is not None:
            known.append((tuple(coarser.code_shape), coarser.num_embeddings))
            after = f" after {coarser.code_shape} of {coarser.num_embeddings} codes"
        if context not in known:
            raise ValueError(
                "`level_priors` must be coarse to fine, each with the grid and the codes of the "
                f"one before as its context, or without. Received: level {level} with "
                f"context_shape={context[0]}, context_num_embeddings={context[1]}{after}"
            )
    classes = {prior.num_classes for prior in level_priors} - {None}
    if len(classes) > 1:
        raise ValueError(
            "`level_priors` must have the same num_classes, or none. "
            f"Received: {[prior.num_classes for prior in level_priors]}"
        )


def split_batch(data, num_levels):
    """Return the codes, the labels and the sample weights of what a dataset gives.

    Args:
        data: `((top, bottom), labels, sample_weight)` without the last or the last two, or
            `(top, bottom)`; the codes of a single level also by themselves.
        num_levels: how many levels there are.

    Returns:
        A tuple of arrays, coarse to fine; labels or None; sample weights or None.
    """
    if not _is_sequence(data):
        data = ((data,),)
    elif len(data) == 1 and _is_sequence(data[0]) and _is_sequence(data[0][0]):
        data = data[0]  # `((top, bottom), labels)` as the one argument of `fit`
    elif not _is_sequence(data[0]):
        # Levels side by side; a single level may have labels beside it.
        data = ((data[0],), *data[1:]) if num_levels == 1 else (tuple(data),)
    codes, labels, sample_weight = (*data, None, None)[:3]
    return tuple(codes), labels, sample_weight


def _is_sequence(data):
    return isinstance(data, (tuple, list))


def condition_of(prior, coarser, labels):
    """Return what a level's prior is given beside its own codes.

    Args:
        prior: of the level.
        coarser: codes of the next coarser level, or None.
        labels: of the images, or None.

    Returns:
        Dictionary with `"context"` if the level has one, and `"labels"` if it is by class.
    """
    given = {}
    if prior.context_shape is not None:
        given["context"] = coarser
    if prior.num_classes is not None:
        given["labels"] = labels
    return given


def level_inputs(inputs, keys, level, prior):
    """Return the inputs of one level's prior, from those of the hierarchy.

    Args:
        inputs: dictionary of a `HierarchicalPrior`.
        keys: names of the levels' codes in it, coarse to fine.
        level: which one it is.
        prior: of the level.

    Returns:
        Dictionary of a `PixelCNN`.
    """
    coarser = inputs[keys[level - 1]] if level else None
    return {"codes": inputs[keys[level]], **condition_of(prior, coarser, inputs.get("labels"))}
