"""A step that is not finite leaves no trace but its count; many of them end the training."""

import keras
import numpy as np
import pytest
from keras import ops
from listed_batches import ListedBatches as Batches

from keras_vqvae2.models import VQVAE2, HierarchicalPrior
from keras_vqvae2.training import CheckedFit, TrainStep
from keras_vqvae2.training.divergence import MOST_IN_A_ROW
from keras_vqvae2.training.resume import Checkpoints

BATCH_SIZE = 4
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(0, 255, (5, BATCH_SIZE, 8, 8, 1)).astype("float32")
CODES = [RNG.integers(0, 8, (5, BATCH_SIZE, side, side)) for side in (1, 2)]


def image_batches(bad=()):
    batches = [(batch.copy(),) for batch in IMAGES]
    for index in bad:
        batches[index][0][1, 2, 3] = np.nan
    return batches


def code_batches(bad=()):
    """Codes are integers; what is not finite is the weight of an example."""
    pairs = zip(*CODES, strict=True)
    batches = [(levels, np.zeros(4), np.ones(4, "float32")) for levels in pairs]
    for index in bad:
        batches[index][2][3] = np.inf
    return batches


def vqvae(**options):
    keras.utils.set_random_seed(0)
    model = VQVAE2((8, 8, 1), filters=4, embedding_dim=4, num_embeddings=8, **options)
    # A metric of Keras, whose state is kept out of a skipped step too.
    model.compile(keras.optimizers.Adam(1e-3), metrics=["mae"])
    return model


def prior():
    keras.utils.set_random_seed(0)
    options = {"filters": 8, "num_blocks": 2, "dropout": 0.2}
    model = HierarchicalPrior.from_code_shapes([(1, 1), (2, 2)], 8, **options)
    model.compile(keras.optimizers.Adam(1e-3))
    return model


def state(model):
    """All that a step may change, random generators among it."""
    variables = model.variables + model.optimizer.variables
    return [ops.convert_to_numpy(variable) for variable in variables]


@pytest.mark.parametrize(("build", "batches"), [(vqvae, image_batches), (prior, code_batches)])
@pytest.mark.long
def test_a_training_is_as_if_the_step_had_not_been(build, batches):
    skipping, without = build(), build()
    options = {"validation_data": Batches(batches()), "epochs": 2, "verbose": 0}
    keras.utils.set_random_seed(1)  # of PyTorch's dropout, which has no generator of the model's
    logs = skipping.fit(Batches(batches(bad=[2, 4])), **options).history
    left_out = [batch for index, batch in enumerate(batches()) if index not in (2, 4)]
    keras.utils.set_random_seed(1)
    expected = without.fit(Batches(left_out), **options).history
    assert logs.pop("skipped") == [2.0, 2.0]
    assert expected.pop("skipped") == [0.0, 0.0]
    assert logs == expected
    for value, other in zip(state(skipping), state(without), strict=True):
        np.testing.assert_array_equal(value, other)


def test_a_first_codebook_waits_for_a_finite_batch():
    model = vqvae()
    model.train_on_batch(image_batches(bad=[0])[0][0])
    assert all(float(quantizer.maturity) == 0 for quantizer in model.quantizers)
    model.train_on_batch(IMAGES[0])
    assert all(float(quantizer.maturity) > 0 for quantizer in model.quantizers)


class Root(TrainStep, CheckedFit, keras.Model):
    """`sqrt(w x)`, whose gradient is infinite where `x` is 0 and the loss is finite."""

    def __init__(self):
        super().__init__()
        self.w = self.add_weight(shape=(), initializer="ones", name="w")
        self.built = True

    def call(self, inputs):
        return ops.sqrt(self.w * inputs)

    def check_data(self, batch, name):
        pass

    def unpack(self, data):
        x, _, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        return x, sample_weight

    def compute_outputs(self, inputs, training):
        return self(inputs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(y_pred)

    def update_metrics(self, x, outputs, sample_weight):
        return outputs


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (np.nan, "The batches hold values that are not finite"),
        (-1.0, r"The data is finite and the loss is not: lower the learning rate, 0\.0625"),
        (0.0, r"The loss is finite, its gradient is not: .* 0\.0625"),
    ],
)
def test_a_training_that_only_skips_ends_and_says_why(value, cause):
    model = Root()
    model.compile(keras.optimizers.SGD(0.0625))
    good, bad = np.ones(4, "float32"), np.full(4, value, "float32")
    with pytest.raises(FloatingPointError, match=cause) as error:
        model.fit(Batches([good] * 7 + [bad] * 40), verbose=0)
    # Looked at after every ten steps: 23 of them.
    assert "the last 23 steps up to step 30 of epoch 1" in str(error.value)
    assert 0 < float(model.w) < 1
    assert int(model.optimizer.iterations) == 7


def test_steps_in_a_row_are_counted_over_epochs():
    model = Root()
    model.compile("sgd")
    bad = [np.zeros(4, "float32")] * 3
    epochs = -(-MOST_IN_A_ROW // 3)
    with pytest.raises(FloatingPointError, match=f"step 3 of epoch {epochs} "):
        model.fit(Batches(bad), epochs=20, verbose=0)


def test_a_scaled_loss_is_scaled_less_after_a_skipped_step():
    model = Root()
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(), initial_scale=8.0)
    model.compile(optimizer)
    good, bad = np.ones(4, "float32"), np.zeros(4, "float32")
    logs = model.fit(Batches([good, bad, bad, good]), verbose=0).history
    assert logs["skipped"] == [2.0]
    assert float(optimizer.dynamic_scale) == 2.0
    assert int(optimizer.iterations) == 2


def test_a_training_taken_up_again_goes_on_counting(tmp_path):
    class Kill(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                raise InterruptedError

    def fit(folder, *others):
        model = Root()
        model.compile("sgd")
        checkpoints = Checkpoints(tmp_path / folder, steps=1)
        batches = Batches([np.full(4, x, "float32") for x in (1, 0, 0, 1, 0, 1)])
        return model.fit(batches, verbose=0, callbacks=[*others, checkpoints])

    with pytest.raises(InterruptedError):
        fit("killed", Kill())
    assert fit("killed").history == fit("undisturbed").history
