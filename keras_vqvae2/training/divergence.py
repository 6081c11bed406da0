"""Steps whose loss or gradient is not finite: skipped, counted, and after many in a row the end."""

import keras
from keras import ops

from keras_vqvae2.distribution.replicas import all_reduce_sum

# So many skipped steps in a row end the training. A float16 model may skip sixteen while its
# optimizer looks for the scale of the loss.
MOST_IN_A_ROW = 20
# Steps from one look at the count to the next: each waits for the device.
LOOK_EVERY = 10

CAUSES = (
    "The batches hold values that are not finite: look for NaN and infinity in the data",
    "The data is finite and the loss is not: lower the learning rate, {rate}, or train in float32",
    "The loss is finite, its gradient is not: lower the learning rate, {rate}, or clip gradients",
)


def not_finite(inputs, loss, gradients):
    """Say what of a step is not finite, on any replica.

    Args:
        inputs: nest of tensors.
        loss: scalar.
        gradients: list of tensors, or None for some.

    Returns:
        Bool tensor `[3]`, the same on all replicas: of the inputs, the loss, the gradients.
    """
    found = ops.stack([_any_not_finite(values) for values in (inputs, loss, gradients)])
    return all_reduce_sum(ops.cast(found, "int32")) > 0


def _any_not_finite(values):
    # A sum that overflows counts as well. Of each tensor only the sum is looked at: two operations,
    # where a graph of a training step may have hundreds of tensors.
    sums = [
        ops.sum(ops.cast(value, "float32"))
        for value in map(_dense, keras.tree.flatten(values))
        if value is not None and "float" in keras.backend.standardize_dtype(value.dtype)
    ]
    return (
        ops.logical_not(ops.isfinite(ops.sum(ops.stack(sums))))
        if sums
        else ops.convert_to_tensor(False)
    )


def _dense(value):
    """Of a sparse gradient, as an embedding has it on TensorFlow, the rows that it has."""
    values = getattr(value, "values", value)
    return value if callable(values) else values  # of PyTorch's tensors a method


class SkippedSteps(keras.metrics.Metric):
    """The steps that were skipped: how many in this epoch, how many just now in a row, and why.

    An evaluation between two steps does not reset it; `new_epoch` does.

    Args:
        name: of the metric.
    """

    def __init__(self, name="skipped"):
        super().__init__(name=name, dtype="float32")
        # Of replicas, which all count the same, the mean.
        variables = {"shape": (), "initializer": "zeros", "aggregation": "mean"}
        self.count = self.add_variable(name="count", **variables)
        self.in_a_row = self.add_variable(name="in_a_row", **variables)
        self.cause = self.add_variable(name="cause", **variables)

    def update_state(self, found):
        """Count a step.

        Args:
            found: of `not_finite`.
        """
        skipped = ops.cast(ops.any(found), self.dtype)
        self.count.assign(self.count + skipped)
        self.in_a_row.assign((self.in_a_row + skipped) * skipped)
        self.cause.assign(ops.cast(ops.argmax(ops.cast(found, "int32")), self.dtype))

    def result(self):
        """Return the number of steps that were skipped in this epoch."""
        return self.count + 0.0

    def reset_state(self):
        """Keep the counts: Keras resets metrics before an evaluation, too."""

    def new_epoch(self):
        """Begin an epoch's count."""
        self.count.assign(0.0)


class Divergence(keras.callbacks.Callback):
    """Writes the skipped steps into an epoch's logs, and ends a training that only skips.

    A model holds it from `compile` on, and `fit` calls it.

    Attributes:
        skipped: the `SkippedSteps`. Not an attribute of the model, which would be saved with it.

    Raises:
        FloatingPointError: in `fit`, after `MOST_IN_A_ROW` skipped steps in a row.
    """

    def __init__(self):
        super().__init__()
        self.skipped = SkippedSteps()
        self._epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self.skipped.new_epoch()

    def on_train_batch_end(self, batch, logs=None):
        if (batch + 1) % LOOK_EVERY == 0:
            self._look(batch)

    def on_epoch_end(self, epoch, logs=None):
        self._look((self.params["steps"] or 0) - 1)
        if logs is not None:
            logs[self.skipped.name] = float(_number(self.skipped.count))

    def _look(self, batch):
        # On JAX this asks for the state of the steps, which is not in the variables meanwhile.
        model = self.model
        in_a_row = _number(self.skipped.in_a_row)
        if in_a_row < MOST_IN_A_ROW:
            return
        cause = CAUSES[_number(self.skipped.cause)]
        rate = f"{float(model.optimizer.learning_rate):.3g}"
        raise FloatingPointError(
            f"Training has diverged: the last {in_a_row} steps up to step {batch + 1} of epoch "
            f"{self._epoch + 1} were skipped, since they were not finite. {cause.format(rate=rate)}"
            ". The weights and the last checkpoint are those of before."
        )


def _number(variable):
    return int(ops.convert_to_numpy(ops.convert_to_tensor(variable)))
