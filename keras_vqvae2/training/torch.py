"""The training and evaluation steps on PyTorch."""

import keras
import torch

from keras_vqvae2.distribution.replicas import all_reduce_sum, num_replicas
from keras_vqvae2.training.building import SymbolicBuild
from keras_vqvae2.training.divergence import not_finite
from keras_vqvae2.training.step import MeasuredStep


class TrainStep(MeasuredStep, SymbolicBuild):
    """The steps of `MeasuredStep` on PyTorch."""

    def make_train_function(self, force=False):
        """Return Keras's function of a step, unless it is to be compiled, where Keras fails."""
        if self.jit_compile:
            raise ValueError(
                "`jit_compile` must be False or 'auto' on PyTorch, whose compiler does not take "
                "Keras's operations. Received: jit_compile=True"
            )
        return super().make_train_function(force)

    def train_step(self, data):
        """Follow the gradient of one batch, if it is finite; return the metrics so far."""
        inputs, sample_weight = self._unpack(data)
        state = self.non_trainable_variables + self.metrics_variables
        before = [variable.value.clone() for variable in state], generator_states()
        with torch.enable_grad():
            outputs = self.compute_outputs(inputs, training=True)
            loss = self.compute_loss(inputs, None, outputs, sample_weight, training=True)
            scaled = self.optimizer.scale_loss(loss)  # of float16
        weights = [variable.value for variable in self.trainable_weights]
        # Not `backward`: what a loop of the user's has left in `grad` is neither added nor lost.
        gradients = torch.autograd.grad(scaled, weights, allow_unused=True)
        gradients = list(all_reduce_sum(gradients))
        with torch.no_grad():
            self._measure(loss, inputs, outputs, sample_weight)
            found = not_finite((inputs, sample_weight), loss, gradients)
            self._follow(gradients, bool(found.any()), state, before)
            self.divergence.skipped.update_state(found)
            return self.get_metrics_result()

    def test_step(self, data):
        """Evaluate one batch; return the metrics so far."""
        inputs, sample_weight = self._unpack(data)
        outputs = self.compute_outputs(inputs, training=False)
        loss = self.compute_loss(inputs, None, outputs, sample_weight, training=False)
        self._measure(loss, inputs, outputs, sample_weight)
        return self.get_metrics_result()

    def get_metrics_result(self):
        """Return the logs of all replicas together: what metrics have seen adds up over them."""
        replicas = num_replicas()
        if replicas == 1:
            return super().get_metrics_result()
        variables = self.metrics_variables
        sums = all_reduce_sum([variable.value for variable in variables])
        values = [
            total / replicas if variable.aggregation == "mean" else total
            for variable, total in zip(variables, sums, strict=True)
        ]
        with keras.StatelessScope(state_mapping=zip(variables, values, strict=True)):
            return super().get_metrics_result()

    def _unpack(self, data):
        # Keras leaves a batch where its loader has put it, which is not where the weights are.
        return self.unpack(keras.tree.map_structure(_on_device, data))

    def _follow(self, gradients, skip, state, before):
        """Follow the gradients, or let the step leave no trace."""
        if skip:
            values, generators = before
            for variable, value in zip(state, values, strict=True):
                variable.assign(value)
            set_generator_states(generators)
        # The optimizer of float16 skips by itself, and then scales less.
        if not skip or isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            self.optimizer.apply(gradients, self.trainable_weights)


def _on_device(leaf):
    return None if leaf is None else keras.ops.convert_to_tensor(leaf)


def generator_states():
    """Return the states of PyTorch's own generators, the CPU's and each GPU's, as arrays.

    A `keras.layers.Dropout` without a seed draws from them; on other backends from variables.
    """
    return [state.numpy() for state in (torch.get_rng_state(), *torch.cuda.get_rng_state_all())]


def set_generator_states(states):
    """Set PyTorch's generators as `generator_states` gave them.

    Args:
        states: of `generator_states`.
    """
    cpu, *gpus = (torch.from_numpy(state) for state in states)
    torch.set_rng_state(cpu)
    torch.cuda.set_rng_state_all(gpus)
