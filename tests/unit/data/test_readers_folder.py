"""Own videos as people have them: which truth is read, and which is refused before anything is tracked."""

import json

import numpy as np
import pytest
from PIL import Image

from framework.data.readers.boxes import Otb
from framework.data.readers.folder import AnyFolder
from framework.data.readers.vos import Davis, Davis2016
from framework.data.readers.vot import Vots
from framework.errors import InputError
from tests.miniatures import HEIGHT, WIDTH, labels_of, square, write_frames, write_labels, write_text

LENGTH = 4
MASKS = [square(2 + 3 * index, 3) for index in range(LENGTH)]


def clip(folder, **prompt):
    """A video with or without a prompt file."""
    write_frames(folder, LENGTH, first=0, digits=5, suffix=".png")
    if prompt:
        write_text(folder / "prompts.json", json.dumps([prompt]))
    return folder


def save(path, values, dtype=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(dtype)).save(path)


def only(root):
    return AnyFolder(str(root)).sequence(0)


def truths(video):
    return [video.truth(index) for index in range(video.length)]


def is_true(video, key=1):
    return all(
        same.keys() == {key} and np.array_equal(same[key], m) for same, m in zip(truths(video), MASKS, strict=True)
    )


@pytest.mark.parametrize(
    "text",
    [
        "1,2,4,5\n1,2,4,5\n1,2,4,5\n1,2,4,5\n",  # at rest
        "1,2,4,5\n1,2,5,6\n1,2,6,7\n1,2,7,8\n",  # grows where it is
        "1,2,4,4\n2,3,4,5\n3,4,5,4\n4,5,5,5\n",  # moves
        "1,2,4,5\n2,3,5,6\nnan,nan,nan,nan\n0,0,0,0\n",  # too little to tell
    ],
)
def test_boxes_that_are_no_corners(tmp_path, text):
    write_text(clip(tmp_path / "v") / "boxes.txt", text)
    assert only(tmp_path).truth_boxes(0) == {1: (1, 2, *(1 + int(text[4]), 2 + int(text[6])))}


def test_the_layout_of_davis_is_read(tmp_path):
    for name in ("street", "kitchen"):
        write_frames(tmp_path / "JPEGImages" / name, LENGTH, first=0, digits=5, suffix=".png")
    for index, mask in enumerate(MASKS):
        save(tmp_path / f"Annotations/kitchen/{index:05d}.png", mask * 255)
    data = AnyFolder(str(tmp_path))
    assert [data.sequence(index).name for index in range(len(data))] == ["kitchen", "street"]
    kitchen = AnyFolder(str(tmp_path), only=["kitchen"]).sequence(0)
    assert kitchen.length == LENGTH and is_true(kitchen) and list(kitchen.prompts()) == [0]
    with pytest.raises(InputError, match="street: nothing says where the object is"):
        data.sequence(1).prompts()


@pytest.mark.parametrize(("value", "dtype"), [(1, np.uint8), (7, np.uint8), (255, np.uint8), (65535, np.uint16)])
@pytest.mark.parametrize("prompted", [True, False])
def test_masks_of_one_object_have_any_value(tmp_path, value, dtype, prompted):
    folder = clip(tmp_path / "v", **({"box": [2, 3, 8, 9]} if prompted else {}))
    for index, mask in enumerate(MASKS):
        save(folder / f"masks/{index:05d}.png", mask * value, dtype)
    video = only(tmp_path)
    assert list(video.prompts()) == [0] and list(video.prompts()[0]) == [1] and is_true(video)


def test_masks_of_one_object_take_the_number_that_the_prompt_gives(tmp_path):
    folder = clip(tmp_path / "v", object=4, box=[2, 3, 8, 9])
    for index, mask in enumerate(MASKS):
        save(folder / f"masks/{index:05d}.png", mask * 255)
    assert is_true(only(tmp_path), key=4)


def test_void_is_void_where_any_frame_has_numbers(tmp_path):
    folder = clip(tmp_path / "v", box=[2, 3, 8, 9])
    for index, mask in enumerate(MASKS):
        values = mask * 1 if index != 2 else np.zeros(mask.shape)
        values[0] = 255  # on frame 2 it is the only value
        save(folder / f"masks/{index:05d}.png", values)
    found = [same[1] for same in truths(only(tmp_path))]
    assert [mask.any() for mask in found] == [True, True, False, True] and np.array_equal(found[3], MASKS[3])


def test_suffixes_in_capitals_and_hidden_files(tmp_path):
    folder = clip(tmp_path / "v", box=[2, 3, 8, 9])
    for index, mask in enumerate(MASKS):
        save(folder / f"masks/{index:05d}{'.png' if index % 2 else '.PNG'}", mask * 255)
        (folder / f"masks/._{index:05d}.png").write_bytes(b"\0\5\26\7")
        (folder / f"._{index:05d}.png").write_bytes(b"\0\5\26\7")
    (tmp_path / "__MACOSX" / "v").mkdir(parents=True)
    video = only(tmp_path)
    assert video.length == LENGTH and is_true(video) and len(AnyFolder(str(tmp_path))) == 1


@pytest.mark.parametrize("name", ["0", "00000000", "mask0", "00004"])
def test_a_mask_that_matches_no_frame_is_named(tmp_path, name):
    save(clip(tmp_path / "v", box=[2, 3, 8, 9]) / f"masks/{name}.png", MASKS[0] * 255)
    with pytest.raises(InputError, match=f"masks/{name}.png matches no frame of v: .* 00000 to 00003"):
        only(tmp_path).prompts()


def test_an_object_on_no_mask_is_refused(tmp_path):
    folder = clip(tmp_path / "v", object=2, box=[2, 3, 8, 9])
    for index, mask in enumerate(MASKS):
        write_labels(folder / f"masks/{index:05d}.png", labels_of({1: mask, 3: square(20, 16)}))
    with pytest.raises(
        InputError, match=r"prompts.json: object 2 is on none of the masks in .*\(objects there: 1, 3\)"
    ):
        only(tmp_path).prompts()


def test_masks_of_another_size_are_refused(tmp_path):
    folder = clip(tmp_path / "v", box=[2, 3, 8, 9])
    save(folder / "masks/00000.png", MASKS[0] * 255)
    save(folder / "masks/00003.png", MASKS[3][:10, :12] * 255)
    with pytest.raises(InputError, match=r"masks/00003.png is 12x10 but the frames of v are 32x24"):
        only(tmp_path).prompts()


def test_a_picture_beside_the_sequences(tmp_path):
    clip(tmp_path / "v", box=[2, 3, 8, 9])
    save(tmp_path / "thumbnail.png", MASKS[0])
    with pytest.raises(InputError, match=f"holds images and the sequence v: .* data.root={tmp_path / 'v'}"):
        len(AnyFolder(str(tmp_path)))
    for index in range(LENGTH):
        save(tmp_path / f"v/depth/{index}.png", MASKS[0])  # images of a sequence's own
    assert AnyFolder(str(tmp_path / "v")).names == ("v",)


def test_boxes_start_at_the_first_known_one(tmp_path):
    write_text(clip(tmp_path / "v") / "boxes.txt", "nan,nan,nan,nan\n0,0,0,0\n3,4,5,6\n-1,-1,-1,-1\n")
    video = only(tmp_path)
    assert video.prompts()[2][1].box == (3, 4, 8, 10) and video.starts == {1: 2}
    assert [video.truth_boxes(index) for index in range(4)] == [{}, {1: None}, {1: (3, 4, 8, 10)}, {1: None}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2,3,6,6\n" * 5, "v: 5 boxes for 4 frames"),
        ("2,3,6,6\n\n2,3,6,6\n2,3,6,6\n", "boxes.txt, line 2: blank"),
        ("2,3,6,6,1\n" * 4, "boxes.txt, line 1: 5 numbers where 4 are needed"),
        ("1,2,4,5\n2,3,5,6\n4,4,7,7\n5,6,8,9\n", "boxes.txt: its rows look like xmin, ymin, xmax, ymax"),
        ("2,3,6,6\n2,3,-6,6\n2,3,6,6\n2,3,6,6\n", "boxes.txt, line 2: width or height is below 0"),
        ("40,3,6,6\n" * 4, r"v: its first box \(40, 3, 6, 6: x, y, width, height\) is outside the 32x24 frames"),
        ("", "v: 0 boxes for 4 frames"),
        ("nan,nan,nan,nan\n" * 4, "v: nothing says where the object is"),
    ],
)
def test_boxes_that_cannot_be(tmp_path, text, words):
    write_text(clip(tmp_path / "v") / "boxes.txt", text)
    with pytest.raises(InputError, match=words):
        only(tmp_path).prompts()


def test_a_file_is_no_folder_of_videos(tmp_path):
    write_text(tmp_path / "clip.mp4", "")
    with pytest.raises(InputError, match=r"clip.mp4 is a file: get the data from .* give data.root=FOLDER"):
        AnyFolder(str(tmp_path / "clip.mp4"))


def test_boxes_are_of_object_1(tmp_path):
    write_text(clip(tmp_path / "v", object=2, box=[2, 3, 8, 9]) / "boxes.txt", "2,3,6,6\n" * 4)
    with pytest.raises(InputError, match=r"boxes.txt is of object 1, but .*prompts.json has others"):
        only(tmp_path).prompts()


# ---- the same kinds in published layouts


@pytest.mark.parametrize("kind", [Davis, Davis2016])
def test_davis_masks_of_0_and_255(tmp_path, kind):
    write_frames(tmp_path / "JPEGImages/480p/dog", LENGTH, first=0, digits=5)
    for index, mask in enumerate(MASKS):
        save(tmp_path / f"Annotations/480p/dog/{index:05d}.png", mask * 255)
    write_text(tmp_path / "ImageSets/2017/val.txt", "dog\n")
    video = kind(str(tmp_path)).sequence(0)
    assert np.array_equal(video.prompts()[0][1].mask, MASKS[0]) and is_true(video)
    assert video.labels(1).max() == 1


def test_davis2016_takes_its_lists_where_there_are_any(tmp_path):
    for name in ("bear", "camel", "dog"):
        write_frames(tmp_path / "JPEGImages/480p" / name, 2, first=0, digits=5)
    data = Davis2016(str(tmp_path))
    assert data.names == ("bear", "camel", "dog") and data.name == "davis2016-all-480p"
    pairs = [
        f"/JPEGImages/480p/{name}/{i:05d}.jpg /Annotations/480p/{name}/{i:05d}.png"
        for name, i in (("dog", 0), ("dog", 1), ("bear", 0), ("bear", 1))
    ]
    write_text(tmp_path / "ImageSets/480p/val.txt", "\n".join(pairs) + "\n")
    data = Davis2016(str(tmp_path))
    assert data.names == ("dog", "bear") and data.name == "davis2016-val-480p"
    write_text(tmp_path / "ImageSets/2016/train.txt", "camel\n")
    assert Davis2016(str(tmp_path), split="train").names == ("camel",)
    with pytest.raises(InputError, match=r"data.split=test is unknown: use val or train or trainval"):
        Davis2016(str(tmp_path), split="test")


def test_otb_diving_as_published(tmp_path):
    """231 frames and 215 rows: it is annotated up to frame 215."""
    write_frames(tmp_path / "Diving/img", 231, digits=4)
    write_text(tmp_path / "Diving/groundtruth_rect.txt", "2,3,6,6\n" * 215)
    video = Otb(str(tmp_path)).sequence(0)
    assert video.length == 215 and video.truth_boxes(214) == {1: (2, 3, 8, 9)}


def vot(folder, lines):
    write_frames(folder / "ball1", LENGTH)
    write_text(folder / "ball1/groundtruth.txt", "".join(f"{line}\n" for line in lines))
    write_text(folder / "list.txt", "ball1\n")
    return Vots(str(folder)).sequence(0)


def test_vot2015_has_eight_numbers_and_no_sequence_file(tmp_path):
    video = vot(tmp_path, ["2.2,9.1,2.4,3.0,8.0,3.1,7.9,9.0"] * LENGTH)
    assert (video.length, video.size) == (LENGTH, (HEIGHT, WIDTH))
    assert video.prompts()[0][1].box == (2, 3, 9, 10) and video.truth_boxes(3) == {1: (2, 3, 9, 10)}


def test_eight_numbers_are_no_box_of_a_folder(tmp_path):
    write_text(clip(tmp_path / "v") / "boxes.txt", "2.2,9.1,2.4,3.0,8.0,3.1,7.9,9.0\n" * 4)
    with pytest.raises(InputError, match=r"boxes.txt, line 1: 8 numbers where 4 are needed"):
        only(tmp_path).prompts()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["2,3,6,6", "", "2,3,6,6", "2,3,6,6"], "groundtruth.txt, line 2: blank"),
        (["2,3,6,6"] * 5, "groundtruth.txt: 5 regions for 4 frames"),
        (["2,3,6,6", "2,3,inf,6", "2,3,6,6", "2,3,6,6"], "groundtruth.txt, line 2: not a VOT region"),
        (["90,3,6,6"] * 4, "its first box .* is outside the 32x24 frames"),
        (["m90,3,2,2,0,4"] * 4, "the mask to start from on frame 0 is outside the frames"),
    ],
)
def test_vot_truths_that_cannot_be(tmp_path, lines, words):
    video = vot(tmp_path, lines)
    with pytest.raises(InputError, match=words):
        video.prompts()
        video.regions(1)


@pytest.mark.parametrize("channel", ["color", "color/", "color/%08d.jpg"])
def test_vot_channel_is_a_pattern_or_a_folder(tmp_path, channel):
    write_frames(tmp_path / "ball1/color", LENGTH)
    write_text(tmp_path / "ball1/sequence", f"channels.color={channel}\n")
    write_text(tmp_path / "ball1/groundtruth.txt", "2,3,6,6\n" * LENGTH)
    write_text(tmp_path / "list.txt", "ball1\n")
    assert Vots(str(tmp_path)).sequence(0).length == LENGTH
