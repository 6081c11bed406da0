"""What is PyTorch's own: its loaders, loops of one's own, and no waiting for the device."""

import functools

import keras
import numpy as np
import pytest

from keras_vqvae2 import VQVAE2, PixelCNN

if keras.backend.backend() != "torch":
    pytest.skip("needs the PyTorch backend", allow_module_level=True)

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, TensorDataset

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), "uint8")


def vqvae(**options):
    keras.utils.set_random_seed(0)
    return VQVAE2((8, 8, 1), 4, 1, num_embeddings=4, embedding_dim=2, **options)


@pytest.fixture
def run_tiny(run_example, monkeypatch):
    """As `run_example`, with VQ-VAE-2s of few channels."""

    def small(filters, **options):
        return VQVAE2(filters=8, num_residual_blocks=0, **options)

    monkeypatch.setattr("keras_vqvae2.VQVAE2", small)
    return run_example


def test_a_loader_is_data_for_both_stages(run_tiny, tmp_path):
    result = run_tiny("torch_data_loader.py", 2, 70)
    history = result["vqvae"].history.history
    assert {"loss", "val_loss", "top_usage"} <= history.keys()
    assert history["loss"][1] < history["loss"][0]
    assert "bottom_bits_per_code" in result["priors"].history.history
    model = keras.saving.load_model(tmp_path / "emoji32.keras")
    assert model.generate(2, seed=0).shape == (2, 32, 32, 3)


def test_a_loop_of_ones_own_trains_both_stages(run_tiny, tmp_path):
    result = run_tiny("torch_loop.py", 3, 70)
    for losses in (result["losses"], result["prior_losses"]):
        assert losses[-1] < losses[0]
    assert all(float(quantizer.maturity) > 0 for quantizer in result["vqvae"].quantizers)
    assert keras.saving.load_model(tmp_path / "emoji32.keras").image_shape == (32, 32, 3)


def test_a_loader_is_what_the_array_is():
    models = [vqvae(), vqvae()]
    for model in models:
        model.compile(keras.optimizers.SGD(0.1))
    models[0].fit(IMAGES, batch_size=4, shuffle=False, verbose=0)
    loader = DataLoader(TensorDataset(torch.from_numpy(IMAGES)), batch_size=4)
    models[1].fit(loader, verbose=0)
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)
    one, other = (
        model.evaluate(data, batch_size=4, verbose=0, return_dict=True)
        for model, data in zip(models, (IMAGES, loader), strict=True)
    )
    assert one == other


def test_what_its_compiler_does_not_take_is_refused():
    model = vqvae()
    model.compile(jit_compile=True)
    with pytest.raises(ValueError, match=r"`jit_compile` must be False or 'auto' on PyTorch"):
        model.fit(IMAGES, verbose=0)


def test_a_step_of_a_loop_is_a_step_of_fit():
    fitted, looped = vqvae(), vqvae()
    fitted.compile(keras.optimizers.SGD(0.1))
    fitted.fit(IMAGES, batch_size=8, verbose=0, shuffle=False)
    weights = [parameter for parameter in looped.parameters() if parameter.requires_grad]
    assert len(weights) == len(looped.trainable_variables)
    optimizer = torch.optim.SGD(weights, lr=0.1)
    outputs = looped.compute_outputs(IMAGES, training=True)
    looped.compute_loss(IMAGES, y_pred=outputs).backward()
    optimizer.step()
    for one, other in zip(fitted.get_weights(), looped.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


def test_a_step_leaves_gradients_of_others_alone():
    model = vqvae()
    model.compile(keras.optimizers.SGD(0.1))
    weight = model.trainable_variables[0].value
    weight.grad = torch.ones_like(weight)
    model.fit(IMAGES, verbose=0)
    assert (weight.grad == 1).all()


class Waits(TorchDispatchMode):
    """Counts the operations that hand a number of the device to Python."""

    count = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize("options", [{}, {"top_k": 2, "top_p": 0.9, "temperature": 0.5}], ids=str)
@pytest.mark.parametrize("two_stream", [False, True])
def test_sampling_waits_for_the_device_at_no_position(options, two_stream):
    counts = []
    for side in (2, 4):
        prior = PixelCNN(
            (side, side), 4, 8, 2, two_stream=two_stream, num_attention_blocks=int(two_stream)
        )
        with Waits() as waits:
            prior.sample(2, seed=0, **options)
        counts.append(waits.count)
    assert counts[0] == counts[1] == 0


def test_weights_are_parameters_and_state_has_no_gradient():
    model = vqvae()
    parameters = dict(model.named_parameters())
    assert len(parameters) == len(model.variables)
    trained = sum(parameter.requires_grad for parameter in parameters.values())
    assert trained == len(model.trainable_variables)


def test_data_may_be_large_integers_of_numpy():
    """Codes come as int64 from many loaders."""
    prior = PixelCNN((2, 2), 4, filters=4, num_blocks=1)
    prior.compile("sgd")
    codes = np.random.default_rng(0).integers(0, 4, (8, 2, 2))
    fit = functools.partial(prior.fit, verbose=0)
    assert np.isfinite(fit(codes).history["loss"][0])
    loader = DataLoader(TensorDataset(torch.from_numpy(codes)), batch_size=4)
    assert np.isfinite(fit(loader).history["loss"][0])
