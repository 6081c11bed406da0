"""What the page shows is what the library gives."""

import numpy as np
import pytest

from keras_vqvae2 import drawing, page


@pytest.fixture(scope="module")
def image(class_model):
    return class_model.generate(1, labels=2, seed=9)[0]


def pictures(shown):
    return np.stack([view.picture for view in shown])


def number(caption):
    """The number before " nats"."""
    return float(caption.removesuffix(" nats").split()[-1].replace("−", "-"))


@pytest.mark.parametrize("count", [3, 9])
def test_samples_are_those_of_the_seed_with_their_likelihood(class_model, count):
    options = {"temperature": 0.7, "top_p": 0.9}
    shown = page.sample(class_model, count, 4, 5, **options)
    expected = class_model.generate(count, labels=4, seed=5, **options)
    np.testing.assert_array_equal(pictures(shown), expected)
    codes = class_model.prior.sample(count, labels=4, seed=5, **options)
    likelihood = sum(class_model.prior.log_prob(codes, labels=4))
    told = [number(view.caption) for view in shown]
    np.testing.assert_allclose(told, likelihood, atol=0.051)  # one decimal is told


def test_a_walk_begins_and_ends_with_its_seeds(class_model):
    shown = page.walk(class_model, 3, 8, 5, 1)
    for view, seed in ((shown[0], 3), (shown[-1], 8)):
        np.testing.assert_array_equal(view.picture, class_model.generate(1, labels=1, seed=seed)[0])
    starts = [view.caption.partition(":")[0] for view in shown]
    assert starts == ["seed 3", "step 1", "step 2", "step 3", "seed 8"]


def test_options_that_are_left_out_are_the_models_own(class_model, monkeypatch):
    monkeypatch.setattr(class_model, "sampling", {"temperature": 0.1, "top_p": 0.5})
    expected = class_model.generate(4, labels=0, seed=1)
    np.testing.assert_array_equal(pictures(page.sample(class_model, 4, 0, 1)), expected)


def test_an_image_is_shown_with_its_codes_and_what_they_cost(class_model, image):
    shown = page.reconstruct(class_model, image, 2)
    original, reconstruction, top, bottom, top_bits, bottom_bits = shown
    np.testing.assert_array_equal(original.picture, image)
    np.testing.assert_array_equal(reconstruction.picture, class_model.reconstruct(image[None])[0])
    codes = class_model.vqvae.encode(image[None])
    bits = [nats[0] / np.log(2) for nats in class_model.prior.code_nll(codes, 2)]
    for level, view in enumerate((top, bottom)):
        codebook = class_model.vqvae.quantizers[level].codebook
        np.testing.assert_array_equal(view.picture, drawing.code_grids(codes[level], codebook)[0])
    assert top.caption == "top codes: 2×1 of 7"
    most = max(level.max() for level in bits)
    for view, level in zip((top_bits, bottom_bits), bits, strict=True):
        np.testing.assert_array_equal(view.picture, drawing.heat_map(level, image, most))
    total = -class_model.log_prob(image[None], 2)[0] / np.log(2)
    told = [float(view.caption.split()[2].rstrip(",")) for view in (top_bits, bottom_bits)]
    assert sum(told) == pytest.approx(total, abs=1.01)  # each is rounded


def test_a_part_is_completed_four_ways(class_model, image):
    known = np.arange(16)[:, None] < np.full(8, 8)
    shown = page.complete(class_model, image, known, 2, seed=7, temperature=1.5)
    left, *completed = pictures(shown)
    np.testing.assert_array_equal(left[:8], image[:8])
    assert (left[8:] == drawing.HIDDEN_PIXEL).all()
    expected = class_model.complete(
        np.repeat(image[None], 4, axis=0), known, 2, seed=7, temperature=1.5
    )
    np.testing.assert_array_equal(completed, expected)
    assert len(np.unique(np.reshape(completed, (4, -1)), axis=0)) > 1


def test_something_must_be_erased(class_model, image):
    with pytest.raises(ValueError, match="Erase a part of the picture first"):
        page.complete(class_model, image, np.ones((16, 8), bool), 2)
