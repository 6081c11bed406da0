"""Both stages in a plain PyTorch loop. Options: epochs of each stage, images.

On this backend a model is a `torch.nn.Module`: it has parameters, a loss with a `backward`, and any
PyTorch optimizer can train it. What `fit` adds are metrics, callbacks and checkpoints.
"""

import os
import sys

os.environ["KERAS_BACKEND"] = "torch"  # before Keras is imported

import torch
from torch.utils.data import DataLoader, TensorDataset

import keras_vqvae2 as kv

epochs, limit = map(int, [*sys.argv[1:], *(20, 3000)[len(sys.argv) - 1 :]])


def train(model, arrays):
    """Follow the gradient of the model's own loss; return its mean in each epoch."""
    data = TensorDataset(*map(torch.from_numpy, arrays))
    loader = DataLoader(data, batch_size=64, shuffle=True)
    # The state of the codebooks is among the parameters too, and has no gradient.
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-3)
    means = []
    for epoch in range(epochs):
        losses = []
        for batch in loader:
            batch = [tensor.to(weights[0].device) for tensor in batch]
            inputs, _ = model.unpack(batch)
            # With `training=True` the codebooks follow the batch.
            outputs = model.compute_outputs(inputs, training=True)
            loss = model.compute_loss(inputs, y_pred=outputs)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        means.append(float(torch.stack(losses).mean()))
        print(f"{model.name}: epoch {epoch + 1}, loss {means[-1]:.4f}")
    return means


images = kv.datasets.load("emoji32", "train").images[:limit]
vqvae = kv.VQVAE2(image_shape=(32, 32, 3), filters=64, embedding_dim=32, num_embeddings=128)
losses = train(vqvae, [images])

priors = kv.HierarchicalPrior.from_vqvae(vqvae, filters=64, num_blocks=6, dropout=0.1)
prior_losses = train(priors, vqvae.encode(images))

kv.ImageGenerator(vqvae, priors).save("emoji32.keras")
