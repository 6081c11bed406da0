"""The training and evaluation steps on TensorFlow."""

import keras
import tensorflow as tf

from keras_vqvae2.distribution.replicas import choose, is_multi_worker, run_on_batch
from keras_vqvae2.sampling import graph_rewrites
from keras_vqvae2.training.divergence import not_finite
from keras_vqvae2.training.step import MeasuredStep


def _in_order(function):
    """A training step whose graph computes again only when the gradient has come so far.

    `tf.recompute_grad` lets it wait for a value that folding of constants finds to be zero; what no
    longer waits is computed at once, and takes the memory that it was to save.
    """

    def change(rewrites):
        rewrites.constant_folding = rewrites.OFF
        rewrites.dependency_optimization = rewrites.OFF

    def run(*args):
        with graph_rewrites(change):
            return function(*args)

    return run


class TrainStep(MeasuredStep):
    """The steps of `MeasuredStep` on TensorFlow."""

    def train_step(self, data):
        """Follow the gradient of one batch, if it is finite; return the metrics so far."""
        inputs, sample_weight = self.unpack(data)
        state = self.non_trainable_variables + self.metrics_variables
        before = [tf.identity(variable) for variable in state]
        with tf.GradientTape() as tape:
            outputs = self._outputs_of(inputs, training=True)
            loss = self.compute_loss(inputs, None, outputs, sample_weight, training=True)
            scaled = self.optimizer.scale_loss(loss)  # of float16
        gradients = tape.gradient(scaled, self.trainable_weights)
        self._measure(loss, inputs, outputs, sample_weight)
        found = not_finite((inputs, sample_weight), loss, gradients)
        self._follow(gradients, tf.reduce_any(found), state, before)
        self.divergence.skipped.update_state(found)
        return self._results()

    def test_step(self, data):
        """Evaluate one batch; return the metrics so far."""
        inputs, sample_weight = self.unpack(data)
        outputs = self._outputs_of(inputs, training=False)
        loss = self.compute_loss(inputs, None, outputs, sample_weight, training=False)
        self._measure(loss, inputs, outputs, sample_weight)
        return self._results()

    def make_train_function(self, force=False):
        """Prepare the function of a training step, as Keras does, after the optimizer's state."""
        # Variables that a compiled step creates make TensorFlow trace it a second time.
        if self.built and not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)
        before = self.train_function
        super().make_train_function(force)
        if self.train_function is not before and any(
            getattr(layer, "rematerialize", False) for layer in self._flatten_layers()
        ):
            self.train_function = _in_order(self.train_function)
        return self.train_function

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Under a strategy Keras builds optimizer and metrics from a batch averaged over replicas,
        # which fails between processes, and from its `x`, which here `unpack` makes of it.
        strategy = self._distribute_strategy
        if strategy is None:
            return
        if iterator is not None:
            _, _, batches = next(iter(iterator))
            data_batch = keras.tree.map_structure(
                lambda value: strategy.experimental_local_results(value)[0], next(batches)
            )
        inputs, sample_weight = self.unpack(data_batch)
        with strategy.scope():
            self._symbolic_build(data_batch=(self.call_inputs(inputs), None, sample_weight))

    def _outputs_of(self, inputs, training):
        return run_on_batch(lambda batch: self.compute_outputs(batch, training=training), inputs)

    def _follow(self, gradients, skip, state, before):
        """Follow the gradients, or let the step leave no trace."""
        optimizer, weights = self.optimizer, self.trainable_weights

        def follow(values):
            optimizer.apply(values[0], weights)

        def undo(values):
            for variable, value in zip(state, values[1], strict=True):
                variable.assign(value)

        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            optimizer.apply(gradients, weights)  # skips by itself, and then scales less
            choose(skip, undo, lambda values: None, (gradients, before))
        else:
            choose(skip, undo, follow, (gradients, before))

    def _results(self):
        logs = self.get_metrics_result()
        # Between processes Keras averages over the first axis, which scalars lack.
        return {k: v[None] for k, v in logs.items()} if is_multi_worker() else logs
