"""How `fit` builds what a step needs, where Keras would build it from a batch as it comes."""


class SymbolicBuild:
    """Builds the metrics of `compile` from what calling the model takes.

    Keras builds them by calling the model on a batch's `x`, which here is what `unpack` makes of
    the batch.
    """

    def _symbolic_build(self, iterator=None, data_batch=None):
        metrics = self._compile_metrics
        if metrics is not None and not metrics.built and data_batch is None:
            _, _, batches = next(iter(iterator))
            batch = batches[0] if isinstance(batches, (list, tuple)) else next(batches)
            inputs, sample_weight = self.unpack(batch)
            data_batch = (self.call_inputs(inputs), None, sample_weight)
        super()._symbolic_build(iterator, data_batch)
