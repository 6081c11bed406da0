"""How good images and models are, and what training them costs."""

import lazy_loader

# On demand: scikit-learn and scikit-image take a second to import, and training needs neither.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
