"""Levels of a hierarchy, coarsest first: their names."""


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
