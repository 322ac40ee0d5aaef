"""Whatever a file holds: a right result or one clear line, never a traceback."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from framework.data.label_image import MOST_OBJECTS
from framework.data.prompts import read_masks, read_prompts, schedule
from framework.data.readers.folder import AnyFolder
from framework.data.sources.file_order import in_order
from framework.data.sources.image_folder import ImageFolder
from framework.data.text import read_rows
from framework.errors import InputError
from framework.metrics.regions import parse_region

pytestmark = pytest.mark.slow
many = settings(max_examples=1400 * settings().max_examples // 100, deadline=None)
"""A minute in all; `--hypothesis-profile=long` draws other examples, and a hundred times as many."""

SIZE = (10, 12)


def result_or_line(read: Callable[[], Any]) -> Any:
    """What `read` returns; None where it refuses with one line."""
    try:
        return read()
    except InputError as error:
        assert str(error).strip() and "\n" not in str(error) and "\r" not in str(error)
        return None


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """An empty folder at each call."""
    return lambda: tmp_path_factory.mktemp("fuzz")


# ---- names

pieces = st.sampled_from(
    ["0", "1", "2", "9", "10", "007", ".", "-", "_", " ", "a", "frame", "e", "²", "٣", "(", "1e-5"]
)
stems = st.lists(pieces, min_size=1, max_size=5).map("".join).filter(lambda stem: stem.strip(". "))


@many
@given(st.lists(stems, min_size=1, max_size=8, unique=True), st.randoms())
def test_the_order_of_files_is_a_fact_about_their_names(names, random):
    files = [Path("clip") / f"{name}.png" for name in names]
    ordered = result_or_line(lambda: in_order(files))
    shuffled = files[:]
    random.shuffle(shuffled)
    again = result_or_line(lambda: in_order(shuffled))
    assert ordered == again
    assert ordered is None or sorted(ordered) == sorted(files)


@many
@given(
    st.lists(st.integers(-20, 3000), min_size=2, max_size=12, unique=True),
    st.sampled_from(["", "frame", "IMG_", "cam1_"]),
    st.booleans(),
)
def test_whole_numbers_are_in_order_or_refused(values, prefix, padded):
    names = {value: f"{prefix}{value:05d}.png" if padded else f"{prefix}{value}.png" for value in values}
    ordered = result_or_line(lambda: in_order([Path(name) for name in names.values()]))
    if prefix != "frame" or any(value >= 0 for value in values):  # else a minus sign looks like a hyphen
        assert ordered == [Path(names[value]) for value in sorted(values)]


@many
@given(st.lists(st.integers(0, 400), min_size=2, max_size=12, unique=True), st.sampled_from([0.04, 0.1, 0.25, 0.5]))
def test_times_are_in_order_or_refused(steps, period):
    steps = sorted(steps)
    times = [round(step * period, 4) for step in steps]
    ordered = result_or_line(lambda: in_order([Path(f"{time}.png") for time in reversed(times)]))
    even = steps == list(range(min(steps), max(steps) + 1)) and len(steps) > 2
    assert ordered == [Path(f"{time}.png") for time in times] or (ordered is None and not even)


# ---- rows of numbers

fields = st.sampled_from(
    ["1", "-2.5", "nan", "NaN", "inf", "", "x", "1e3", "1_0", "+4", ".5", "7.", "1e999", "٣", "0x1"]
)
separators = st.sampled_from([",", ", ", ";", "\t", " ", ",,", "\u00a0"])
lines = st.lists(st.tuples(fields, separators), max_size=6).map(lambda parts: "".join(a + b for a, b in parts))
texts = st.lists(lines, max_size=5).map("\n".join)
contents = st.one_of(
    st.tuples(texts, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"])).map(
        lambda given: given[0].encode(given[1], "replace")
    ),
    st.binary(max_size=60),
)


@many
@given(contents)
def test_rows(fresh, content):
    path = fresh() / "boxes.txt"
    path.write_bytes(content)
    rows = result_or_line(lambda: read_rows(path, 4))
    if rows is not None:
        assert rows.shape[1] == 4 and not np.isinf(rows).any()
        assert len(rows) <= content.count(b"\n") + content.count(b"\r") + 1


@many
@given(st.one_of(lines, st.text(max_size=30), lines.map(lambda line: "m" + line)))
def test_regions(line):
    region = result_or_line(lambda: parse_region(line))
    if region is not None:
        assert result_or_line(lambda: parse_region(region.text)) is not None


# ---- masks

levels = st.lists(st.integers(0, 255), min_size=1, max_size=5)
modes = st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F", "CMYK"])


@st.composite
def images(draw):
    mode, chosen = draw(modes), draw(levels)
    seed = draw(st.integers(0, 99))
    rng = np.random.default_rng(seed)
    values = np.array(chosen, np.uint8)[rng.integers(len(chosen), size=SIZE)]
    if mode in ("I;16", "I", "F"):
        scale = draw(st.sampled_from([1, 257]))
        kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        return Image.fromarray((values.astype(np.int64) * scale).astype(kind))
    image = Image.fromarray(values)
    if mode == "P":
        image.putpalette(rng.integers(0, 256, 768).tolist() if draw(st.booleans()) else list(range(256)) * 3)
        return image
    image = image.convert(mode)
    if mode in ("LA", "RGBA") and draw(st.booleans()):
        image.putalpha(Image.fromarray(np.array([0, 255, 90], np.uint8)[rng.integers(3, size=SIZE)]))
    return image


@many
@given(images(), st.sampled_from(["m.png", "m.tif"]))
def test_masks(fresh, image, name):
    path = fresh() / name
    try:
        image.save(path)
    except OSError:
        return  # a mode that the format does not have
    masks = result_or_line(lambda: read_masks(path))
    if masks is not None:
        assert 0 < len(masks) <= MOST_OBJECTS and all(mask.shape == SIZE and mask.any() for mask in masks.values())
        assert np.sum(list(masks.values()), axis=0).max() == 1  # a pixel belongs to one object


@many
@given(st.binary(max_size=80), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"P5 3 3 255\n"]))
def test_bytes_that_are_no_image(fresh, content, head):
    folder = fresh()
    (folder / "0.png").write_bytes(head + content)
    result_or_line(lambda: read_masks(folder / "0.png"))
    result_or_line(lambda: list(ImageFolder(folder).frames()))


# ---- prompts

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 300), st.floats(), st.text(max_size=4), st.just("m.png"), st.just(10**30)
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=5), max_leaves=8)
names = st.sampled_from(["object", "frame", "mask", "box", "points", "labels", "refine", "remove", "other"])
items = st.dictionaries(names, values, max_size=5)


@many
@given(st.one_of(st.lists(st.one_of(items, values), max_size=4), values))
def test_prompts(fresh, content):
    folder = fresh()
    (folder / "p.json").write_text(json.dumps(content))
    Image.fromarray(np.eye(*SIZE, dtype=np.uint8)).save(folder / "m.png")
    plan = result_or_line(lambda: schedule(read_prompts(file=str(folder / "p.json")), SIZE, 9))
    if plan is not None:
        assert plan.objects and all(1 <= key <= 255 for key in plan.objects) and all(0 <= t < 9 for t in plan.prompts)


@many
@given(st.binary(max_size=60))
def test_prompt_files_of_any_bytes(fresh, content):
    path = fresh() / "p.json"
    path.write_bytes(content)
    result_or_line(lambda: read_prompts(file=str(path)))


# ---- folders of one's own


@many
@given(
    st.lists(st.lists(st.sampled_from([0, 1, 2, 7, 255]), min_size=1, max_size=3), min_size=1, max_size=4),
    st.sampled_from(["{:05d}.png", "{:05d}.PNG", "{}.png", "x{:05d}.png"]),
    st.lists(st.integers(1, 3), max_size=2, unique=True),
    st.booleans(),
)
def test_folders(fresh, frames, form, prompted, palette):
    folder = fresh() / "root" / "v"
    (folder / "masks").mkdir(parents=True)
    for index, found in enumerate(frames):
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(folder / f"{index:05d}.jpg")
        labels = np.zeros(SIZE, np.uint8)
        for row, value in enumerate(found):
            labels[2 * row + 1] = value
        image = Image.fromarray(labels)
        if palette:
            image.putpalette([channel for value in range(256) for channel in (value, value, value)])
        image.save(folder / "masks" / form.format(index))
    if prompted:
        boxes = [{"object": key, "box": [1, 1, 5, 5]} for key in prompted]
        (folder / "prompts.json").write_text(json.dumps(boxes))
    video = AnyFolder(str(folder.parent)).sequence(0)
    prompts = result_or_line(video.prompts)
    if prompts is None:
        return
    keys = {key for given in prompts.values() for key in given}
    assert not prompted or keys == set(prompted)
    truths = [video.truth(index) for index in range(video.length)]
    assert all(truth.keys() <= keys for truth in truths)
    for key in keys:  # an object that is scored is on a mask
        assert any(truth[key].any() for truth in truths if key in truth)
