"""The page in headless Chromium: each control, wrong uploads, two visitors at once."""

import base64
import io
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_vqvae2 import page
from keras_vqvae2.page import uploads

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"),
    *("--disable-component-update", "--disable-sync"),
]
# A first sample is compiled meanwhile, on a machine that may have other work.
PATIENCE = 60_000

pytestmark = [
    pytest.mark.long,
    pytest.mark.tensorflow_only,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, as of Debian's package chromium"),
]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


class Visitor:
    """A browser of its own at the page; what it asks of other servers is collected."""

    def __init__(self, browser, address, **options):
        self.tab = browser.new_context(**options).new_page()
        self.tab.set_default_timeout(PATIENCE)
        self.elsewhere = []
        self.tab.on("request", lambda request: self._note(request.url, address))
        self.tab.goto(address)
        self.tab.wait_for_selector("figure img")

    def _note(self, url, address):
        if not url.startswith((address, "data:", "blob:")):
            self.elsewhere.append(url)

    def open(self, name):
        self.tab.get_by_role("tab", name=name, exact=True).click()
        self.panel = self.tab.locator("[role=tabpanel]:visible:has(.shown)")
        self.panel.wait_for()

    def choose(self, name):
        self.panel.get_by_role("combobox", name="Class").click()
        self.tab.get_by_role("option", name=name, exact=True).click()

    def fill(self, **numbers):
        for name, number in numbers.items():
            label = name.replace("_", " ")
            box = self.panel.locator(
                f'input[type=number][aria-label="{label}"], '
                f'label:has-text("{label}") input[type=number], '
                f'input[type=number][aria-label="number input for {label}"]'
            ).first
            box.fill(str(number))
            box.press("Tab")

    def press(self, name, exact=True):
        self.panel.get_by_role("button", name=name, exact=exact).click()

    def upload(self, file):
        self.panel.locator("input[type=file]").set_input_files(file)

    def shown(self, *captions):
        """The pictures, once the figures have captions that begin so."""
        self.tab.wait_for_function(
            """captions => {
                const told = [...document.querySelectorAll("figcaption")]
                    .filter(each => each.checkVisibility()).map(each => each.innerText);
                return captions.length === told.length
                    && captions.every((caption, place) => told[place].startsWith(caption));
            }""",
            arg=list(captions),
        )
        return [self._picture(img) for img in self.panel.locator("figure img").all()]

    def _picture(self, img):
        url = img.get_attribute("src")
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
            return np.asarray(picture)

    def error(self):
        """The sentence of the toast, which is then closed."""
        toast = self.tab.get_by_test_id("toast-body").first
        toast.wait_for()
        text = toast.inner_text()
        toast.locator(".toast-close").click()
        toast.wait_for(state="detached")
        return text


@pytest.fixture
def visitor(browser, served):
    visitor = Visitor(browser, served)
    yield visitor
    assert visitor.elsewhere == []
    visitor.tab.context.close()


def captions(views):
    return [view.caption for view in views]


def pictures(views):
    return np.stack([view.picture for view in views])


@pytest.fixture
def photo(animals, tmp_path):
    """A picture of the model's own size, and its file."""
    image = animals.generate(1, labels="dog", seed=11)[0]
    file = tmp_path / "photo.png"
    Image.fromarray(image).save(file)
    return image, file


def test_samples(animals, visitor):
    visitor.open("Sample")
    first = page.sample(animals, 16, "cat", 0)
    shown = visitor.shown(*captions(first))
    np.testing.assert_array_equal(shown, pictures(first), "it opens with some of the first class")
    visitor.choose("eel")
    visitor.fill(Images=5, Seed=7, Temperature=0.8, **{"Top-p": 0.9, "Guidance by the class": 3})
    visitor.press("Sample")
    options = {"temperature": 0.8, "top_p": 0.9, "guidance": 3.0}
    expected = page.sample(animals, 5, "eel", 7, **options)
    shown = visitor.shown(*captions(expected))
    np.testing.assert_array_equal(shown, animals.generate(5, labels="eel", seed=7, **options))


def test_a_walk(animals, visitor):
    visitor.open("Walk")
    visitor.choose("cat")
    visitor.fill(From_seed=3, To_seed=5, Steps=4)
    visitor.press("Walk")
    expected = page.walk(animals, 3, 5, 4, "cat")
    np.testing.assert_array_equal(visitor.shown(*captions(expected)), pictures(expected))


def test_an_upload_is_reconstructed(animals, visitor, photo):
    image, file = photo
    visitor.open("Reconstruct")
    visitor.upload(file)
    for label in (-1, "dog"):
        if label == "dog":
            visitor.choose("dog")
        expected = page.reconstruct(animals, image, label)
        shown = visitor.shown(*captions(expected))
        np.testing.assert_array_equal(shown[1], animals.reconstruct(image[None])[0])
        for found, view in zip(shown, expected, strict=True):
            np.testing.assert_array_equal(found, view.picture)


def test_a_part_is_erased_and_completed(animals, visitor, photo):
    image, file = photo
    visitor.open("Complete")
    visitor.press("Complete")
    assert "Upload a picture first" in visitor.error()
    visitor.upload(file)
    canvas = visitor.panel.locator("canvas[width='8']")
    canvas.wait_for()
    visitor.press("Complete")
    assert "Erase a part of the picture first" in visitor.error()
    box = canvas.bounding_box()
    pixel = box["width"] / 8
    visitor.tab.mouse.move(box["x"] + 6.5 * pixel, box["y"] + 6.5 * pixel)
    visitor.tab.mouse.down()
    visitor.tab.mouse.move(box["x"] + 7.5 * pixel, box["y"] + 6.5 * pixel)
    visitor.tab.mouse.up()
    visitor.fill(Seed=4)
    visitor.press("Complete")
    known = np.ones((8, 8), bool)
    known[6, 5:] = known[5, 6:] = known[7, 6:] = False
    expected = page.complete(animals, image, known, -1, seed=4)
    np.testing.assert_array_equal(visitor.shown(*captions(expected)), pictures(expected))
    visitor.press("Erase the lower half")
    visitor.press("Complete")
    expected = page.complete(animals, image, np.arange(8)[:, None] + np.zeros(8) < 4, -1, seed=4)
    visitor.tab.wait_for_timeout(500)
    np.testing.assert_array_equal(visitor.shown(*captions(expected)), pictures(expected))


def test_one_of_the_models_own_is_taken(visitor):
    for name in ("Reconstruct", "Complete"):
        visitor.open(name)
        visitor.press("Take one of the model's own")
    visitor.panel.locator("canvas[width='8']").wait_for()
    visitor.open("Reconstruct")
    assert len(visitor.shown("as the", "recon", "top c", "bottom c", "top b", "bottom b")) == 6


@pytest.mark.parametrize("name", ["Reconstruct", "Complete"])
def test_wrong_uploads_are_refused_in_a_sentence(visitor, photo, tmp_path, name):
    visitor.open(name)
    text, cut, wide, large = (tmp_path / f"{kind}.png" for kind in ("text", "cut", "wide", "large"))
    text.write_text("no picture")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype="uint8")
    Image.fromarray(noise).save(cut)
    cut.write_bytes(cut.read_bytes()[:5_000])
    Image.new("1", (6_000, 6_000)).save(wide)
    large.write_bytes(b"\x89PNG" + bytes(uploads.MOST_BYTES))
    for file, sentence in (
        (text, "text.png is not a picture that pillow can read"),
        (cut, "cut.png is not a complete picture"),
        (wide, "wide.png must have at most 25,000,000 pixels. Received: 6,000 × 6,000"),
        (large, "exceed"),
    ):
        visitor.upload(file)
        assert sentence in visitor.error()
    visitor.upload(photo[1])  # and goes on
    visitor.panel.locator("canvas[width='8'], figure img").first.wait_for()


def test_a_number_out_of_its_range_is_refused(visitor):
    visitor.open("Sample")
    visitor.fill(Seed=2**70)
    visitor.press("Sample")
    assert "`seed` must fit in 64 bits" in visitor.error()


def test_two_visitors_at_once(animals, browser, served):
    both = [Visitor(browser, served) for _ in range(2)]
    for seed, visitor in enumerate(both):
        visitor.open("Sample")
        visitor.choose("any")
        visitor.fill(Images=9, Seed=20 + seed, Temperature=1.5)
    for visitor in both:
        visitor.press("Sample")
    for seed, visitor in enumerate(both):
        expected = page.sample(animals, 9, -1, 20 + seed, temperature=1.5)
        shown = visitor.shown(*captions(expected))
        np.testing.assert_array_equal(shown, pictures(expected))
        visitor.tab.context.close()


def test_it_fits_on_a_phone(browser, served):
    visitor = Visitor(browser, served, viewport={"width": 390, "height": 844}, has_touch=True)
    for name in ("Walk", "Reconstruct", "Complete", "Sample"):
        visitor.open(name)
        assert visitor.tab.evaluate("document.documentElement.scrollWidth") <= 390
    visitor.tab.context.close()
