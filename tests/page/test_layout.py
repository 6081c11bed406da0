"""What the page's widgets say before anybody has touched them."""

import pytest

from keras_vqvae2 import page

pytestmark = pytest.mark.long


def classes_at_first(model, **options):
    gradio = pytest.importorskip("gradio")
    blocks = page.build_page(model, **options).blocks.values()
    return [block.value for block in blocks if isinstance(block, gradio.Dropdown)]


def test_samples_and_walks_begin_with_a_class_and_a_visitors_picture_with_any(animals):
    assert classes_at_first(animals) == [0, 0, -1, -1]
    assert classes_at_first(animals, label="eel") == [2, 2, -1, -1]
    with pytest.raises(ValueError, match="label"):
        page.build_page(animals, label="fox")


def test_a_model_that_needs_a_class_has_one_everywhere(class_model):
    assert classes_at_first(class_model, label=4) == [4, 4, 4, 4]
