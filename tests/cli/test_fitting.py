import pytest

from keras_vqvae2.cli.config import Config
from keras_vqvae2.cli.fitting import adam


def rates(options, steps=100):
    optimizer = adam(Config(**options), 0.5, steps)
    optimizer.build([])
    found = []
    for step in range(steps + 1):
        optimizer.iterations.assign(step)
        found.append(float(optimizer.learning_rate))
    return found


def test_a_rate_is_steady_then_falls():
    found = rates({})
    assert found[:76] == [0.5] * 76
    assert found[75:] == sorted(found[75:], reverse=True)
    assert found[-1] == pytest.approx(0, abs=1e-6)
    assert found[88] == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(
    ("options", "middle", "end"),
    [({"steady": 0.0}, 0.25, 0), ({"steady": 1.0}, 0.5, 0), ({"cosine_decay": False}, 0.5, 0.5)],
)
def test_a_rate_falls_as_it_is_told(options, middle, end):
    found = rates(options)
    assert found[0] == 0.5
    assert found[50] == pytest.approx(middle, abs=1e-3)
    assert found[-1] == pytest.approx(end, abs=1e-6)
    assert len(rates(options, steps=1)) == 2
