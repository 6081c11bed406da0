"""What the best of several candidates is chosen by: `score_fn` of `ImageGenerator.generate`."""

import keras
import numpy as np

from keras_vqvae2 import checks
from keras_vqvae2.models import ImageGenerator


def class_recognition(classifier):
    """Return a score: how sure a classifier is that an image is of its class.

    Args:
        classifier: `keras.Model` of images `[B, H, W, C]`, pixels in [0, 255], to logits, as that
            of a `FeatureExtractor`. A judge of the samples must be another.

    Returns:
        Callable `(images [B, H, W, C], labels [B]) -> [B]`, the logarithm of the probability of the
        class, for `generate(candidates=4, score_fn=...)`.

    Raises:
        ValueError: if the classifier is no model.

    Reference:
        Razavi et al. 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2", section 3.3,
        rejects samples by a classifier.

    Example:

    ```python
    score_fn = class_recognition(load_extractor("emoji32").classifier)
    model.generate(64, labels="face", seed=0, candidates=4, score_fn=score_fn)
    ```
    """
    checks.instance("classifier", classifier, keras.Model)

    def score(images, labels):
        logits = classifier.predict(np.asarray(images), batch_size=256, verbose=0)
        log_probs = keras.ops.convert_to_numpy(keras.ops.log_softmax(logits))
        return log_probs[np.arange(len(log_probs)), _known(labels)]

    return score


def class_likelihood(model):
    """Return a score: how much likelier the class makes the codes of an image.

    `log p(codes | class) - log p(codes)`: by Bayes' rule the probability of the class given the
    codes, but for a term that all candidates share. It needs no other network.

    Args:
        model: an `ImageGenerator` whose prior was trained with `label_dropout`.

    Returns:
        Callable `(images [B, H, W, C], labels [B]) -> [B]`, nats, for
        `generate(candidates=4, score_fn=...)`.

    Raises:
        ValueError: if the prior does not score codes without a class.

    Example:

    ```python
    score_fn = class_likelihood(model)
    model.generate(64, labels="face", seed=0, candidates=2, score_fn=score_fn)
    ```
    """
    if not checks.instance("model", model, ImageGenerator).prior.labels_optional:
        raise ValueError(
            "`model` must have a prior by class, trained with `label_dropout`: its codes are "
            f"scored without a class too. Received: num_classes={model.num_classes}"
        )

    def score(images, labels):
        labels = checks.labels(_known(labels), model.num_classes, len(images))
        return model.log_prob(images, labels) - model.log_prob(images, None)

    return score


def _known(labels):
    """The labels, all of which must be given."""
    if labels is None or np.min(labels) < 0:
        raise ValueError(f"`labels` must be given to be scored by. Received: labels={labels!r}")
    return np.asarray(labels)
