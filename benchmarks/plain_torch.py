"""VQ-VAE-2 and PixelCNN in plain PyTorch, as people write them: what `training.py` compares with.

The wiring, sizes and initial weights are those of the package; the ways of computing are the usual
ones: images channels-first, upsampling before a convolution, and whole kernels times a mask.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """ReLU, 3x3, ReLU, 1x1, added to the input."""

    def __init__(self, channels, hidden):
        """Build a block of `hidden` channels inside."""
        super().__init__()
        self.conv = nn.Conv2d(channels, hidden, 3, padding=1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x):
        """Map `[B, C, H, W]` to the same shape."""
        return x + self.expand(F.relu(self.conv(F.relu(x))))


def encoder(channels, filters, halvings):
    """Return strided convolutions, a 3x3 one and two residual blocks."""
    layers, blocks = [], [ResidualBlock(filters, filters // 2) for _ in range(2)]
    for _ in range(halvings):
        layers += [nn.Conv2d(channels, filters // 2, 4, 2, padding=1), nn.ReLU()]
        channels = filters // 2
    layers.append(nn.Conv2d(channels, filters, 3, padding=1))
    return nn.Sequential(*layers, *blocks, nn.ReLU())


def decoder(channels, filters, outputs):
    """Return a 3x3 convolution, two residual blocks, and one doubling for each of `outputs`."""
    layers = [nn.Conv2d(channels, filters, 3, padding=1)]
    layers += [*(ResidualBlock(filters, filters // 2) for _ in range(2)), nn.ReLU()]
    for index, size in enumerate(outputs):
        layers += [nn.ReLU()] if index else []
        layers += [nn.Upsample(scale_factor=2), nn.Conv2d(filters, size, 3, padding=1)]
        filters = size
    return nn.Sequential(*layers)


class Quantizer(nn.Module):
    """The nearest code, an exponential moving average of the codebook, straight-through."""

    def __init__(self, size, dim, decay=0.99, epsilon=1e-5):
        """Build a codebook of `size` codes of `dim` numbers."""
        super().__init__()
        self.size, self.decay, self.epsilon = size, decay, epsilon
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("sums", torch.zeros(size, dim))

    def codebook(self):
        """Return the codes `[K, D]`."""
        total = self.counts.sum()
        smooth = (self.counts + self.epsilon) / (total + self.size * self.epsilon) * total
        return self.sums / smooth[:, None]

    def encode(self, flat):
        """Return the index of the code nearest to each vector `[N, D]`."""
        codebook = self.codebook()
        norms = flat.square().sum(1, keepdim=True), codebook.square().sum(1)
        return (norms[0] - 2 * flat @ codebook.T + norms[1]).argmin(1)

    def forward(self, x):
        """Map `[B, D, H, W]` to the quantized map and the commitment loss."""
        with torch.autocast(x.device.type, enabled=False):
            return self._quantize(x.permute(0, 2, 3, 1).float())

    def _quantize(self, vectors):
        flat = vectors.reshape(-1, vectors.shape[-1]).detach()
        codes = self.encode(flat)
        quantized = self.codebook()[codes].reshape(vectors.shape)
        with torch.no_grad():
            one_hot = F.one_hot(codes, self.size).to(flat.dtype)
            self.counts.lerp_(one_hot.sum(0), 1 - self.decay)
            self.sums.lerp_(one_hot.T @ flat, 1 - self.decay)
        commitment = 0.25 * F.mse_loss(vectors, quantized)
        quantized = vectors + (quantized - vectors).detach()
        return quantized.permute(0, 3, 1, 2), commitment


class VQVAE2(nn.Module):
    """Two levels, 32x32 or any multiple of 8, as `keras_vqvae2.VQVAE2` wires them by default."""

    def __init__(self, filters, size=512, dim=64):
        """Build a model of `filters` channels and two codebooks of `size` codes."""
        super().__init__()
        self.bottom_encoder = encoder(3, filters, 2)
        self.top_encoder = encoder(filters, filters, 1)
        self.top_projection = nn.Conv2d(filters, dim, 1)
        self.bottom_projection = nn.Conv2d(filters, dim, 1)
        self.top_decoder = decoder(dim, filters, [filters // 2])
        self.bottom_decoder = decoder(dim + filters // 2, filters, [filters // 2, 3])
        self.quantizers = nn.ModuleList([Quantizer(size, dim), Quantizer(size, dim)])

    def features(self, images):
        """Return what the quantizers see, top and bottom."""
        bottom = self.bottom_encoder(images)
        return self.top_projection(self.top_encoder(bottom)), self.bottom_projection(bottom)

    def reconstruct(self, top, bottom):
        """Return images of quantized maps."""
        return self.bottom_decoder(torch.cat([self.top_decoder(top), bottom], 1))

    def forward(self, images):
        """Return the loss of images `[B, 3, H, W]` in [-1, 1]."""
        features = zip(self.quantizers, self.features(images), strict=True)
        (top, top_loss), (bottom, bottom_loss) = (quantize(x) for quantize, x in features)
        return F.mse_loss(self.reconstruct(top, bottom), images) + top_loss + bottom_loss

    def encode(self, images):
        """Return the codes `[B, H, W]` of each level."""
        features = zip(self.quantizers, self.features(images), strict=True)
        return [
            quantizer.encode(x.permute(0, 2, 3, 1).flatten(0, 2)).reshape(len(x), *x.shape[2:])
            for quantizer, x in features
        ]

    def decode(self, codes):
        """Return images of the codes of each level."""
        maps = (
            quantizer.codebook()[grid].permute(0, 3, 1, 2)
            for quantizer, grid in zip(self.quantizers, codes, strict=True)
        )
        return self.reconstruct(*maps)


class MaskedConv(nn.Conv2d):
    """A convolution whose kernel is multiplied by a mask at each step."""

    def __init__(self, channels, filters, kernel_size, visible):
        """Build a kernel of which the first `visible` taps in raster order count."""
        super().__init__(channels, filters, kernel_size, padding=kernel_size // 2)
        mask = (torch.arange(kernel_size**2) < visible).float()
        self.register_buffer("mask", mask.reshape(1, 1, kernel_size, kernel_size))

    def forward(self, x):
        """Map `[B, C, H, W]` to `[B, filters, H, W]`."""
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class GatedBlock(nn.Module):
    """1x1, masked 3x3 with the condition added, gate, 1x1, added to the input."""

    def __init__(self, filters, condition):
        """Build a block of `filters` channels, conditioned on `condition` channels."""
        super().__init__()
        self.reduce = nn.Conv2d(filters, filters // 2, 1)
        self.conv = MaskedConv(filters // 2, filters, 3, visible=5)
        self.expand = nn.Conv2d(filters // 2, filters, 1)
        self.project = nn.Conv2d(condition, filters, 1, bias=False)

    def forward(self, x, condition):
        """Map `[B, C, H, W]` to the same shape."""
        value, gate = (self.conv(self.reduce(x)) + self.project(condition)).chunk(2, 1)
        return x + self.expand(torch.tanh(value) * torch.sigmoid(gate))


class PixelCNN(nn.Module):
    """The prior of a grid given one half as high and wide, as specified."""

    def __init__(self, filters, num_blocks, size=512):
        """Build `num_blocks` gated blocks of `filters` channels."""
        super().__init__()
        half = filters // 2
        self.embed = nn.Embedding(size, half)
        self.input_conv = MaskedConv(half, filters, 7, visible=24)
        self.embed_context = nn.Embedding(size, half)
        self.blocks = nn.ModuleList(GatedBlock(filters, half) for _ in range(num_blocks))
        self.hidden = nn.Conv2d(filters, filters, 1)
        self.to_logits = nn.Conv2d(filters, size, 1)

    def forward(self, codes, context):
        """Return the mean negative log-likelihood of a code, in nats."""
        condition = self.embed_context(context).permute(0, 3, 1, 2)
        condition = F.interpolate(condition, scale_factor=2)
        x = self.input_conv(self.embed(codes).permute(0, 3, 1, 2))
        for block in self.blocks:
            x = block(x, condition)
        logits = self.to_logits(F.relu(self.hidden(F.relu(x))))
        return F.cross_entropy(logits, codes)


def take_weights(model, weights):
    """Give a model the package's initial weights, which come in the order of its modules.

    Args:
        model: of this file.
        weights: dictionary of arrays, each named as Keras names it, in order.
    """
    for parameter, (name, array) in zip(model.parameters(), weights.items(), strict=True):
        if "nearest_conv" in name and array.ndim == 4:
            array = array[::-1, ::-1].transpose(2, 3, 0, 1)  # of a transposed convolution
        elif array.ndim == 4:
            array = array.transpose(3, 2, 0, 1)
        elif array.ndim == 3:  # the visible taps of a masked kernel
            side = parameter.shape[-1]
            array = np.concatenate([array, np.zeros((side**2 - len(array), *array.shape[1:]))])
            array = array.reshape(side, side, *array.shape[1:]).transpose(3, 2, 0, 1)
        elif array.ndim == 2 and parameter.ndim == 4:
            array = array.T[:, :, None, None]
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(array, "float32")))
