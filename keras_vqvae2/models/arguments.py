"""What a model was built with: kept once, as attributes, and read by `get_config`."""

import inspect

import keras
import numpy as np


class KeptArguments:
    """A model whose configuration is its constructor's arguments.

    The constructor checks its arguments and ends with `self.keep_arguments(Class, locals())`: each
    is then an attribute of the same name, as the checks have made it.
    """

    def keep_arguments(self, cls, values):
        """Keep the arguments of a constructor.

        Args:
            cls: the class whose constructor calls this; a subclass may have other arguments.
            values: dictionary with a value for each of the arguments, `locals()` of the
                constructor; `"dtype"` is a dtype policy.
        """
        _, *names = inspect.signature(cls.__init__).parameters
        self._arguments = tuple(name for name in names if name not in ("dtype", "name"))
        for name in self._arguments:
            value = values[name]
            # A number of NumPy's is no JSON.
            setattr(self, name, value.item() if isinstance(value, np.generic) else value)
        # `compile` scales the loss of a float16 model by it.
        self.dtype_policy = values["dtype"]

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **{name: getattr(self, name) for name in self._arguments},
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Build the model that `get_config` describes."""
        return cls(**config)


def dtype_policy(dtype):
    """Return the policy of a `dtype` argument; None is the global one.

    Raises:
        ValueError: if it keeps variables in half precision, where averages and Adam's moments
            stand still.
    """
    policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
    kept = {policy.variable_dtype, keras.config.floatx()}
    if kept & {"float16", "bfloat16"}:
        raise ValueError(
            "`dtype` must keep variables in float32, as 'mixed_float16' and 'mixed_bfloat16' do, "
            "and so must `keras.config.set_floatx`. "
            f"Received: dtype={policy.name!r}, floatx={keras.config.floatx()!r}"
        )
    return policy
