"""Classifier-free guidance: each image twice in a batch, with its class and without one."""

import keras
from keras import ops

NO_CLASS = -1


def doubled(values):
    """Return a nest of tensors `[B, ...]` and None with each tensor twice, `[2 B, ...]`."""
    return keras.tree.map_structure(
        lambda x: None if x is None else ops.concatenate([x, x]), values
    )


def without_class(condition_inputs):
    """Return a doubled condition whose second half has no class.

    Args:
        condition_inputs: dictionary of tensors `[B, ...]`, `"labels"` among them.
    """
    labels = condition_inputs["labels"]
    return {
        **doubled(condition_inputs),
        "labels": ops.concatenate([labels, ops.full_like(labels, NO_CLASS)]),
    }


def guided(draw, guidance):
    """Return a draw for a doubled batch; both halves get the codes of the guided distribution.

    The logits are `u + guidance * (c - u)`, where `c` are those with the class and `u` those
    without one: Ho and Salimans 2022, "Classifier-Free Diffusion Guidance", equation 6, with
    `guidance = 1 + w`.

    Args:
        draw: callable `(logits [B, K], position) -> codes [B]`.
        guidance: float32 tensor `[B]`.
    """

    def draw_both(logits, position):
        c, u = ops.unstack(ops.reshape(logits, (2, -1, logits.shape[-1])))
        scale = guidance[:, None]
        # Where nothing is guided, exactly what an unguided draw would see.
        codes = draw(ops.where(scale == 1.0, c, u + scale * (c - u)), position)
        return ops.concatenate([codes, codes])

    return draw_both
