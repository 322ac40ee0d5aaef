"""Readers of VOT data sets on miniatures of the real layouts, odd cases included."""

import numpy as np
import pytest

from framework.data.readers.vot import Didi, Vots, VotSt
from framework.data.sequence import BoxedSequence, DataSet, ReleasedSequence
from framework.errors import InputError
from framework.metrics.regions import UNKNOWN, Mask, parse_region
from tests.miniatures import HEIGHT, NOTHING, WIDTH, shown, square, write_frames, write_text


def write_video(folder, frames, truth, **files):
    """Text of each file: `truth` by the object's name, "" for a single one."""
    write_frames(folder / "color", frames)
    about = (
        f"channels.color=color/%08d.jpg\nname={folder.name}\nfps=30\nlength={frames}\nwidth={WIDTH}\nheight={HEIGHT}"
    )
    write_text(folder / "sequence", about)
    for key, lines in truth.items():
        write_text(folder / f"groundtruth{key and '_'}{key}.txt", "\n".join(lines) + "\n")
    for name, text in files.items():
        write_text(folder / name.replace("__", "."), text)
    with (folder.parent / "list.txt").open("a") as file:
        file.write(f"{folder.name}\n")


def text(mask):
    return Mask(mask).text


def test_didi_starts_from_a_mask_and_is_scored_on_rectangles(tmp_path):
    truth = ["2,3,6,6", "0,0,0,0", "nan,nan,nan,nan"]  # visible, absent, unknown; then the file ends early
    write_video(tmp_path / "ants1", 4, {"": truth}, first_frame_segm__txt=text(square(2, 3)) + "\n")
    data = Didi(str(tmp_path))
    video = data.sequence(0)
    assert isinstance(data, DataSet) and isinstance(video, BoxedSequence) and isinstance(video, ReleasedSequence)
    assert (data.names, video.length, video.size) == (("ants1",), 4, (HEIGHT, WIDTH))
    assert [video.truth_boxes(i) for i in range(4)] == [{1: (2.0, 3.0, 8.0, 9.0)}, {1: None}, {}, {}]
    assert all(not video.truth(i) for i in range(4))
    assert np.array_equal(video.prompts()[0][1].mask, square(2, 3))
    assert video.result_name(1) == "ants1_001"


def write_multistart(root):
    masks = [square(2 + i, 3 + i) for i in range(6)]
    lines = [text(mask) for mask in masks]
    write_video(root / "sequences" / "ball", 6, {"": lines}, anchor__value="1\n0\n2\n0\n0\n-1\n")
    return masks


def test_every_anchor_is_a_run(tmp_path):
    masks = write_multistart(tmp_path)
    data = VotSt(str(tmp_path))  # the workspace
    assert data.names == ("ball_00000000", "ball_00000002", "ball_00000005")
    whole, late, backward = (data.sequence(index) for index in range(3))
    assert [video.length for video in (whole, late, backward)] == [6, 4, 6]
    assert [shown(late, i) for i in range(4)] == [2, 3, 4, 5]
    assert [shown(backward, i) for i in range(6)] == [5, 4, 3, 2, 1, 0]
    assert np.array_equal(late.prompts()[0][1].mask, masks[2])
    assert np.array_equal(backward.prompts()[0][1].mask, masks[5])
    assert all(np.array_equal(backward.truth(i)[1], masks[5 - i]) for i in range(6))
    assert [video.result_name(1) for video in (late, backward)] == ["ball_00000002", "ball_00000005"]
    assert VotSt(str(tmp_path / "sequences")).names == data.names


def test_anchors_that_cannot_be_started_from(tmp_path):
    folder = tmp_path / "ball"
    write_video(folder, 2, {"": ["0,0,0,0", "2,2,4,4"]}, anchor__value="1\n0\n")
    with pytest.raises(InputError, match="has no region to start from"):
        VotSt(str(tmp_path)).sequence(0).prompts()
    write_text(folder / "anchor.value", "0\n0\n")
    with pytest.raises(InputError, match="no anchor to start from"):
        len(VotSt(str(tmp_path)))


def test_vots_objects_may_overlap_appear_later_and_vanish(tmp_path):
    first, second = square(2, 3), square(5, 5)
    write_video(
        tmp_path / "sequences" / "pair",
        3,
        {
            "cat": [text(first), "m0,0,0,0,0", text(first)],
            "dog": ["0", text(second)],
            "_ignore": ["0", "0", "0"],
        },
    )
    video = Vots(str(tmp_path)).sequence(0)
    assert video.object_names == {1: "cat", 2: "dog"} and video.result_name(2) == "pair_dog_001"
    prompts = video.prompts()
    assert {frame: list(given) for frame, given in prompts.items()} == {0: [1], 1: [2]}
    assert np.array_equal(prompts[1][2].mask, second)
    assert np.array_equal(video.truth(0)[1], first) and 2 not in video.truth(0)
    assert np.array_equal(video.truth(1)[1], NOTHING) and np.array_equal(video.truth(1)[2], second)
    assert list(video.truth(2)) == [1] and video.regions(2)[2] == UNKNOWN


def test_secret_truth_leaves_the_first_region(tmp_path):
    write_video(tmp_path / "one", 3, {"": [text(square(2, 3))]})
    write_video(tmp_path / "two", 3, {"7": [text(square(2, 3))]})  # named, but alone
    assert Vots(str(tmp_path)).sequence(1).result_name(1) == "two_001"
    video = Vots(str(tmp_path), split="2025").sequence(0)
    assert video.object_names == {} and video.result_name(1) == "one_001"
    assert video.prompts()[0][1].mask.any() and [len(video.truth(i)) for i in range(3)] == [1, 0, 0]


def test_a_mask_of_more_run_lengths_than_a_binary_file_can_count(tmp_path):
    rough = np.indices((300, 300)).sum(axis=0) % 2 == 0
    assert len(Mask(rough).run_lengths) > 65535
    write_video(tmp_path / "noise", 1, {"": [text(rough)]})
    assert Vots(str(tmp_path)).sequence(0).region(1, 0) == Mask(rough)


def test_damaged_line_is_named(tmp_path):
    write_video(tmp_path / "one", 2, {"": ["2,3,6,6", "2,3,six,6"]})
    with pytest.raises(InputError, match=r"groundtruth.txt, line 2: not a VOT region: '2,3,six,6'"):
        Vots(str(tmp_path)).sequence(0).truth_boxes(1)


@pytest.mark.parametrize("separator", [",", ", ", "\t", " ", ";", " ; "])
def test_numbers_of_a_region_are_separated_as_in_other_rows(tmp_path, separator):
    lines = ["2.5,3,6,6", "1,2,9,2,5,8", text(square(2, 3)), "nan,nan,nan,nan", "0"]
    write_video(tmp_path / "one", 5, {"": [line.replace(",", separator) for line in lines]})
    assert Vots(str(tmp_path)).sequence(0).regions(1) == tuple(map(parse_region, lines))


@pytest.mark.parametrize(
    "line",
    ["2,3,6", "2,3,6,6,5", "2,3,6,1_0", "2,3,6,inf", "2,3,6,nan", "0.5", "m0,0,4,4,20", "m0,0,99999999,99999999,1"],
)
def test_what_is_no_region_is_refused(tmp_path, line):
    write_video(tmp_path / "one", 2, {"": ["2,3,6,6", line]})
    with pytest.raises(InputError, match=r"groundtruth.txt, line 2: not a VOT region"):
        Vots(str(tmp_path)).sequence(0).region(1, 1)


@pytest.mark.parametrize("kind", [Didi, VotSt, Vots])
def test_missing_data_say_where_they_are(kind, tmp_path):
    for root in (None, str(tmp_path / "nowhere")):
        with pytest.raises(InputError) as caught:
            kind(root)
        assert kind.release.page in str(caught.value) and "which holds list.txt" in str(caught.value)
    with pytest.raises(InputError, match="get the data from"):
        len(kind(str(tmp_path)))


def test_sequences_without_a_list_are_those_with_a_ground_truth(tmp_path):
    """As VOT2013 to VOT2015 lie: frames and eight numbers a row in the sequence's own folder."""
    for place in (tmp_path, tmp_path / "workspace" / "sequences"):
        for name in ("ball10", "ball2"):
            write_frames(place / name, 2)
            write_text(place / name / "groundtruth.txt", "2,3,8,3,8,9,2,9\n3,3,9,3,9,9,3,9\n")
        write_frames(place / "other", 2)
    for root in (tmp_path, tmp_path / "workspace"):
        data = Vots(str(root), split="2015")
        assert data.names == ("ball2", "ball10")
        video = data.sequence(0)
        assert (video.length, video.prompts()[0][1].box) == (2, (2.0, 3.0, 9.0, 10.0))
        assert video.truth_boxes(1) == {1: (3.0, 3.0, 10.0, 10.0)}
    write_text(tmp_path / "list.txt", "ball10\n")
    assert Vots(str(tmp_path)).names == ("ball10",)
