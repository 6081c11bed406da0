"""The training and evaluation steps on JAX: the same, as pure functions of the state."""

import jax
import keras

from keras_vqvae2.training.building import SymbolicBuild
from keras_vqvae2.training.divergence import not_finite
from keras_vqvae2.training.step import MeasuredStep


class TrainStep(MeasuredStep, SymbolicBuild):
    """The steps of `MeasuredStep` on JAX."""

    def __setattr__(self, name, value):
        """Set what Keras's `fit` sets at each step without a search for layers in it."""
        if name == "_jax_state":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def train_step(self, state, data):
        """Follow the gradient of one batch, if finite; return the metrics so far and the state."""
        trainable, non_trainable, optimizer_state, metrics = state
        inputs, sample_weight = self.unpack(data)

        def objective(trainable):
            loss, outputs, updated = self._run(
                trainable, non_trainable, inputs, sample_weight, training=True
            )
            with self._scope(self.optimizer.variables, optimizer_state):
                scaled = self.optimizer.scale_loss(loss)  # of float16
            return scaled, (loss, outputs, updated)

        gradients, (loss, outputs, updated) = jax.grad(objective, has_aux=True)(trainable)
        moved, moved_optimizer = self.optimizer.stateless_apply(
            optimizer_state, gradients, trainable
        )
        measured = self._update_metrics(metrics, loss, inputs, outputs, sample_weight)
        found = not_finite((inputs, sample_weight), loss, gradients)
        new = [moved, updated, moved_optimizer, measured]
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            state = (trainable, non_trainable, moved_optimizer, metrics)  # it scales less
        trainable, non_trainable, optimizer_state, metrics = jax.tree.map(
            lambda before, after: jax.numpy.where(found.any(), before, after), list(state), new
        )
        with self._scope(self.metrics_variables, metrics) as scope:
            self.divergence.skipped.update_state(found)
            logs = self.get_metrics_result()
        metrics = _values(scope, self.metrics_variables)
        return logs, (trainable, non_trainable, optimizer_state, metrics)

    def test_step(self, state, data):
        """Evaluate one batch; return the metrics so far and the new state."""
        trainable, non_trainable, metrics = state
        inputs, sample_weight = self.unpack(data)
        loss, outputs, non_trainable = self._run(
            trainable, non_trainable, inputs, sample_weight, training=False
        )
        metrics = self._update_metrics(metrics, loss, inputs, outputs, sample_weight)
        with self._scope(self.metrics_variables, metrics):
            logs = self.get_metrics_result()
        return logs, (trainable, non_trainable, metrics)

    def _run(self, trainable, non_trainable, inputs, sample_weight, training):
        variables = self.trainable_variables + self.non_trainable_variables
        with self._scope(variables, [*trainable, *non_trainable]) as scope:
            outputs = self.compute_outputs(inputs, training=training)
            loss = self.compute_loss(inputs, None, outputs, sample_weight, training=training)
        return loss, outputs, _values(scope, self.non_trainable_variables)

    def _update_metrics(self, metrics, loss, inputs, outputs, sample_weight):
        with self._scope(self.metrics_variables, metrics) as scope:
            self._measure(loss, inputs, outputs, sample_weight)
        return _values(scope, self.metrics_variables)

    @staticmethod
    def _scope(variables, values):
        return keras.StatelessScope(state_mapping=zip(variables, values, strict=True))


def _values(scope, variables):
    return [scope.get_current_value(variable) for variable in variables]
