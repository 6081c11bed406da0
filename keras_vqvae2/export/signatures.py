"""What an exported model can be asked: functions of tensors, and their inputs by name.

Every input has the batch first.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from keras_vqvae2.models.levels import code_names
from keras_vqvae2.ops import to_uint8
from keras_vqvae2.sampling import NO_CLASS, RULES, uniform_noise


@dataclasses.dataclass(frozen=True)
class Input:
    """An input of a signature.

    Attributes:
        shape: of one row.
        dtype: name of the dtype.
        rule: what all values must be, for messages; empty if they may be anything.
        holds: callable `tensor -> bool tensor` that tells whether values follow the rule.
        default: value of all rows where the input is not given; None if it must be given.
    """

    shape: tuple[int, ...]
    dtype: str
    rule: str = ""
    holds: Callable[[Any], Any] | None = None
    default: float | None = None


def vqvae_signatures(model):
    """Return the signatures of a `VQVAE2`.

    Args:
        model: `VQVAE2`.

    Returns:
        Dictionary from names to `(function, inputs)`: a function of a dictionary of tensors that
        returns one, and its `Input`s by name.

    Example:

    ```python
    function, inputs = vqvae_signatures(VQVAE2())["encode"]
    ```
    """
    images = {"images": Input(model.image_shape, "uint8")}
    codes = _level_inputs(
        model, "codes", "int32", lambda size: (f"in [0, {size})", _between(0, size))
    )

    def encode(inputs):
        return dict(zip(codes, model.encode_tensors(inputs["images"]), strict=True))

    def decode(inputs):
        return {"images": to_uint8(model.decode_tensors(tuple(inputs.values())))}

    def reconstruct(inputs):
        return decode(encode(inputs))

    return {
        "reconstruct": (reconstruct, images),
        "encode": (encode, images),
        "decode": (decode, codes),
    }


def generator_signatures(model, branches=True):
    """Return the signatures of an `ImageGenerator`.

    Args:
        model: `ImageGenerator`.
        branches: whether the graph may have a branch of its own for requests without guidance.
            Without it a model that can be guided samples twice as wide for each.

    Returns:
        As `vqvae_signatures`.

    Example:

    ```python
    function, inputs = generator_signatures(model)["sample_from_noise"]
    ```
    """
    import tensorflow as tf

    images = {"images": Input(model.image_shape, "uint8")}
    mask = {"mask": Input(model.image_shape[:2], "bool")}
    seed = {"seed": Input((), "int64")}
    noise = _level_inputs(
        model.vqvae, "uniforms", "float32", lambda size: ("in [0, 1)", _between(0.0, 1.0))
    )
    labels = {}
    if model.num_classes is not None:
        # A model that knows images without a class takes -1 for none, which is its default then.
        least = NO_CLASS if model.prior.labels_optional else 0
        rule = f"in [{least}, {model.num_classes}), the classes this model knows"
        holds = _between(least, model.num_classes)
        labels = {"labels": Input((), "int32", rule, holds, default=least)}
    options = {
        name: Input((), rule.dtype, rule.text, rule.holds, model.sampling.get(name, rule.neutral))
        for name, rule in RULES.items()
        if name != "guidance" or model.prior.labels_optional
    }

    def request(inputs, uniforms):
        given = {name: inputs.get(name) for name in RULES}
        if given["guidance"] is not None:
            given["guidance"] = (given["guidance"],) * model.vqvae.num_levels
        return {
            "request": {"options": given, "uniforms": uniforms},
            "labels": inputs.get("labels"),
        }

    guided = _guided_if_asked if branches else lambda function, rows: function(rows)

    @functools.partial(tf.function, autograph=False)  # one graph for two signatures
    def generate(rows):
        images, log_prob = guided(model.generate_tensors, rows)
        return {"images": images, "log_prob": log_prob}

    def sample(inputs):
        return generate(request(inputs, _noise(inputs["seed"], model.vqvae)))

    def sample_from_noise(inputs):
        return generate(request(inputs, tuple(inputs[name] for name in noise)))

    def complete(inputs):
        rows = request(inputs, _noise(inputs["seed"], model.vqvae))
        known = {key: inputs[key] for key in ("images", "mask")}
        return {"images": guided(model.complete_tensors, {**rows, **known})}

    def log_prob(inputs):
        return {"log_prob": model.log_prob_tensors({"labels": None, **inputs})}

    return {
        "sample": (sample, {**seed, **labels, **options}),
        "sample_from_noise": (sample_from_noise, {**noise, **labels, **options}),
        "complete": (complete, {**images, **mask, **seed, **labels, **options}),
        "log_prob": (log_prob, {**images, **labels}),
        **vqvae_signatures(model.vqvae),
    }


def _guided_if_asked(function, rows):
    """Sample twice as wide only where a row asks for guidance: a graph learns it at run time."""
    import tensorflow as tf

    options = rows["request"]["options"]
    if options["guidance"] is None:
        return function(rows)
    plain = {**rows, "request": {**rows["request"], "options": {**options, "guidance": None}}}
    asked = tf.reduce_any(options["guidance"][0] != 1.0)
    return tf.cond(asked, lambda: function(rows), lambda: function(plain))


def _level_inputs(vqvae, what, dtype, rule):
    """An input a level: `codes_top`, `codes_bottom`, or `codes_0` and so on; and so for noise."""
    names = [name.replace("codes", what) for name in code_names(vqvae.num_levels)]
    levels = zip(names, vqvae.code_shapes, vqvae.num_embeddings, strict=True)
    return {name: Input(shape, dtype, *rule(size)) for name, shape, size in levels}


def _noise(seed, vqvae):
    """The noise of each level, of the first image of each seed's own call."""
    import tensorflow as tf

    word = tf.constant(0xFFFFFFFF, "int64")
    low, high = (
        tf.cast(tf.bitwise.bitwise_and(tf.bitwise.right_shift(seed, shift), word), "uint32")
        for shift in (tf.constant(0, "int64"), tf.constant(32, "int64"))
    )
    return tuple(
        uniform_noise((low, high), tf.zeros_like(low), shape, stream)
        for stream, shape in enumerate(vqvae.code_shapes)
    )


def _between(low, high):
    return lambda x: (x >= low) & (x < high)
