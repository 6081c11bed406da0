"""The model card of a saved preset: what hubs show, and the fields that they read."""

import json
from importlib import metadata

PARTS = ("name", "description", "dataset", "license", "scores")

PAGE = """\
---
{fields}
---

# {name}

{description}

| | |
|---|---|
{table}

```python
import keras_vqvae2 as kv

model = kv.{kind}.from_preset("{name}")
{use}
```

Instead of `{name}`, the path of this folder will do, or its handle on a hub.
{scores}"""

USES = {
    "ImageGenerator": "images = model.generate(16, seed=0)  # uint8 [16, H, W, C]",
    "HierarchicalPrior": "codes = model.sample(16, seed=0)  # a grid of codes a level",
    "PixelCNN": "model.summary()",
    "VQVAE2": "codes = model.encode(images)  # a grid of codes a level",
}


def preset_card(model, card):
    """Return the page.

    Args:
        model: the model that it describes.
        card: dictionary with the `name`, and any other of `PARTS`.

    Returns:
        Markdown that begins with fields in YAML.

    Raises:
        ValueError: if the card has another part, or a score is no number.

    Example:

    >>> from keras_vqvae2.models import VQVAE2
    >>> vqvae = VQVAE2((8, 8, 1), filters=4, embedding_dim=4, num_embeddings=8)
    >>> print(preset_card(vqvae, {"name": "tiny", "license": "mit"}).splitlines()[2])
    license: "mit"
    """
    if unknown := set(card) - set(PARTS):
        raise ValueError(f"`card` must consist of {', '.join(PARTS)}. Received: {sorted(unknown)}")
    scores = dict(card.get("scores") or {})
    for score, value in scores.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"`scores` must be numbers. Received: {score}={value!r}")
    kind = type(model).__name__
    rows = [f"| {name} | {value} |" for name, value in _table(model, card).items()]
    return PAGE.format(
        fields="\n".join(_fields(card, scores)),
        name=card["name"],
        description=card.get("description") or f"A {kind} of keras-vqvae2.",
        table="\n".join(rows),
        kind=kind,
        use=USES.get(kind, ""),
        scores="\n## Scores\n\n| | |\n|---|---|\n"
        + "".join(f"| {score} | {value:.4g} |\n" for score, value in scores.items())
        if scores
        else "",
    )


def _fields(card, scores):
    """Lines of YAML, each value of which is JSON and therefore YAML."""
    tags = ["keras", "vq-vae-2", "pixelcnn", "image-generation"]
    fields = {"library_name": "keras-vqvae2", "tags": tags}
    if card.get("license"):
        fields["license"] = card["license"]
    if card.get("dataset"):
        fields["datasets"] = [card["dataset"]]
    if scores:
        data = {"name": card.get("dataset") or "unknown", "type": card.get("dataset") or "unknown"}
        result = {
            "task": {"type": "unconditional-image-generation"},
            "dataset": data,
            "metrics": [{"type": score, "value": value} for score, value in scores.items()],
        }
        fields["model-index"] = [{"name": card["name"], "results": [result]}]
    order = ("library_name", "license", "datasets", "tags", "model-index")
    return [f"{name}: {json.dumps(fields[name])}" for name in order if name in fields]


def _table(model, card):
    rows = {"class": f"`{type(model).__name__}`"}
    if shape := getattr(model, "image_shape", None):
        rows["images"] = "×".join(map(str, shape))
    for name in ("code_shapes", "num_embeddings", "num_classes"):
        if getattr(model, name, None) is not None:
            rows[name.replace("_", " ")] = str(getattr(model, name))
    if names := getattr(model, "label_names", None):
        rows["classes"] = ", ".join(names)
    if sampling := getattr(model, "sampling", None):
        options = {name: value for name, value in sampling.items() if value is not None}
        rows["sampled by"] = ", ".join(f"{name} {value}" for name, value in options.items())
    rows["parameters"] = f"{model.count_params():,}"
    rows["data"] = card.get("dataset") or "not told"
    rows["licence"] = card.get("license") or "not told"
    rows["made by"] = f"keras-vqvae2 {metadata.version('keras-vqvae2')}"
    return rows
