import keras
import numpy as np
import pytest
from fake_vqvae import random_images
from hypothesis import given
from hypothesis import strategies as st

from keras_vqvae2.datasets import ImageBatches
from keras_vqvae2.datasets.epoch_batches import EpochBatches


def _numbered(count):
    """Images whose first pixel is their index, so that a batch tells which they are."""
    images = np.zeros((count, 2, 2, 1), "uint8")
    images[:, 0, 0, 0] = np.arange(count)
    return images


def _order(batches):
    return [int(image[0, 0, 0]) for batch in batches for image in batch]


class Recorder(keras.Model):
    """Learns nothing and can be fitted."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        return self.dense(keras.ops.cast(keras.ops.reshape(x, (-1, 4)), "float32"))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(keras.ops.square(y_pred))


class RecordedBatches(ImageBatches):
    """Remembers each epoch's order as it is asked for."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.asked = {}

    def __getitem__(self, index):
        batch = super().__getitem__(index)
        self.asked.setdefault(self.epoch, {})[index] = batch[:, 0, 0, 0].tolist()
        return batch

    def orders(self, epochs):
        return [
            [self.asked[epoch][index] for index in sorted(self.asked[epoch])] for epoch in epochs
        ]


@given(
    count=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 1000),
)
def test_an_epoch_is_a_permutation(count, batch_size, seed, epoch):
    batches = ImageBatches(_numbered(count), batch_size, shuffle=True, seed=seed)
    batches.epoch = epoch
    sizes = [len(batch) for batch in batches]
    assert sorted(_order(batches)) == list(range(count))
    assert sizes[:-1] == [batch_size] * (len(batches) - 1)


def test_the_order_depends_on_seed_and_epoch_alone():
    orders = {}
    for seed in (0, 1):
        for epoch in (0, 1, 2):
            batches = ImageBatches(_numbered(50), 7, shuffle=True, seed=seed)
            batches.epoch = epoch
            orders[seed, epoch] = _order(batches)
            other = ImageBatches(_numbered(50), 16, shuffle=True, seed=seed)
            other.epoch = epoch
            assert _order(other) == orders[seed, epoch]
    assert len(set(map(tuple, orders.values()))) == 6


def test_without_shuffling_the_order_is_that_of_the_data():
    batches = ImageBatches(_numbered(10), 4)
    assert _order(batches) == list(range(10))
    assert [len(b) for b in ImageBatches(_numbered(10), 4, drop_remainder=True)] == [4, 4]


def test_batches_out_of_range_are_refused():
    batches = ImageBatches(_numbered(10), 4)
    with pytest.raises(IndexError, match=r"`batch` must lie in \[0, 3\). Received: batch=3"):
        batches[3]


def test_resetting_does_not_count_as_an_epoch():
    batches = ImageBatches(_numbered(10), 4, shuffle=True)
    batches.on_epoch_end()
    assert batches.epoch == 0
    for epoch in range(3):
        assert batches.epoch == epoch
        batches.on_epoch_begin()
        batches.on_epoch_end()


# A built model and an unbuilt one: on JAX, Keras begins an extra pass to build it.
@pytest.mark.parametrize("build", [True, False])
@pytest.mark.parametrize("workers", [1, 2])
def test_fit_sees_the_epochs_in_their_order(build, workers):
    expected = RecordedBatches(_numbered(20), 6, shuffle=True, seed=3)
    for epoch in range(3):
        expected.epoch = epoch
        list(expected)
    batches = RecordedBatches(_numbered(20), 6, shuffle=True, seed=3, workers=workers)
    model = Recorder()
    model.compile("sgd")
    if build:
        model(batches[0])
    callbacks = [batches.epoch_callback()]
    model.fit(batches, epochs=3, shuffle=False, callbacks=callbacks, verbose=0)
    assert batches.orders(range(3)) == expected.orders(range(3))


def test_without_the_callback_each_epoch_has_another_order():
    batches = RecordedBatches(_numbered(20), 6, shuffle=True, seed=3)
    model = Recorder()
    model.compile("sgd")
    model(batches[0])
    model.fit(batches, epochs=3, shuffle=False, verbose=0)
    assert batches.epoch == 3
    orders = batches.orders(range(3))
    assert len(set(map(str, orders))) == 3


def test_a_run_taken_up_again_goes_on_with_the_batches_it_would_have_had(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def run(backup, stop=()):
        keras.utils.set_random_seed(1)
        batches = RecordedBatches(_numbered(20), 6, shuffle=True, seed=3, flip=True)
        model = Recorder()
        model.compile("adam")
        model(batches[0])
        callbacks = [
            keras.callbacks.BackupAndRestore(backup, double_checkpoint=False),
            batches.epoch_callback(),
            *stop,
        ]
        model.fit(batches, epochs=4, shuffle=False, callbacks=callbacks, verbose=0)
        return batches, model.get_weights()

    whole, weights = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", stop=[Stop()])
    resumed, resumed_weights = run(tmp_path / "cut")
    assert resumed.orders([2, 3]) == whole.orders([2, 3])
    for one, other in zip(resumed_weights, weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be an integer of at least 1. Received"),
        ({"batch_size": 2.0}, "`batch_size` must be an integer of at least 1. Received"),
        ({"batch_size": 11, "drop_remainder": True}, "`batch_size` must be at most the 10"),
        ({"seed": -1}, "`seed` must be an integer of at least 0. Received: seed=-1"),
        ({"shift": -1}, "`shift` must be an integer of at least 0. Received: shift=-1"),
        ({"with_labels": True}, "`with_labels` must be False: array has no labels"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ImageBatches(random_images(10), **{"batch_size": 4, **options})


def test_the_parts_of_a_batch_are_the_batch():
    options = {"shuffle": True, "seed": 3, "drop_remainder": False}
    whole = EpochBatches(23, 8, **options)
    parts = [EpochBatches(23, 8, multiple_of=4, part=(i, 2), **options) for i in range(2)]
    assert len(whole) == len(parts[0]) == 3
    for batch in range(3):
        rows = np.concatenate([part.batch_indices(batch) for part in parts])
        np.testing.assert_array_equal(rows, whole.batch_indices(batch)[: len(rows)])
        # 7 are left at last, and 4 devices share 4 of them.
        assert len(rows) == (8, 8, 4)[batch]
    assert len(EpochBatches(19, 8, multiple_of=4, **options)) == 2
    with pytest.raises(ValueError, match="`batch_size` must be a multiple of the 3 devices"):
        EpochBatches(23, 8, multiple_of=3, **options)
