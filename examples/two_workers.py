"""Two processes train one model, each on its part of every batch, by `tf.distribute`.

    python examples/two_workers.py 0 &    # the chief, which saves
    python examples/two_workers.py 1

On two machines name their addresses: `python two_workers.py 0 20 10.0.0.1:2222 10.0.0.2:2222`, the
epochs in between. What they learn is what one process would have learned. JAX and PyTorch share a
training in their own ways: docs/distribution.md.
"""

import json
import os
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"  # before Keras is imported

import keras

import keras_vqvae2 as kv

index = int(sys.argv[1])
epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 20
addresses = sys.argv[3:] or ["localhost:12345", "localhost:12346"]
task = {"type": "worker", "index": index}
os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})

workers = kv.distribution.start("multiworker")  # before anything is computed
keras.utils.set_random_seed(0)
images = kv.datasets.load("emoji32", "train[:40%]")
with workers.scope():  # where variables are made, and copied to all
    vqvae = kv.VQVAE2(images.image_shape, filters=64, embedding_dim=32, num_embeddings=128)
    vqvae.compile(optimizer=keras.optimizers.Adam(1e-3))

# 64 images are those of both together; an end of the other worker is told in a sentence.
batches = kv.ImageBatches(images, batch_size=64, shuffle=True, seed=0)
with kv.distribution.peers(workers):
    vqvae.fit(batches, epochs=epochs, verbose=2 if workers.is_chief else 0)
if workers.is_chief:
    vqvae.save("vqvae.keras")
