"""VQ-VAE-2 and PixelCNN priors in Keras 3: discrete codes of images, learned, sampled and scored.

Images hold pixels in [0, 255], channels last; codes are int32 grids; a list of levels is coarse to
fine. Each public name stands in its folder, and here: `__init__.pyi` lists them. Importing the
package imports neither Keras nor a backend; using a name does.
"""

import lazy_loader

from keras_vqvae2.registration import register_with_keras

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

register_with_keras()
