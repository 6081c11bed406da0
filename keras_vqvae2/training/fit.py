"""What is checked before Keras's `fit` and `evaluate` begin."""

import itertools
import types

import keras

from keras_vqvae2.distribution.replicas import check_compiled
from keras_vqvae2.training.divergence import Divergence


class CheckedFit:
    """`compile`, `fit` and `evaluate` that refuse what the model would not do.

    The model gives `check_data(batch, name)`, which raises a ValueError for arrays, or for the
    first batch of a dataset, that do not fit it; and in `own_loss` a sentence on what it learns by,
    where that is its own.
    """

    own_loss: str | None = None
    takes_lists = False  # whether a list may be its data, and not a pair of data and labels
    divergence: Divergence | None = None  # from `compile` on

    def compile(self, optimizer="adam", loss=None, loss_weights=None, *args, **kwargs):
        """Configure the training as `keras.Model.compile` does.

        Args:
            optimizer: of `keras.Model.compile`.
            loss: must be left out of a model with a loss of its own.
            loss_weights: as `loss`.
            *args: of `keras.Model.compile`.
            **kwargs: of `keras.Model.compile`.

        Raises:
            ValueError: if a loss is given.
        """
        for name, value in (("loss", loss), ("loss_weights", loss_weights)):
            if value is not None and self.own_loss is not None:
                raise ValueError(
                    f"`{name}` must be left out of a {type(self).__name__}'s `compile`: "
                    f"{self.own_loss}. Received: {name}={value!r}"
                )
        super().compile(optimizer, loss, loss_weights, *args, **kwargs)
        self.divergence = Divergence()

    @property
    def metrics(self):
        """All metrics, that of skipped steps among them."""
        own = [] if self.divergence is None else [self.divergence.skipped]
        return [*super().metrics, *own]

    def get_metrics_result(self):
        """Return the metrics' values but for the skipped steps, which `fit` adds for an epoch."""
        results = super().get_metrics_result()
        return {name: value for name, value in results.items() if name != "skipped"}

    def compile_from_config(self, config):
        """Compile a loaded model as it was: Keras leaves that to a class with its own `compile`."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def quantize(self, mode, *args, **kwargs):
        """Refuse Keras's quantization of weights: cached sampling reads kernels as they are."""
        raise ValueError(
            f"`quantize` cannot be used on a {type(self).__name__}: sampling and what is "
            f"compiled already read its kernels. Received: mode={mode!r}"
        )

    def fit(self, x=None, y=None, *args, **kwargs):
        """Train as `keras.Model.fit` does, after a check of the data.

        A `keras.utils.PyDataset` keeps its own order: Keras would shuffle its batches by a
        generator that no argument seeds.

        Args:
            x: arrays, or a dataset.
            y: labels, if `x` is arrays and the model takes them.
            *args: of `keras.Model.fit`.
            **kwargs: of `keras.Model.fit`.

        Returns:
            `keras.callbacks.History`.

        Raises:
            ValueError: if the data is empty or does not fit the model, or the options of `compile`
                do not fit the replicas.
        """
        x = self._checked("x", x, y)
        y = _targets(y, kwargs.get("sample_weight"))
        validation = kwargs.get("validation_data")
        if validation is not None:
            packed = isinstance(validation, tuple) or self._is_pair(validation)
            data, *others = validation if packed else (validation,)
            data = self._checked("validation_data", data, *others[:1])
            if len(others) == 2:
                others[0] = _targets(*others)
            kwargs["validation_data"] = (data, *others) if packed else data
        if isinstance(x, keras.utils.PyDataset):
            kwargs["shuffle"] = False
        given = keras.tree.flatten(kwargs.get("callbacks") or [])  # or a single one
        if hasattr(x, "epoch_callback"):
            # Of our own datasets: they order an epoch by its number, which a resumed run begins at.
            given = [x.epoch_callback(), *given]
        kwargs["callbacks"] = [self.divergence, *given]
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """Evaluate as `keras.Model.evaluate` does, after a check of the data.

        Args:
            x: arrays, or a dataset.
            y: labels, if `x` is arrays and the model takes them.
            *args: of `keras.Model.evaluate`.
            **kwargs: of `keras.Model.evaluate`.

        Returns:
            As `keras.Model.evaluate`.

        Raises:
            ValueError: if the data is empty or does not fit the model.
        """
        # `fit` evaluates what it has checked; a generator would lose a batch by a second look.
        if not kwargs.get("_use_cached_eval_dataset"):
            x = self._checked("x", x, y)
        y = _targets(y, kwargs.get("sample_weight"))
        return super().evaluate(x, y, *args, **kwargs)

    def call_inputs(self, inputs):
        """Return what calling the model takes, of the inputs that `unpack` gives."""
        return inputs

    def check_first_batch(self, name, data):
        """Raise a ValueError if arrays, or the first batch of a dataset, do not fit the model.

        Args:
            name: of the argument, for messages.
            data: what `fit` takes; of an iterator a batch is lost.
        """
        self._checked(name, data)

    def _is_pair(self, data):
        """Whether a list is a pair of data and labels, as Keras itself takes tuples alone."""
        if not isinstance(data, list) or len(data) not in (2, 3):
            return False
        return not self.takes_lists or isinstance(data[0], (tuple, list))

    def _checked(self, name, x, y=None):
        """The data, from its beginning, after a check of all arrays or of the first batch."""
        check_compiled(self)
        if x is None:
            raise ValueError(f"`{name}` must be arrays or a dataset. Received: {name}=None")
        if isinstance(x, keras.utils.PyDataset):
            batch = x[0] if x.num_batches is None or x.num_batches > 0 else None
        elif hasattr(x, "element_spec") and hasattr(x, "take"):  # tf.data, never imported here
            batch = next(iter(x.take(1)), None)
        elif isinstance(x, types.GeneratorType):
            batch = next(x, None)
            # A generator again, the one kind of iterator that Keras takes.
            x = (each for each in itertools.chain([batch], x))
        elif hasattr(x, "__next__"):
            return x  # Keras says that it takes no other iterator.
        elif hasattr(x, "__iter__") and not (
            isinstance(x, (tuple, list, dict)) or hasattr(x, "shape")
        ):
            batch = next(iter(x), None)  # a loader, of torch or of Grain
        else:
            batch = keras.utils.pack_x_y_sample_weight(x, y)
        if batch is None:
            raise ValueError(f"`{name}` must hold at least one batch. Received: an empty dataset")
        self.check_data(batch, name)
        return x


def _targets(y, sample_weight):
    """Stand-in targets where there are none: Keras drops the weights of data without targets."""
    return sample_weight if y is None else y
