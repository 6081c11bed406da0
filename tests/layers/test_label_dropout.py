import keras
import numpy as np
import pytest

from keras_vqvae2.layers import LabelDropout


def numpy(layer, labels, **kwargs):
    return keras.ops.convert_to_numpy(layer(np.asarray(labels, "int32"), **kwargs))


def test_only_labels_given_as_none_are_replaced_without_training():
    layer = LabelDropout(5, rate=0.9)
    np.testing.assert_array_equal(numpy(layer, [0, 4, -1, 2]), [0, 4, 5, 2])
    np.testing.assert_array_equal(numpy(layer, [0, 4, -1, 2], training=False), [0, 4, 5, 2])


def test_a_share_is_left_out_while_training_another_each_time():
    layer, labels = LabelDropout(5, rate=0.2, seed=0), np.arange(10_000) % 5
    first, second = (numpy(layer, labels, training=True) for _ in range(2))
    for dropped in (first, second):
        assert set(np.unique(dropped)) == set(range(6))
        # Four standard deviations of a binomial.
        assert np.mean(dropped == 5) == pytest.approx(0.2, abs=4 * (0.2 * 0.8 / 10_000) ** 0.5)
        np.testing.assert_array_equal(dropped[dropped < 5], labels[dropped < 5])
    assert (first != second).any()
    again = numpy(LabelDropout.from_config(layer.get_config()), labels, training=True)
    np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"rate": 1.0}, r"`rate` must lie in \[0, 1\). Received: rate=1.0"),
        ({"rate": -0.1}, "Received: rate=-0.1"),
        ({"num_classes": 0}, "`num_classes` must be .* Received: num_classes=0"),
    ],
)
def test_wrong_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        LabelDropout(**{"num_classes": 3, "rate": 0.1, **kwargs})
