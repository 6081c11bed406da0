"""The levels of a VQ-VAE-2: their layers, and the one loop over them."""

from keras import ops

from keras_vqvae2.layers import VectorQuantizer


class LevelStack:
    """Encoders, projections, quantizers and decoders, a list of each with one a level.

    Args:
        names: of the levels, coarse to fine, as all that has one value a level.
        coders: `Coders`, which builds encoders and decoders.
        strides: how much coarser a level is than the next finer one, or than the image.
        channels: of the image.
        embedding_dims: `D` of each level.
        num_embeddings: `K` of each level.
        condition_on_coarser: whether a finer level's features are corrected by what the coarser
            levels decode to.
        quantizer_options: dictionary of further arguments of `VectorQuantizer`.
    """

    def __init__(
        self,
        names,
        coders,
        strides,
        channels,
        embedding_dims,
        num_embeddings,
        condition_on_coarser,
        quantizer_options,
    ):
        policy = coders.policy
        self.encoders = [
            coders.encoder(f"{name}_encoder", stride)
            for name, stride in zip(names, strides, strict=True)
        ]
        self.projections = [
            coders.projection(dim, name=f"{name}_projection")
            for name, dim in zip(names, embedding_dims, strict=True)
        ]
        self.quantizers = [
            VectorQuantizer(size, dim, dtype=policy, name=f"{name}_quantizer", **quantizer_options)
            for name, size, dim in zip(names, num_embeddings, embedding_dims, strict=True)
        ]
        self.decoders = [
            coders.decoder(f"{name}_decoder", stride, channels if name == names[-1] else None)
            for name, stride in zip(names, strides, strict=True)
        ]
        self.corrections = [
            coders.projection(dim, use_bias=False, name=f"{name}_correction")
            for name, dim in zip(names[1:], embedding_dims[1:], strict=True)
            if condition_on_coarser
        ]

    def features(self, signal):
        """From the image up to the coarsest level: what is to be quantized.

        Args:
            signal: tensor `[B, H, W, C]` in [-1, 1].

        Returns:
            A list of tensors `[B, H_l, W_l, D_l]`, coarse to fine.
        """
        features, x = [], signal
        for encode, project in reversed(list(zip(self.encoders, self.projections, strict=True))):
            x = encode(x)
            features.insert(0, project(x))
        return features

    def residual(self, features, level, coarser):
        """Return a level's features, less what the coarser levels say, if that is how they learn.

        Args:
            features: of `features`.
            level: index of the level.
            coarser: tensor `[B, H_l, W_l, C]` that the coarser levels decode to; None at the top.
        """
        if coarser is None or not self.corrections:
            return features[level]
        return features[level] + self.corrections[level - 1](coarser)

    def down(self, vectors_of):
        """From the coarsest level down to the finest: what the last decoder is given.

        Args:
            vectors_of: callable `(level, coarser) -> [B, H_l, W_l, D_l]` that gives the quantized
                vectors of a level; `coarser` is as of `residual`.

        Returns:
            Tensor `[B, H_l, W_l, C + D_l]` of the finest level; `[B, H_l, W_l, D_l]` of a single
            one.
        """
        x = vectors_of(0, None)
        for level, decode in enumerate(self.decoders[:-1], 1):
            coarser = decode(x)
            x = ops.concatenate([coarser, vectors_of(level, coarser)], axis=-1)
        return x
