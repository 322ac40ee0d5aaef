"""The interactive page in a browser, opened from disk: what is seen is what was tracked."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, ConsoleMessage, sync_playwright

from framework.evaluation.comparison import Comparison
from framework.evaluation.evaluate import evaluate
from framework.report.report import Reporter
from framework.report.viewer import CHUNK, Page, SequenceFiles, ViewedObject
from framework.storage.mask_rle import encode_mask
from framework.tracker import Tracker
from framework.types import ANCHOR, MemoryUse
from policies.sam2 import Sam2
from policies.skip_absent import SkipAbsent
from tests.fakes.squares import SIDE, First, SquareNetwork, Squares

pytestmark = pytest.mark.browser
POLICIES = {"sam2": Sam2(), "skip_absent": SkipAbsent(), "first": First()}
PIXELS = """variant => {
    const canvas = document.querySelector(`canvas[data-variants="${variant}"]`);
    return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data];
}"""


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    trackers = {name: Tracker(SquareNetwork(), policy) for name, policy in POLICIES.items()}
    return evaluate(trackers, Squares(), tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def index(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    viewer = Reporter(pictures=0).report(comparison, Squares(), "").viewer
    assert viewer is not None
    return viewer.write(tmp_path_factory.mktemp("pages") / "viewer")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page, and all that it complained of or asked for."""

    def __init__(self, browser: Browser, index: Path, choice: str = "") -> None:
        self.page = browser.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda request: self.complaints.append(request.url))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(f"{index.as_uri()}{choice}")

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def shows(self, sequence: str, frame: int) -> None:
        """Waits until it does."""
        self.page.wait_for_function(f"document.body.dataset.shown === '{sequence} {frame}'")

    def scrub(self, frame: int) -> None:
        self.page.eval_on_selector(
            "#scrubber", f"node => {{ node.value = {frame}; node.dispatchEvent(new Event('input')) }}"
        )

    def pixels(self, variant: str) -> np.ndarray:
        """RGBA of the masks of a panel."""
        return np.array(self.page.evaluate(PIXELS, variant), np.uint8).reshape(SIDE, SIDE, 4)

    def strip(self, variant: int) -> list[dict[str, Any]]:
        """What the memories of a variant say, in their order."""
        script = "nodes => nodes.map(node => ({...node.dataset, text: node.innerText}))"
        return self.page.eval_on_selector_all(f'.strip[data-variant="{variant}"] .memory', script)


@pytest.fixture
def opened(browser: Browser, index: Path) -> Iterator[Opened]:
    opened = Opened(browser, index, "#sequence=beta&frame=2&variants=0,1,2")
    opened.shows("beta", 2)
    yield opened
    assert opened.complaints == []
    assert all(url.startswith((index.parent.as_uri(), "data:")) for url in opened.asked)
    opened.page.close()


def test_scrubbing_shows_the_masks_that_were_tracked(opened: Opened, comparison: Comparison) -> None:
    opened.page.uncheck("#truth")
    seen = 0
    for frame in (7, 3, 4, 0, 9, 1):
        opened.scrub(frame)
        opened.shows("beta", frame)
        for variant, run in enumerate(comparison.runs):
            mask = run.record("beta").objects[1].mask_at(frame, (SIDE, SIDE))
            np.testing.assert_array_equal(opened.pixels(str(variant))[..., 3] > 0, mask)
            seen += mask.sum()
    assert seen > 0


def test_overlaid_masks_and_the_outline_of_the_truth(opened: Opened, comparison: Comparison) -> None:
    opened.page.select_option("#layout", "overlay")
    opened.scrub(3)
    opened.shows("beta", 3)
    masks = [run.record("beta").objects[1].mask_at(3, (SIDE, SIDE)) for run in comparison.runs]
    truth = Squares().videos[1].mask(3)
    opened.page.wait_for_selector('canvas[data-variants="0 1 2"]')
    pixels = opened.pixels("0 1 2")
    white = (pixels == 255).all(axis=-1)
    inner = truth.copy()
    inner[7:9] &= ~(np.roll(truth, 1, 1) & np.roll(truth, -1, 1))[7:9]
    np.testing.assert_array_equal(white, inner)
    np.testing.assert_array_equal((pixels[..., 3] > 0), np.any([*masks, truth], axis=0))


def test_the_strip_is_the_record_and_a_click_jumps(opened: Opened, comparison: Comparison) -> None:
    opened.scrub(8)
    opened.shows("beta", 8)
    for variant, run in enumerate(comparison.runs):
        use = run.record("beta").objects[1].memory[8]
        strip = opened.strip(variant)
        spatial = [(int(one["frame"]), int(one["slot"])) for one in strip if "slot" in one]
        assert spatial == [*use.spatial]
        assert {(int(one["frame"]), int(one["ago"])) for one in strip if "ago" in one} == {*use.pointers}
        assert {int(one["frame"]) for one in strip if "gone" not in one["text"]} == {*use.held}
        assert [("anchor" in one["text"]) for one in strip if "slot" in one] == [
            slot == ANCHOR for _, slot in use.spatial
        ]
    opened.page.click('.strip[data-variant="0"] .memory[data-frame="5"]')
    opened.shows("beta", 5)


def test_reasons_are_shown_with_their_thresholds(opened: Opened) -> None:
    opened.scrub(5)
    opened.shows("beta", 5)
    text = opened.page.inner_text('.strip[data-variant="1"] .reasons')
    assert text == "remember: no · object score: -4 > 0 ✗"
    assert "not remembered" in opened.page.inner_text('.strip[data-variant="1"] h2')


def test_keys_moments_and_curves_jump(opened: Opened) -> None:
    for key, frame in (("ArrowRight", 3), ("End", 9), ("ArrowLeft", 8), ("Home", 0), ("Shift+ArrowRight", 9)):
        opened.page.keyboard.press(key)
        opened.shows("beta", frame)
    curve = opened.page.locator("#curves").bounding_box()
    assert curve is not None
    opened.page.click("#curves", position={"x": 40 + (curve["width"] - 48) * 4 / 9, "y": 50})
    opened.shows("beta", 4)
    moment = opened.page.locator('#moments li:not([data-sequence="beta"])').first
    name, frame = moment.get_attribute("data-sequence"), moment.get_attribute("data-frame")
    moment.click()
    assert name is not None and frame is not None
    opened.shows(name, int(frame))


def test_a_long_video_is_read_where_it_is_looked_at(browser: Browser, tmp_path: Path) -> None:
    page, length = Page(tmp_path / "viewer"), 12 * CHUNK
    files = SequenceFiles(page.part, "long", (4, 6), 1)
    mask, image = encode_mask(np.ones((4, 6), bool)), np.zeros((4, 6, 3), np.uint8)
    for frame in range(length):
        use = MemoryUse(((max(frame - 1, 0), 0),), (), (frame,))
        files.add(image, [{1: ViewedObject(mask, 0.5, 1.0, None, 0.5, True, use)}])
    about = {
        "title": "long",
        "variants": [{"name": "one", "run": None}],
        "sequences": [files.listed(first=10, stride=2)],
        "notes": "",
    }
    opened = Opened(browser, page.complete(about, files.close()))
    opened.shows("long", 0)
    opened.scrub(7 * CHUNK + 50)
    opened.shows("long", 7 * CHUNK + 50)
    assert opened.page.inner_text("#frame") == "1510 / 2408", "numbers of the video"
    assert opened.strip(0)[0]["text"].startswith("1508")
    chunks = {Path(url).name for url in opened.asked if "frames-" in url}
    assert chunks == {"frames-0.js", "frames-7.js"} and opened.complaints == []
    assert len([url for url in opened.asked if url.endswith(".jpg")]) < 10
