"""What the training and evaluation steps of all backends have in common."""

import keras

from keras_vqvae2.distribution.replicas import num_replicas
from keras_vqvae2.losses import global_batch_size


class MeasuredStep:
    """Steps of a model that says how to read a batch and how to run forward.

    The model gives `unpack(data) -> (inputs, sample_weight)`, `compute_outputs(inputs, training)`,
    `compute_loss` and `update_metrics(inputs, outputs, sample_weight) -> prediction`, none of which
    knows the backend. The prediction is what calling the model returns, for the metrics of
    `compile`.
    """

    def _measure(self, loss, inputs, outputs, sample_weight):
        """Update all metrics with a batch."""
        # The loss is a replica's share. Metrics add up over the replicas when they are read.
        replicas = num_replicas()
        batch_size = global_batch_size(keras.tree.flatten(inputs)[0])
        self._loss_tracker.update_state(loss * replicas, sample_weight=batch_size / replicas)
        prediction = self.update_metrics(inputs, outputs, sample_weight)
        self.compute_metrics(inputs, None, prediction, sample_weight)
