import numpy as np
import pytest

from keras_vqvae2 import checks


def test_numbers():
    assert checks.positive_int("n", np.int64(3)) == 3
    assert checks.fraction("f", 0) == 0.0
    assert checks.fraction("f", 1, one=True) == 1.0
    for wrong in (0, -1, 2.0, True, "3", None):
        with pytest.raises(ValueError, match="`n` must be an integer of at least 1. Received: n="):
            checks.positive_int("n", wrong)
    for wrong in (1, -0.1, 2, float("nan")):
        with pytest.raises(ValueError, match=r"`f` must lie in \[0, 1\). Received: f="):
            checks.fraction("f", wrong)
