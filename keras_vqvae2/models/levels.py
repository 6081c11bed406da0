"""Levels of a hierarchy, coarsest first: their names, and arguments given a level."""


def level_names(num_levels):
    """Return the levels' names, coarse to fine: `("top", "bottom")`, else `"level_0"` and so on."""
    if num_levels == 2:
        return ("top", "bottom")
    return tuple(f"level_{level}" for level in range(num_levels))


def code_names(num_levels):
    """Return the codes' names, coarse to fine: `codes_top`, `codes_bottom`; else `codes_0`, ...."""
    if num_levels == 2:
        return ("codes_top", "codes_bottom")
    return tuple(f"codes_{level}" for level in range(num_levels))


def per_level(name, value, num_levels):
    """Return one value a level from one value for all, or from a sequence of them.

    Raises:
        ValueError: if a sequence has another length.
    """
    if not isinstance(value, (tuple, list)):
        return (value,) * num_levels
    if len(value) != num_levels:
        raise ValueError(
            f"`{name}` must be one value or {num_levels} of them, coarse to fine. "
            f"Received: {name}={value!r}"
        )
    return tuple(value)
