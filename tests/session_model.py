"""A SavedModel in the session loader of TensorFlow Serving, with nothing in between.

Only what TensorFlow's C++ runtime checks is checked: `Session.run` of Python would look at shapes
and convert dtypes first.
"""

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2


class SessionModel:
    """A SavedModel in a session: runs a signature on arrays."""

    def __init__(self, path):
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            loaded = tf.compat.v1.saved_model.load(self.session, ["serve"], str(path))
        self.signatures = loaded.signature_def
        self._callables = {}

    def run(self, name, inputs):
        """Return the outputs of a signature; every input it declares must be in `inputs`."""
        signature = self.signatures[name]
        if name not in self._callables:
            options = config_pb2.CallableOptions(
                feed=[info.name for info in signature.inputs.values()],
                fetch=[info.name for info in signature.outputs.values()],
            )
            self._callables[name] = (
                list(signature.inputs),
                list(signature.outputs),
                self.session._make_callable_from_options(options),
            )
        keys, outputs, function = self._callables[name]
        return dict(zip(outputs, function(*(inputs[key] for key in keys)), strict=True))
