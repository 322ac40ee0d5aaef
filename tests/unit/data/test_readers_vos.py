"""Readers of mask data sets on miniatures of the real layouts, odd cases included."""

import json

import numpy as np
import pytest
from PIL import Image

from framework.data.readers.folder import AnyFolder
from framework.data.readers.vos import Davis, Lvos, Mose, SaV, YoutubeVos
from framework.data.sequence import BoxedSequence, DataSet, ReleasedSequence
from framework.errors import InputError
from framework.metrics.vos import Span
from tests.miniatures import (
    HEIGHT,
    NOTHING,
    WIDTH,
    labels_of,
    shown,
    square,
    write_binary,
    write_frames,
    write_labels,
    write_text,
)

A, B = square(2, 3), square(12, 10)


def same(masks, expected):
    return masks.keys() == expected.keys() and all(np.array_equal(masks[key], expected[key]) for key in expected)


def test_davis_keeps_the_objects_of_the_first_frame(tmp_path):
    write_frames(tmp_path / "JPEGImages/480p/bear", 3, first=0, digits=5)
    later = square(20, 2, 3)
    void = labels_of({1: A, 2: B})
    void[0] = 255  # nobody's
    for index, labels in enumerate([void, labels_of({1: B, 3: later}), labels_of({})]):
        write_labels(tmp_path / f"Annotations/480p/bear/{index:05d}.png", labels)
    write_text(tmp_path / "ImageSets/2017/val.txt", "bear\n")
    data = Davis(str(tmp_path))
    video = data.sequence(0)
    assert isinstance(data, DataSet) and isinstance(video, ReleasedSequence) and not isinstance(video, BoxedSequence)
    assert (data.name, video.length, video.size) == ("davis2017-val-480p", 3, (HEIGHT, WIDTH))
    assert same({key: prompt.mask for key, prompt in video.prompts()[0].items()}, {1: A, 2: B})
    assert same(video.truth(0), {1: A, 2: B})
    assert same(video.truth(1), {1: B, 2: NOTHING}) and same(video.truth(2), {1: NOTHING, 2: NOTHING})
    assert [video.frame_name(i) for i in range(3)] == ["00000", "00001", "00002"]


def test_mose_truth_is_secret_but_for_the_first_frame(tmp_path):
    write_frames(tmp_path / "valid/JPEGImages/0a1b", 3, first=0, digits=5)
    write_labels(tmp_path / "valid/Annotations/0a1b/00000.png", labels_of({1: A, 4: B}))
    for version in (1, 2):
        data = Mose(str(tmp_path), version=version)
        assert data.name == f"mose-v{version}-valid"
        video = data.sequence(0)
        assert sorted(video.prompts()[0]) == [1, 4]
        assert [sorted(video.truth(i)) for i in range(3)] == [[1, 4], [], []]


def write_youtube(root):
    for index in range(0, 11, 5):
        write_frames(root / "valid/JPEGImages/4f2a", 1, first=index, digits=5)
    write_labels(root / "valid/Annotations/4f2a/00000.png", labels_of({1: A}))
    write_labels(root / "valid/Annotations/4f2a/00005.png", labels_of({1: A, 2: B}))
    objects = {"1": {"category": "cat", "frames": ["00000", "00005"]}, "2": {"category": "cat", "frames": ["00005"]}}
    write_text(root / "valid/meta.json", json.dumps({"videos": {"4f2a": {"objects": objects}}}))


def test_youtube_objects_appear_later(tmp_path):
    write_youtube(tmp_path)
    video = YoutubeVos(str(tmp_path)).sequence(0)
    assert video.length == 3
    assert {frame: list(given) for frame, given in video.prompts().items()} == {0: [1], 1: [2]}
    # On the frame where the second appears, the first one's mask is not what it is scored on.
    assert same(video.truth(0), {1: A}) and same(video.truth(1), {2: B}) and same(video.truth(2), {})


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ([], "meta.json is .*: give an object"),
        ({}, "meta.json has no field 'videos'"),
        ({"videos": {"4f2a": {"objects": [1]}}}, "meta.json, videos, 4f2a, objects is .1.: give an object"),
        ({"videos": {"4f2a": {"objects": {"cat": {"frames": ["00000"]}}}}}, "'cat' is no object number"),
        (
            {"videos": {"4f2a": {"objects": {"1": {"frames": "00000"}}}}},
            "objects, 1: frames=00000 must be a list of texts",
        ),
        ({"videos": {"4f2a": {"objects": {"1": {"frames": []}}}}}, "objects, 1: frames=.. must be a list of texts"),
    ],
)
def test_every_field_of_a_meta_file_is_checked(tmp_path, meta, words):
    write_youtube(tmp_path)
    write_text(tmp_path / "valid/meta.json", json.dumps(meta))
    with pytest.raises(InputError, match=words):
        YoutubeVos(str(tmp_path)).sequence(0)


def test_youtube_at_its_own_rate(tmp_path):
    write_youtube(tmp_path)
    write_frames(tmp_path / "valid_all_frames/JPEGImages/4f2a", 11, first=0, digits=5)
    data = YoutubeVos(str(tmp_path), all_frames=True)
    video = data.sequence(0)
    assert data.name == "youtube-vos-valid-all-frames" and video.length == 11
    assert {frame: list(given) for frame, given in video.prompts().items()} == {0: [1], 5: [2]}
    asked = {i: video.frame_name(i) for i in range(11) if video.frame_name(i)}
    assert asked == {0: "00000", 5: "00005", 10: "00010"}


def test_lvos_objects_have_frames_of_their_own(tmp_path):
    write_frames(tmp_path / "valid/JPEGImages/v1", 11)
    for number, masks in ((1, {1: A}), (6, {1: A, 2: B}), (11, {2: B})):
        write_labels(tmp_path / f"valid/Annotations/v1/{number:08d}.png", labels_of(masks))
    ranges = {"1": ("1", "12", "3"), "2": ("6", "12", "2")}
    objects = {k: {"frame_range": dict(zip(("start", "end", "frame_nums"), r, strict=True))} for k, r in ranges.items()}
    write_text(tmp_path / "valid/valid_meta.json", json.dumps({"videos": {"v1": {"objects": objects}}}))
    write_text(tmp_path / "valid/unseen_videos.txt", "v1\n")
    video = Lvos(str(tmp_path)).sequence(0)
    assert {frame: list(given) for frame, given in video.prompts().items()} == {0: [1], 5: [2]}
    assert video.spans == {1: Span(1, 12, 3), 2: Span(6, 12, 2)} and not video.seen
    assert same(video.truth(5), {1: A, 2: B}) and same(video.truth(10), {1: NOTHING, 2: B})
    assert video.truth(4) == {}  # not annotated


def test_sav_objects_overlap(tmp_path):
    root = tmp_path / "sav_val"
    write_frames(root / "JPEGImages_24fps/sav_000001", 9, first=0, digits=5)
    over = square(4, 5)
    for name, masks in {"000": {0: A, 4: A, 8: NOTHING}, "002": {0: NOTHING, 4: over, 8: over}}.items():
        for index, mask in masks.items():
            write_binary(root / f"Annotations_6fps/sav_000001/{name}/{index:05d}.png", mask)
    write_text(root / "sav_val.txt", "sav_000001\n")
    for place in (tmp_path, root):
        video = SaV(str(place)).sequence(0)
        assert video.object_names == {1: "000", 2: "002"}
        assert {frame: list(given) for frame, given in video.prompts().items()} == {0: [1], 4: [2]}
        assert same(video.truth(0), {1: A}) and same(video.truth(4), {1: A, 2: over})
        assert same(video.truth(8), {1: NOTHING, 2: over}) and video.truth(3) == {}
        assert (A & over).any()


def test_any_folder(tmp_path):
    masked, boxed, asked = (tmp_path / "videos" / name for name in ("masked", "boxed", "asked"))
    write_frames(masked, 3, first=8, digits=1, suffix=".png")
    write_labels(masked / "masks/8.png", labels_of({2: A}))
    write_labels(masked / "masks/10.png", labels_of({1: B}))
    write_frames(boxed / "frames", 3)
    write_text(boxed / "boxes.txt", "2,3,6,6\nNaN,NaN,NaN,NaN\n0,0,0,0\n")
    write_frames(asked, 3)
    write_text(asked / "prompts.json", json.dumps([{"object": 3, "frame": 1, "box": [2, 3, 8, 9]}]))
    (tmp_path / "videos" / "notes").mkdir()
    data = AnyFolder(str(tmp_path / "videos"))
    assert data.names == ("asked", "boxed", "masked") and data.name == "videos-v1"
    third, second, first = (data.sequence(index) for index in range(3))
    assert [shown(first, i) for i in range(3)] == [0, 1, 2] and first.frame_name(2) == "10"
    assert {frame: list(given) for frame, given in first.prompts().items()} == {0: [2], 2: [1]}
    assert same(first.truth(2), {1: B, 2: NOTHING}) and first.truth(1) == {}
    assert second.prompts()[0][1].box == (2.0, 3.0, 8.0, 9.0)
    assert [second.truth_boxes(i) for i in range(3)] == [{1: (2.0, 3.0, 8.0, 9.0)}, {}, {1: None}]
    assert third.prompts()[1][3].box == (2.0, 3.0, 8.0, 9.0) and third.truth(1) == {} == third.truth_boxes(1)
    assert AnyFolder(str(masked)).names == ("masked",)


def test_objects_are_kept_to_the_end(tmp_path):
    write_frames(tmp_path / "v", 3)
    given = [{"box": [2, 3, 8, 9]}, {"frame": 2, "remove": True}]
    write_text(tmp_path / "v/prompts.json", json.dumps(given))
    with pytest.raises(InputError, match="a data set keeps its objects to the end; drop 'remove'"):
        AnyFolder(str(tmp_path)).sequence(0).prompts()


def test_a_data_set_gives_one_prompt_per_object_and_frame(tmp_path):
    write_frames(tmp_path / "v", 3)
    write_text(tmp_path / "v/prompts.json", json.dumps([{"box": [2, 3, 8, 9]}, {"points": [[4, 5]]}]))
    with pytest.raises(InputError, match="object 1 has 2 on frame 0: keep one"):
        AnyFolder(str(tmp_path)).sequence(0).prompts()


def test_a_folder_that_says_nothing(tmp_path):
    write_frames(tmp_path / "bare", 2)
    with pytest.raises(InputError, match=r"bare: nothing says where the object is; add prompts.json"):
        AnyFolder(str(tmp_path)).sequence(0).prompts()


def test_damaged_annotation_is_named(tmp_path):
    write_frames(tmp_path / "valid/JPEGImages/v", 2, first=0, digits=5)
    path = tmp_path / "valid/Annotations/v/00000.png"
    path.parent.mkdir(parents=True)
    Image.new("RGB", (WIDTH, HEIGHT), (1, 2, 3)).save(path)
    for message in ("the mask is a colour image", "is 10x10 but the frames of v are 32x24", "no object is"):
        with pytest.raises(InputError, match=message):
            Mose(str(tmp_path)).sequence(0).prompts()
        size = (WIDTH, HEIGHT) if "10x10" in message else (10, 10)
        Image.new("L", size, 0 if "10x10" in message else 1).save(path)


@pytest.mark.parametrize("kind", [Davis, Mose, YoutubeVos, Lvos, SaV, AnyFolder])
def test_missing_data_say_where_they_are(kind, tmp_path):
    for root in (None, str(tmp_path / "nowhere")):
        with pytest.raises(InputError) as caught:
            kind(root)
        line = str(caught.value)
        assert kind.release.page in line and "give data.root=FOLDER, which holds" in line and "\n" not in line
    with pytest.raises(InputError, match="get the data from"):
        len(kind(str(tmp_path)))
