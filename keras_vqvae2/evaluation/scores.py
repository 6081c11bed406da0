"""The scores of a generator: its samples between real images and random codes."""

import dataclasses

import numpy as np

from keras_vqvae2 import checks
from keras_vqvae2.evaluation.classifier import accuracy, train_classifier
from keras_vqvae2.evaluation.distances import frechet_distance, nearest, precision_recall
from keras_vqvae2.sampling import SamplingOptions

# Of the two classifiers that are trained.
CLASSIFIER_EPOCHS = 10


def score_samples(
    model,
    reference,
    held_out,
    train,
    extractor,
    *,
    second=None,
    num_sets=1,
    num_classified=None,
    seed=0,
    callback=None,
    **options,
):
    """Score samples, reconstructions, and the two ends of the scale: real images, random codes.

    As many samples as held-out images are drawn, of the same classes, and all four sets compared
    with the reference: distances depend on the sizes of the sets.

    Args:
        model: an `ImageGenerator`.
        reference: `ImageData`, the real images that everything is compared with; not those that the
            model was trained on, since classifiers are tested on them.
        held_out: `ImageData` of other real images, which are also reconstructed.
        train: `ImageData` that the model was trained on.
        extractor: `FeatureExtractor`.
        second: `FeatureExtractor` of another network, which scores the same images; or None.
        num_sets: how many disjoint sets of equal size the held-out images are, and with them the
            samples: each score is the mean over them.
        num_classified: images of the two classifiers that are trained, on samples and on real
            images; None for as many as `held_out`. For a model by class.
        seed: of the samples.
        callback: callable `(done, total)`, of the sampling.
        **options: of `SamplingOptions`; what is left out is that of the model's `sampling`.

    Returns:
        `(scores, samples, neighbours)`: the samples uint8 `[N, H, W, C]`, for each the index of the
        nearest training image, int `[N]`, and a dict that JSON can hold:

        - `"extractor"`: its name and checksum; `"num_samples"`, `"num_reference"`, `"reference"`,
          `"held_out"`, `"num_sets"`, `"seed"`, `"temperature"`, `"top_k"`, `"top_p"` and
          `"guidance"`;
        - `"frechet_distance"`, `"precision"`, `"recall"`, `"density"`, `"coverage"`, each a dict of
          `"real"`, `"reconstructions"`, `"samples"` and `"random_codes"`;
        - `"recognised"`: for the same sets but the last the part that the extractor's own
          classifier takes for their class; absent without one;
        - `"spread"`: of each of these scores and sets of images the least and the greatest value
          over the `num_sets`;
        - `"second"`: `"extractor"`, these scores and their `"spread"` by the second network; absent
          without one;
        - `"classification_accuracy"`: on the reference, of a classifier trained on `"samples"` and
          one trained on `"real"` images; absent without classes (Ravuri and Vinyals 2019,
          "Classification Accuracy Score for Conditional Generative Models");
        - `"nearest_training_distance"`: the mean distance of the features of `"samples"` and of
          held-out `"real"` images to those of the nearest training image. Samples that repeat
          training images lie nearer to them than real images do.

    Raises:
        ValueError: if a set is too small, see `precision_recall`, it cannot be parted so, or its
            classes are named otherwise than the model's.

    Example:

    ```python
    scores, samples, _ = score_samples(model, test, held_out, train, load_extractor("emoji32"))
    scores["frechet_distance"]["samples"] / scores["frechet_distance"]["reconstructions"]
    ```
    """
    num_sets = checks.positive_int("num_sets", num_sets)
    if len(held_out) % num_sets:
        raise ValueError(
            f"`num_sets` must part the {len(held_out)} images of `held_out` into sets of equal "
            f"size. Received: num_sets={num_sets}"
        )
    conditional = model.num_classes is not None
    for data in (reference, held_out, train):
        model.prior.check_classes(data)
    options = {**dataclasses.asdict(SamplingOptions()), **model.sampling, **options}
    labels = held_out.labels if conditional else None
    real = held_out.images[:]
    sets = {
        "real": real,
        "reconstructions": model.reconstruct(real),
        "samples": model.generate(
            len(held_out), labels=labels, seed=seed, callback=callback, **options
        ),
        "random_codes": model.generate_random(len(held_out), seed=seed),
    }
    labelled = ("real", "reconstructions", *(["samples"] if conditional else []))
    classes = {name: held_out.labels for name in labelled if held_out.labels is not None}
    judged, features = _judge(extractor, reference, sets, classes, num_sets)
    scores = {
        "num_samples": len(held_out),
        "num_reference": len(reference),
        "reference": f"{reference.name}/{reference.split}",
        "held_out": f"{held_out.name}/{held_out.split}",
        "num_sets": num_sets,
        "seed": seed,
        **options,
        **judged,
    }
    if second is not None:
        scores["second"], _ = _judge(second, reference, sets, classes, num_sets)
    if conditional:
        scores["classification_accuracy"] = _classification_accuracy(
            model, reference, train, num_classified or len(held_out), seed, options
        )
    known = extractor.features(train.images[:])
    distances, neighbours = nearest(features["samples"], known)
    scores["nearest_training_distance"] = {
        "samples": float(distances.mean()),
        "real": float(nearest(features["real"], known)[0].mean()),
    }
    return scores, sets["samples"], neighbours


def _judge(extractor, reference, sets, classes, num_sets):
    """What one network says of each set of images: `(scores, features)`.

    A score is the mean over the parts of a set, beside its spread.
    """
    target = extractor.features(reference.images[:])
    features = {name: extractor.features(images) for name, images in sets.items()}
    scores = {"extractor": {"name": extractor.name, "checksum": extractor.checksum}, "spread": {}}
    for name, images in sets.items():
        parts = []
        for rows in np.split(np.arange(len(images)), num_sets):
            part = {"frechet_distance": frechet_distance(target, features[name][rows])}
            part |= precision_recall(target, features[name][rows])
            if extractor.classifier is not None and name in classes:
                labels = classes[name][rows]
                part["recognised"] = accuracy(extractor.classifier, images[rows], labels)
            parts.append(part)
        for score in parts[0]:
            values = [part[score] for part in parts]
            scores.setdefault(score, {})[name] = float(np.mean(values))
            scores["spread"].setdefault(score, {})[name] = [min(values), max(values)]
    return scores, features


def _classification_accuracy(model, reference, train, count, seed, options):
    """Accuracy on real images of classifiers trained on samples, and on as many real images."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(train))[:count])
    labels = train.labels[rows]
    # Samples of other seeds than those that are scored.
    samples = model.generate(len(rows), labels=labels, seed=seed + 1, **options)
    result = {"num_images": len(rows)}
    for name, images in (("samples", samples), ("real", train.images[rows])):
        classifier = train_classifier(
            images, labels, model.num_classes, epochs=CLASSIFIER_EPOCHS, seed=seed
        )
        result[name] = accuracy(classifier, reference.images[:], reference.labels)
    return result
