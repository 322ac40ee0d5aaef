"""Prompts from options and files, and one clear line for each way they can be wrong."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from framework.data.prompts import read_masks, read_prompts, schedule
from framework.errors import InputError

SIZE = (48, 64)


def save_mask(path: Path, ids: np.ndarray, palette: bool = False) -> Path:
    image = Image.fromarray(ids.astype(np.uint8))
    if palette:
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0] + [9] * 759)
    image.save(path)
    return path


def painted(**where: int) -> np.ndarray:
    """Ids painted on the left or the right."""
    ids = np.zeros(SIZE)
    ids[10:20, 5:15], ids[10:20, 40:55] = where.get("left", 0), where.get("right", 0)
    return ids


def test_box_and_points_from_options() -> None:
    plan = schedule(read_prompts(box=[3, 4, 20.5, 30], points=[[5, 6], [7, 8]], labels=[1, 0], frame=2), SIZE, 10)
    prompt = plan.prompts[2][1]
    assert (prompt.box, prompt.points, prompt.labels) == ((3.0, 4.0, 20.5, 30.0), ((5.0, 6.0), (7.0, 8.0)), (1, 0))
    assert not prompt.refine
    assert plan.objects == (1,)
    (only,) = read_prompts(points=[[5, 6], [7, 8]])
    assert only.prompt is not None and only.prompt.labels == (1, 1)


def test_points_follow_in_turn(tmp_path: Path) -> None:
    clicks = [[[5, 6]], [[5, 6], [9, 9]], [[7, 8]]]
    items = [{"frame": 2, "points": points} for points in clicks] + [{"frame": 2, "object": 2, "box": [1, 2, 30, 40]}]
    items += [
        {"frame": 2, "object": 2, "points": [[4, 4]], "labels": [0], "refine": True},
        {"frame": 5, "points": [[1, 1]]},
    ]
    (tmp_path / "p.json").write_text(json.dumps(items))
    plan = schedule(read_prompts(file=str(tmp_path / "p.json")), SIZE, 10)
    first, second = plan.prompts[2][1], plan.prompts[2][2]
    assert isinstance(first, tuple) and isinstance(second, tuple)
    assert [prompt.points for prompt in first] == [((5, 6),), ((5, 6), (9, 9)), ((7, 8),)]
    assert [prompt.refine for prompt in first] == [False, True, True] and [p.refine for p in second] == [False, True]
    assert second[0].box == (1.0, 2.0, 30.0, 40.0) and second[1].labels == (0,)
    assert plan.prompts[5][1].refine


@pytest.mark.parametrize("order", [1, -1])
def test_removal_comes_first_on_its_frame(tmp_path: Path, order: int) -> None:
    on_frame_4 = [{"frame": 4, "remove": True}, {"frame": 4, "points": [[5, 6]]}][::order]
    (tmp_path / "p.json").write_text(json.dumps([{"points": [[1, 1]]}, *on_frame_4]))
    plan = schedule(read_prompts(file=str(tmp_path / "p.json")), SIZE, 10)
    assert plan.removed == {4: frozenset({1})} and not plan.prompts[4][1].refine


def test_mask_of_one_object_may_be_painted_with_any_value(tmp_path: Path) -> None:
    for value in (1, 38, 255):
        path = save_mask(tmp_path / "m.png", painted(left=value))
        plan = schedule(read_prompts(mask=str(path)), SIZE, 10)
        mask = plan.prompts[0][1].mask
        assert mask is not None
        np.testing.assert_array_equal(mask, painted(left=1) > 0)
    Image.fromarray(painted(left=1) > 0).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_masks(tmp_path / "bits.png")[1], painted(left=1) > 0)
    grey = np.repeat((painted(left=255)).astype(np.uint8)[..., None], 3, axis=-1)
    Image.fromarray(grey).save(tmp_path / "rgb.png")
    np.testing.assert_array_equal(read_masks(tmp_path / "rgb.png")[1], painted(left=1) > 0)


@pytest.mark.parametrize("palette", [True, False])
def test_one_mask_file_holds_several_objects(tmp_path: Path, palette: bool) -> None:
    masks = read_masks(save_mask(tmp_path / "m.png", painted(left=2, right=7), palette))
    assert sorted(masks) == [2, 7]
    np.testing.assert_array_equal(masks[7], painted(right=1) > 0)


def test_void_of_a_palette_mask_is_no_object(tmp_path: Path) -> None:
    assert sorted(read_masks(save_mask(tmp_path / "m.png", painted(left=2, right=255), palette=True))) == [2]


def test_prompt_file(tmp_path: Path) -> None:
    save_mask(tmp_path / "first.png", painted(left=1, right=3), palette=True)
    items = [
        {"mask": "first.png"},
        {"object": 5, "frame": 4, "box": [1, 2, 30, 40]},
        {"object": 1, "frame": 6, "points": [[5, 6]], "labels": [0], "refine": True},
        {"object": 3, "frame": 7, "box": [1, 2, 30, 40], "refine": False},
        {"object": 5, "frame": 8, "remove": True},
        {"object": 5, "frame": 9, "box": [1, 2, 30, 40]},
    ]
    (tmp_path / "p.json").write_text(json.dumps(items))
    plan = schedule(read_prompts(file=str(tmp_path / "p.json")), SIZE, 10)
    assert {frame: sorted(given) for frame, given in plan.prompts.items()} == {
        0: [1, 3],
        4: [5],
        6: [1],
        7: [3],
        9: [5],
    }
    assert plan.removed == {8: frozenset({5})}
    assert plan.objects == (1, 3, 5)
    refined = {frame: prompt.refine for frame, given in plan.prompts.items() for prompt in given.values()}
    assert refined == {0: False, 4: False, 6: True, 7: False, 9: False}


def test_a_point_outside_the_object_corrects_what_is_tracked(tmp_path: Path) -> None:
    outside = {"points": [[40, 9]], "labels": [0]}
    (tmp_path / "p.json").write_text(json.dumps([{"box": [1, 2, 30, 40]}, outside, {"frame": 4, **outside}]))
    plan = schedule(read_prompts(file=str(tmp_path / "p.json")), SIZE, 10)
    box, *corrections = (*plan.prompts[0][1], plan.prompts[4][1])
    assert (box.box, box.refine) == ((1.0, 2.0, 30.0, 40.0), False)
    assert [(c.points, c.labels, c.refine) for c in corrections] == [(((40.0, 9.0),), (0,), True)] * 2


def test_mask_with_an_object_id_of_its_own(tmp_path: Path) -> None:
    save_mask(tmp_path / "m.png", painted(left=255))
    (tmp_path / "p.json").write_text(json.dumps([{"object": 4, "mask": "m.png"}]))
    assert schedule(read_prompts(file=str(tmp_path / "p.json")), SIZE, None).objects == (4,)


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({}, "no prompt: give prompt.mask"),
    ({"box": [0, 0, 5, 5], "mask": "m.png"}, "one or the other"),
    ({"box": [1, 2, 3]}, r"box=\[1, 2, 3\] must be \[xmin,ymin,xmax,ymax\]"),
    ({"box": ["a", 2, 3, 4]}, "must be"),
    ({"box": [9, 9, 9, 20]}, "has no area; give .* xmax > xmin"),
    ({"box": [20, 9, 10, 20]}, "has no area"),
    ({"box": [70, 9, 90, 20]}, "is outside the 64x48 video; give one inside it"),
    ({"box": [50, 9, 90, 20]}, r"is partly outside the 64x48 video; give \[50,9,64,20\]"),
    ({"points": [[64, 0]]}, r"point=\[64,0\] is outside the 64x48 video"),
    ({"points": [[1, 2, 3]]}, r"must be \[x,y\]"),
    ({"points": [1, 2]}, r"must be \[x,y\]"),
    ({"points": []}, "has no points"),
    ({"points": [[1, 2]], "labels": [0]}, "no point inside the object"),
    ({"points": [[1, 2]], "labels": [1, 0]}, "must be one per point"),
    ({"points": [[1, 2]], "labels": [2]}, "must be one per point"),
    ({"labels": [1]}, "give mask, box or points"),
    ({"box": [0, 0, 5, 5], "frame": 10}, "is for frame 10 but the video has 10 frames: give 0 to 9"),
    ({"box": [0, 0, 5, 5], "frame": -1}, "frame=-1 must be a whole number"),
    ({"mask": "missing.png"}, "missing.png: no such mask"),
    ({"file": "missing.json"}, "missing.json: no such prompt file"),
    ({"file": "p.json", "box": [0, 0, 5, 5]}, "cannot both be given"),
]


@pytest.mark.parametrize(("options", "words"), OPTIONS, ids=[words[:30] for _, words in OPTIONS])
def test_wrong_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as failure:
        schedule(read_prompts(**options), SIZE, 10)
    assert "\n" not in str(failure.value)


FILES: list[tuple[Any, str]] = [
    ({"object": 1}, "must be a list of prompts"),
    ([], "no prompt"),
    ([3], "prompt 1 is 3: give an object with the fields"),
    ([{"object": 1, "bx": [1, 2, 3, 4]}], r"prompt 1: unknown field 'bx': did you mean box\? \(valid: box, frame"),
    ([{"points": [[1, 2]], "refine": "no"}], "prompt 1: refine=no must be true or false, without quotes"),
    ([{"points": [[1, 2]], "refine": 0}], "refine=0 must be true or false"),
    ([{"points": [[1, 2]], "refine": None}], "refine=None must be true or false"),
    ([{"box": [1, 2, 3, 4]}, {"remove": "false"}], "prompt 2: remove=false must be true or false, without quotes"),
    (
        [{"box": [1, 2, 3, 4]}, {"frame": 2, "remove": True, "box": [1, 2, 3, 4]}],
        "prompt 2 removes its object: drop box",
    ),
    ([{"object": "1", "box": [1, 2, 3, 4]}], "object=1 must be a whole number, 0 or more, without quotes"),
    ([{"object": True, "box": [1, 2, 3, 4]}], "object=True must be a whole number"),
    ([{"frame": 1.5, "box": [1, 2, 3, 4]}], "frame=1.5 must be a whole number"),
    ([{"mask": {"size": [1, 2], "counts": "ab"}}], "mask={'size'.* must be text"),
    ([{"mask": 3}], "mask=3 must be text"),
    ([{"box": [True, 2, 3, 4]}], "must be .xmin,ymin,xmax,ymax. in pixels"),
    ([{"box": [10**400, 2, 3, 4]}], "must be .xmin,ymin,xmax,ymax. in pixels"),
    ([{"box": [float("nan"), 2, 3, 4]}], "must be .xmin,ymin,xmax,ymax. in pixels"),
    ([{"points": {"x": 1}}], "points={'x': 1} must be"),
    ([{"points": [[1, 2]], "labels": ["1"]}], "must be one per point"),
    ([{"object": 0, "box": [1, 2, 3, 4]}], "object 0 is out of range"),
    ([{"object": "cup", "box": [1, 2, 3, 4]}], "object=cup must be a whole number"),
    ([{"object": 1, "remove": True}], "removes object 1, which has no prompt before"),
    ([{"box": [1, 2, 3, 4]}, {"box": [1, 2, 3, 5]}], "object 1 is named twice on frame 0"),
    ([{"box": [1, 2, 3, 4]}, {"points": [[1, 2]], "refine": False}], "object 1 is named twice on frame 0"),
    ([{"box": [1, 2, 3, 4]}, {"frame": 99, "points": [[1, 2]]}], "prompt 2 is for frame 99"),
    ([{"points": [[1, 2]], "labels": [0], "refine": True}], "prompt 1 has no point inside the object"),
    (
        [{"box": [1, 2, 3, 4]}, {"frame": 3, "points": [[1, 2]], "labels": [0], "refine": False}],
        "prompt 2 has no point inside the object",
    ),
]


@pytest.mark.parametrize(("content", "words"), FILES, ids=[words[:30] for _, words in FILES])
def test_wrong_prompt_files(tmp_path: Path, content: Any, words: str) -> None:
    (tmp_path / "p.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=words):
        schedule(read_prompts(file=str(tmp_path / "p.json")), SIZE, 10)


def test_a_field_that_is_there_twice(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('[{"box": [1, 2, 3, 4], "frame": 1, "box": [1, 2, 9, 9]}]')
    with pytest.raises(InputError, match=r"p.json: not valid JSON .'box' is there twice in one object"):
        read_prompts(file=str(tmp_path / "p.json"))


def test_prompt_file_that_is_not_json(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('[{"box": [1, 2,')
    with pytest.raises(InputError, match=r"p.json: not valid JSON"):
        read_prompts(file=str(tmp_path / "p.json"))


def test_wrong_masks(tmp_path: Path) -> None:
    def refuse(name: str, words: str) -> None:
        with pytest.raises(InputError, match=words) as failure:
            schedule(read_prompts(mask=str(tmp_path / name)), SIZE, 10)
        assert name in str(failure.value)

    save_mask(tmp_path / "empty.png", painted())
    refuse("empty.png", "the mask is empty")
    save_mask(tmp_path / "small.png", painted(left=1)[:30])
    refuse("small.png", "the mask is 64x30 but the video is 64x48; resize the mask")
    (tmp_path / "text.png").write_text("hello")
    refuse("text.png", "cannot be read as an image")
    whole = save_mask(tmp_path / "cut.png", painted(left=1)).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    refuse("cut.png", "cannot be read as an image")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*SIZE, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    refuse("photo.png", "colour image")
    save_mask(tmp_path / "smooth.png", np.random.default_rng(0).integers(0, 255, SIZE))
    refuse("smooth.png", "grey levels; a mask has one per object")
    save_mask(tmp_path / "two.png", painted(left=1, right=2))
    (tmp_path / "p.json").write_text(json.dumps([{"object": 1, "mask": "two.png"}]))
    with pytest.raises(InputError, match="holds objects 1, 2; drop 'object'"):
        read_prompts(file=str(tmp_path / "p.json"))
