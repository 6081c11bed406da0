"""The export of a model with guidance: its defaults, its images, what it answers to wrong ones."""

import numpy as np
import pytest
from tiny_models import randomize, tell_images_apart

from keras_vqvae2 import VQVAE2, HierarchicalPrior, ImageGenerator
from keras_vqvae2.export import read_signatures

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.long]

SEEDS = np.arange(6, dtype="int64")
LABELS = np.int32([0, 1, 2, 0, 1, -1])


@pytest.fixture(scope="module")
def model():
    """Of three classes, with grids 2x1 and 4x2."""
    vqvae = VQVAE2((16, 8, 3), filters=8, num_residual_blocks=0, embedding_dim=4, num_embeddings=7)
    tell_images_apart(vqvae)
    options = {"filters": 8, "num_blocks": 1, "num_classes": 3, "label_dropout": 0.1}
    prior = randomize(HierarchicalPrior.from_vqvae(vqvae, **options), seed=2)
    return ImageGenerator(vqvae, prior, sampling={"guidance": 3.0, "temperature": 0.9})


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("guided") / "1"
    model.export(path)
    return path


@pytest.fixture(scope="module")
def session(exported):
    from session_model import SessionModel

    return SessionModel(exported)


def ask(session, name="sample", **inputs):
    given = {"labels": LABELS, "temperature": [0.9], "top_k": [0], "top_p": [1.0]}
    dtypes = dict.fromkeys(("temperature", "top_p", "guidance"), "float32")
    dtypes |= dict.fromkeys(("labels", "top_k"), "int32")
    if name == "sample":
        inputs = {"seed": SEEDS, **inputs}
    inputs = {**given, **inputs}
    return session.run(
        name, {key: np.asarray(value, dtypes.get(key)) for key, value in inputs.items()}
    )


def test_defaults_are_the_recommended_options(exported):
    import tensorflow as tf

    defaults = {
        key: tf.make_ndarray(proto).tolist()
        for key, proto in read_signatures(exported)["sample"].defaults.items()
    }
    assert defaults["labels"] == [-1], "no class"
    assert defaults["guidance"] == [3.0]
    assert defaults["temperature"] == pytest.approx([0.9])
    assert (defaults["top_k"], defaults["top_p"]) == ([0], [1.0])


@pytest.mark.parametrize("guidance", [[3.0], [1.0], [1.0, 2.0, 1.0, 4.0, 1.0, 2.0]], ids=str)
def test_images_are_those_of_generate(model, session, guidance):
    outputs = ask(session, guidance=guidance)
    scales = np.broadcast_to(guidance, len(SEEDS))
    for image, seed, label, scale in zip(outputs["images"], SEEDS, LABELS, scales, strict=True):
        expected = model.generate(1, int(label), int(seed), guidance=float(scale), batch_size=1)
        np.testing.assert_array_equal(image, expected[0])
    # Of the codes under the model's own distribution, whatever they were drawn from.
    codes = model.vqvae.encode(outputs["images"])
    again = model.vqvae.decode(codes)
    if np.array_equal(np.rint(again), outputs["images"]):
        np.testing.assert_allclose(
            outputs["log_prob"], model.log_prob(outputs["images"], LABELS), atol=1e-3
        )


def test_a_completion_is_guided_too(model, session):
    images = ask(session, guidance=[3.0])["images"]
    mask = np.zeros((len(images), 16, 8), bool)
    inputs = {"images": images, "mask": mask, "seed": SEEDS}
    whole = ask(session, "complete", guidance=[3.0], **inputs)["images"]
    np.testing.assert_array_equal(whole, images)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"guidance": [-1.0]}, "`guidance` must be at least 0 and finite"),
        ({"guidance": [np.nan]}, "`guidance` must be at least 0 and finite"),
        ({"labels": [-2] * 6}, r"`labels` must be in \[-1, 3\)"),
    ],
)
def test_wrong_requests_are_answered(session, inputs, message):
    import tensorflow as tf

    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        ask(session, **{"guidance": [1.0], **inputs})
