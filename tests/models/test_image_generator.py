import keras
import numpy as np
import pytest
from tiny_models import every_grid, pearson

from keras_vqvae2.models import VQVAE2, HierarchicalPrior, ImageGenerator


def every_codes():
    """The codes of all 32 images, top running slowest."""
    return np.repeat(every_grid((1, 1), 2), 16, axis=0), np.tile(every_grid((2, 2), 2), (2, 1, 1))


def which(generator, images):
    """The index in `every_codes` of each image, which must be one of those 32."""
    atlas = np.round(generator.vqvae.decode(every_codes()))
    assert len(np.unique(atlas.reshape(32, -1), axis=0)) == 32, "an image tells its codes"
    distance = np.abs(images[:, None].astype(int) - atlas[None]).max(axis=(2, 3, 4))
    # A decoder over another batch may round a pixel another way.
    assert distance.min(axis=1).max() <= 1
    return distance.argmin(axis=1)


def test_generated_images_are_decoded_samples_of_the_prior(generator):
    images = generator.generate(12, seed=4)
    assert images.shape == (12, 8, 8, 3)
    assert images.dtype == np.uint8
    expected = generator.vqvae.decode(generator.prior.sample(12, seed=4))
    # The same decoder in another graph; at a half, rounding goes either way.
    assert np.abs(images - expected).max() <= 0.5 + 1e-2


def test_frequencies_of_images_match_the_likelihood(generator):
    images = generator.generate(4096, seed=1, batch_size=4096)
    probabilities = np.exp(sum(generator.prior.log_prob(every_codes())).astype("float64"))
    # A right sampler fails one seed in a thousand; this seed is fixed.
    assert pearson(np.bincount(which(generator, images), minlength=32), probabilities) > 1e-3


def test_an_image_depends_on_seed_and_index_alone(generator):
    whole = generator.generate(64, seed=3)
    np.testing.assert_array_equal(generator.generate(8, seed=3), whole[:8])
    np.testing.assert_array_equal(generator.generate(64, seed=3, batch_size=8), whole)
    assert not np.array_equal(generator.generate(64, seed=4), whole)
    assert not np.array_equal(generator.generate(64), generator.generate(64))


def test_an_image_depends_on_its_own_label(class_generator):
    whole = class_generator.generate(9, labels=np.arange(9) % 3, seed=0)
    for label in range(3):
        same = class_generator.generate(9, labels=label, seed=0)
        np.testing.assert_array_equal(same[label::3], whole[label::3])
    scores = [class_generator.log_prob(whole, labels=label) for label in range(3)]
    assert np.ptp(scores, axis=0).max() > 1e-2


def test_log_prob_is_that_of_the_codes_over_all_levels(generator, images):
    expected = sum(generator.prior.log_prob(generator.vqvae.encode(images)))
    np.testing.assert_allclose(generator.log_prob(images), expected, rtol=1e-5)


def test_reconstruct_decodes_the_codes(generator, images):
    expected = generator.vqvae.decode(generator.vqvae.encode(images))
    assert np.abs(generator.reconstruct(images) - expected).max() <= 0.5 + 1e-2
    np.testing.assert_allclose(generator(images), generator.vqvae(images))
    assert generator.reconstruct(images).dtype == np.uint8


def test_random_images_come_from_uniform_codes(generator):
    images = generator.generate_random(3200, seed=0, batch_size=4096)
    assert pearson(np.bincount(which(generator, images), minlength=32), np.ones(32)) > 1e-3
    np.testing.assert_array_equal(generator.generate_random(8, seed=0), images[:8])
    assert not np.array_equal(generator.generate_random(8, seed=1), images[:8])


def test_completing_nothing_known_is_generating(generator, images):
    mask = np.zeros((8, 8), bool)
    for options in ({}, {"temperature": 0.5, "top_k": 1}):
        np.testing.assert_array_equal(
            generator.complete(images, mask, seed=3, **options),
            generator.generate(len(images), seed=3, **options),
        )


def test_completing_everything_known_is_reconstructing(generator, images):
    mask = np.ones((len(images), 8, 8), bool)
    np.testing.assert_array_equal(
        generator.complete(images, mask, seed=3), generator.reconstruct(images)
    )


def test_masks_and_labels_are_of_each_image(class_generator, images):
    mask = np.zeros((6, 8, 8), bool)
    mask[::2] = True
    labels = np.array([0, 1, 2, 0, 1, 2])
    result = class_generator.complete(images[:6], mask, labels=labels, seed=5)
    np.testing.assert_array_equal(result[::2], class_generator.reconstruct(images[:6])[::2])
    np.testing.assert_array_equal(
        result[1::2], class_generator.generate(6, labels=labels, seed=5)[1::2]
    )


UPPER = np.repeat([[True], [False]], 4, axis=0) & np.ones((8, 8), bool)


def known_upper_codes(generator, image):
    """The codes of the upper half, the mean of which stands in for the lower one."""
    filled = image.astype("float32").copy()
    filled[4:] = filled[:4].mean(axis=(0, 1))
    return generator.vqvae.encode(filled[None])[1][0, 0]


def test_unknown_codes_follow_the_enumerated_conditionals(generator, images):
    size = 4096
    completed = generator.complete(
        np.repeat(images[:1], size, axis=0), UPPER, seed=0, batch_size=size
    )
    index = which(generator, completed)
    top, bottom = every_codes()
    upper = known_upper_codes(generator, images[0])
    agrees = (bottom[:, 0] == upper).all(axis=1)
    assert agrees[index].all(), "known codes stay"
    log_top, log_bottom = (x.astype("float64") for x in generator.prior.log_prob((top, bottom)))
    # The top is not known as a whole: it is drawn first, then the lower codes given all before.
    expected = np.where(agrees, np.exp(log_bottom), 0.0).reshape(2, 16)
    expected = np.exp(log_top).reshape(2, 16) * expected / expected.sum(axis=1, keepdims=True)
    counts = np.bincount(index, minlength=32)
    assert pearson(counts[agrees], expected.ravel()[agrees]) > 1e-3


def test_hidden_pixels_do_not_matter(generator, images):
    rng = np.random.default_rng(0)
    mask = rng.random((len(images), 8, 8)) < 0.7
    mask[:8] = UPPER
    other = np.where(mask[..., None], images, rng.integers(0, 256, images.shape)).astype("uint8")
    assert not np.array_equal(other, images)
    np.testing.assert_array_equal(
        generator.complete(other, mask, seed=1), generator.complete(images, mask, seed=1)
    )


def candidates(generator, size, seed, number, **kwargs):
    return np.stack(
        [generator.generate(size, seed=seed + (c << 32), **kwargs) for c in range(number)]
    )


def test_best_of_n_is_the_candidate_of_highest_likelihood(generator):
    drawn = candidates(generator, 10, 6, 4)
    scores = np.stack(
        [
            sum(generator.prior.log_prob(generator.prior.sample(10, seed=6 + (c << 32))))
            for c in range(4)
        ]
    )
    best = scores.argmax(axis=0)
    assert len(set(best)) > 1
    np.testing.assert_array_equal(
        generator.generate(10, seed=6, candidates=4), drawn[best, np.arange(10)]
    )
    # Of a seed at either end, and of NumPy's own integers.
    np.testing.assert_array_equal(
        generator.generate(10, seed=np.int32(6), candidates=4), drawn[best, np.arange(10)]
    )
    assert generator.generate(2, seed=2**64 - 1, candidates=2).shape == (2, 8, 8, 3)
    assert generator.generate(2, seed=-1, candidates=2).shape == (2, 8, 8, 3)


def test_best_of_n_by_a_score_of_ones_own(class_generator):
    labels = np.array([0, 1, 2, 0, 1])
    seen = []

    def brightness(images, labels):
        seen.append((images.shape, images.dtype, tuple(labels)))
        return images.mean(axis=(1, 2, 3))

    result = class_generator.generate(5, labels=labels, seed=6, candidates=3, score_fn=brightness)
    drawn = candidates(class_generator, 5, 6, 3, labels=labels)
    best = drawn.mean(axis=(2, 3, 4)).argmax(axis=0)
    np.testing.assert_array_equal(result, drawn[best, np.arange(5)])
    assert seen == [((5, 8, 8, 3), np.uint8, (0, 1, 2, 0, 1))] * 3


def test_callbacks_count_images(generator, images):
    progress = []

    def callback(done, total):
        progress.append((done, total))

    generator.generate(20, seed=0, batch_size=8, callback=callback)
    assert progress == [(8, 20), (16, 20), (20, 20)]
    progress.clear()
    generator.generate(10, seed=0, batch_size=8, candidates=2, callback=callback)
    assert progress == [(8, 20), (10, 20), (18, 20), (20, 20)]
    progress.clear()
    generator.complete(images[:5], UPPER, seed=0, batch_size=4, callback=callback)
    generator.generate_random(5, seed=0, batch_size=4, callback=callback)
    assert progress == [(4, 5), (5, 5)] * 2


def test_wrong_arguments_are_named(generator, class_generator, images):
    for call, message in [
        (lambda: generator.generate(0), "`num_samples` must be .*num_samples=0"),
        (lambda: class_generator.generate(-1, labels=0), "`num_samples` must be .*num_samples=-1"),
        (lambda: generator.generate(2, seed="x"), "`seed` must be an integer. Received: seed='x'"),
        (lambda: generator.generate(2, seed=True), "`seed` must be an integer"),
        (lambda: generator.generate(2, labels=0), "`labels` must be None"),
        (lambda: class_generator.generate(2), "`labels` must be given"),
        (lambda: class_generator.generate(2, labels=[0, 3]), r"`labels` must lie in \[0, 3\)"),
        (lambda: generator.generate(2, candidates=0), "`candidates` must be .*candidates=0"),
        (lambda: generator.generate(2, batch_size=0), "`batch_size` must be .*batch_size=0"),
        (
            lambda: generator.generate(2, seed=0, candidates=2, score_fn=lambda x, y: x.mean()),
            r"`score_fn` must return one score an image, \[2\]. Received: shape=\(\)",
        ),
        (lambda: generator.reconstruct(images[0]), r"`images` must have the shape \[B, 8, 8, 3\]"),
        (lambda: generator.log_prob(images[:, :4]), r"Received: shape=\(24, 4, 8, 3\)"),
        (lambda: generator.complete(images, UPPER[:4]), "`mask` must be bool of the shape"),
        (lambda: generator.complete(images, UPPER * 1.0), "dtype=float64"),
        (lambda: class_generator.log_prob(images), "`labels` must be given"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_parts_that_do_not_fit_are_named(generator):
    other = HierarchicalPrior.from_code_shapes(((1, 1), (4, 4)), 2, filters=4, num_blocks=1)
    with pytest.raises(ValueError, match="`prior` must have the code_shapes of `vqvae`"):
        ImageGenerator(generator.vqvae, other)
    other = HierarchicalPrior.from_code_shapes(((1, 1), (2, 2)), 3, filters=4, num_blocks=1)
    with pytest.raises(ValueError, match="`prior` must have the num_embeddings of `vqvae`"):
        ImageGenerator(generator.vqvae, other)


def test_config_describes_both_parts(generator):
    config = generator.get_config()
    copy = ImageGenerator.from_config(config)
    assert isinstance(copy.vqvae, VQVAE2)
    assert copy.vqvae.get_config() == generator.vqvae.get_config()
    assert copy.prior.get_config() == generator.prior.get_config()
    assert copy.image_shape == (8, 8, 3)
    assert copy.num_classes is None
    assert isinstance(copy, keras.Model)


def test_images_of_a_seeds_noise_are_those_of_the_seed(class_generator):
    noise = class_generator.prior.noise(5, seed=3)
    options = {"labels": [0, 1, 2, 0, 1], "temperature": 0.7}
    images, log_prob = class_generator.sample_from_noise(noise, batch_size=4, **options)
    np.testing.assert_array_equal(images, class_generator.generate(5, seed=3, **options))
    codes = class_generator.prior.sample(5, seed=3, **options)
    expected = sum(class_generator.prior.log_prob(codes, options["labels"]))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (np.zeros((1, 1, 1)), "`noise` must be a tuple of 2 arrays, one a level: top, bottom"),
        ((np.zeros((1, 1, 1)), np.zeros((1, 2, 1))), r"'bottom'` must have the shape \[B, 2, 2\]"),
        ((np.zeros((1, 1, 1)), np.ones((1, 2, 2))), r"'bottom' must lie in \[0, 1\)"),
        ((np.full((1, 1, 1), np.nan), np.zeros((1, 2, 2))), r"'top' must lie in \[0, 1\)"),
        ((np.zeros((2, 1, 1)), np.zeros((1, 2, 2))), "same number of examples at each level"),
        ((np.zeros((0, 1, 1)), np.zeros((0, 2, 2))), "`noise` must be of at least one image"),
    ],
)
def test_wrong_noise_is_named(generator, noise, message):
    with pytest.raises(ValueError, match=message):
        generator.sample_from_noise(noise)
