"""The training and evaluation steps on TensorFlow."""

import tensorflow as tf


class TrainStep:
    """Steps of a model that says how to read a batch and how to run forward.

    The model gives `unpack(data) -> (inputs, sample_weight)`, `forward(inputs, training) ->
    outputs`, `compute_loss` and `update_metrics(inputs, outputs, sample_weight) -> prediction`,
    none of which knows the backend. The prediction is what calling the model returns, for the
    metrics of `compile`.
    """

    def train_step(self, data):
        """Follow the gradient of one batch; return the metrics so far."""
        inputs, sample_weight = self.unpack(data)
        with tf.GradientTape() as tape:
            outputs = self.forward(inputs, training=True)
            loss = self.compute_loss(inputs, None, outputs, sample_weight, training=True)
            scaled = self.optimizer.scale_loss(loss)  # of float16
        weights = self.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(scaled, weights), weights, strict=True))
        return self._logs(loss, inputs, outputs, sample_weight)

    def test_step(self, data):
        """Evaluate one batch; return the metrics so far."""
        inputs, sample_weight = self.unpack(data)
        outputs = self.forward(inputs, training=False)
        loss = self.compute_loss(inputs, None, outputs, sample_weight, training=False)
        return self._logs(loss, inputs, outputs, sample_weight)

    def _logs(self, loss, inputs, outputs, sample_weight):
        batch_size = tf.shape(tf.nest.flatten(inputs)[0])[0]
        self._loss_tracker.update_state(loss, sample_weight=batch_size)
        prediction = self.update_metrics(inputs, outputs, sample_weight)
        return self.compute_metrics(inputs, None, prediction, sample_weight)
