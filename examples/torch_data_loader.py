"""Both stages by `fit` from PyTorch's `DataLoader`. Options: epochs of each stage, images."""

import os
import sys

os.environ["KERAS_BACKEND"] = "torch"  # before Keras is imported

import torch
from torch.utils.data import DataLoader, TensorDataset

import keras_vqvae2 as kv

epochs, limit = map(int, [*sys.argv[1:], *(20, 3000)[len(sys.argv) - 1 :]])


class Emoji(torch.utils.data.Dataset):
    """Images `[H, W, C]` with pixels in [0, 255], as the models take them; some are mirrored."""

    def __init__(self, split, mirrored=0.0):
        self.images = torch.from_numpy(kv.datasets.load("emoji32", split).images[:limit])
        self.mirrored = mirrored

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = self.images[index]
        return image.flip(1) if torch.rand(()) < self.mirrored else image


train, validation = Emoji("train", mirrored=0.5), Emoji("validation")
vqvae = kv.VQVAE2(image_shape=(32, 32, 3), filters=64, embedding_dim=32, num_embeddings=128)
vqvae.compile(optimizer="adam")
vqvae.fit(
    DataLoader(train, batch_size=64, shuffle=True),
    validation_data=DataLoader(validation, batch_size=64),
    epochs=epochs,
)

# A batch of codes is a list of its levels, coarse to fine.
codes = TensorDataset(*map(torch.from_numpy, vqvae.encode(train.images)))
priors = kv.HierarchicalPrior.from_vqvae(vqvae, filters=64, num_blocks=6, dropout=0.1)
priors.compile(optimizer="adam")
priors.fit(DataLoader(codes, batch_size=64, shuffle=True), epochs=epochs)

kv.ImageGenerator(vqvae, priors).save("emoji32.keras")
