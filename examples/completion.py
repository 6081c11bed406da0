"""Complete pictures of which a part is missing, and choose the likeliest of several completions.

    python examples/completion.py emoji32 person    # a preset, or a .keras file; a class

It writes `completions.png`: what is known, the likeliest of eight completions, and three more.
"""

import sys

import numpy as np

import keras_vqvae2 as kv
from keras_vqvae2 import drawing

name, label = [*sys.argv[1:], *("emoji32", "person")[len(sys.argv) - 1 :]]
ATTEMPTS, SHOWN = 8, 4

model = kv.ImageGenerator.from_preset(name)
height, width, _ = model.image_shape
pictures = model.generate(4, labels=label, seed=0)  # or some of your own, uint8 [4, H, W, C]

# True is known. Any mask will do; a lower part is continued best, since codes are drawn from the
# top to the bottom and see those before them.
known = np.ones((height, width), bool)
known[height // 2 :] = False

rows = []
for picture in pictures:
    same = np.stack([picture] * ATTEMPTS)
    completed = model.complete(same, known, labels=label, seed=0)
    likelihood = model.log_prob(completed, labels=label)  # of their codes
    best = np.argsort(-likelihood)[:SHOWN]
    rows += [drawing.erased(picture, known), *completed[best]]
drawing.save("completions.png", drawing.grid(np.stack(rows), columns=1 + SHOWN))
