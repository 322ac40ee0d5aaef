"""Readers of box data sets on miniatures of the real layouts, odd cases included."""

import numpy as np
import pytest

from framework.data.readers.boxes import Got10k, Lasot, LasotExtension, Nfs, Otb, Tnl2k, TrackingNet, Uav123
from framework.data.sequence import BoxedSequence, DataSet, ReleasedSequence
from framework.errors import InputError
from tests.miniatures import HEIGHT, WIDTH, shown, square, write_binary, write_frames, write_text


def rows(count, delimiter=",", start=0):
    return "".join(delimiter.join(map(str, (2 + i, 3, 6, 5))) + "\n" for i in range(start, start + count))


def box(index):
    return (2.0 + index, 3.0, 8.0 + index, 8.0)


def write_lasot(root, name="cup-3", frames=4, occluded="0,0,1,0", outside="0,0,0,1"):
    folder = root / name.rpartition("-")[0] / name
    write_frames(folder / "img", frames)
    write_text(folder / "groundtruth.txt", rows(frames))
    write_text(folder / "full_occlusion.txt", occluded)  # one row, as published
    write_text(folder / "out_of_view.txt", outside)
    return folder


def test_lasot(tmp_path):
    for name in ("cup-3", "electric fan-1"):
        write_lasot(tmp_path, name)
    write_text(tmp_path / "testing_set.txt", "electric fan-1\ncup-3\n")
    data = Lasot(str(tmp_path))
    assert isinstance(data, DataSet) and data.name == "lasot-test"
    assert data.names == ("electric fan-1", "cup-3") and len(Lasot(str(tmp_path), limit=1)) == 1
    video = data.sequence(1)
    assert isinstance(video, BoxedSequence) and isinstance(video, ReleasedSequence)
    assert (video.name, video.length, video.size) == ("cup-3", 4, (HEIGHT, WIDTH))
    assert [shown(video, i) for i in range(4)] == [0, 1, 2, 3] and video.frame_name(0) == "00000001"
    assert [video.truth_boxes(i) for i in range(4)] == [{1: box(0)}, {1: box(1)}, {1: None}, {1: None}]
    assert video.annotation.rows[2].tolist() == [4, 3, 6, 5]  # what was annotated all the same
    assert video.prompts()[0][1].box == box(0) and not video.truth(0)


def test_lasot_in_one_folder_and_starting_from_masks(tmp_path):
    write_lasot(tmp_path / "flat").rename(tmp_path / "flat" / "cup-3")
    write_text(tmp_path / "flat" / "testing_set.txt", "cup-3\n")
    write_binary(tmp_path / "sam_masks" / "cup-3.png", square(2, 3))
    data = Lasot(str(tmp_path / "flat"), init_masks=str(tmp_path / "sam_masks"))
    assert data.name == "lasot-test-sam_masks"
    prompt = data.sequence(0).prompts()[0][1]
    assert prompt.box is None and np.array_equal(prompt.mask, square(2, 3))


def test_lasot_extension_is_what_is_there(tmp_path):
    for name in ("rhino-10", "rhino-9", "atv-1"):
        write_lasot(tmp_path, name)
    assert LasotExtension(str(tmp_path)).names == ("atv-1", "rhino-9", "rhino-10")


def test_tnl2k(tmp_path):
    for name in ("Cup_video_10", "Cup_video_9"):
        write_frames(tmp_path / name / "imgs", 3)
        write_text(tmp_path / name / "groundtruth.txt", rows(2) + "0,0,0,0\n")
    data = Tnl2k(str(tmp_path))
    assert data.name == "tnl2k" and data.names == ("Cup_video_9", "Cup_video_10")
    video = data.sequence(1)
    assert (video.name, video.length) == ("Cup_video_10", 3)
    assert [video.truth_boxes(i) for i in range(3)] == [{1: box(0)}, {1: box(1)}, {1: None}]
    assert video.prompts()[0][1].box == box(0)
    write_text(tmp_path / "Cup_video_9" / "groundtruth.txt", "2 3 6\n")
    with pytest.raises(InputError, match=r"groundtruth.txt, line 1: 3 numbers where 4 are needed"):
        data.sequence(0).prompts()


def test_damaged_annotation_is_named(tmp_path):
    folder = write_lasot(tmp_path, occluded="0,0,1")
    write_text(tmp_path / "testing_set.txt", "cup-3\n")
    video = Lasot(str(tmp_path)).sequence(0)
    with pytest.raises(InputError, match="4 boxes but 3 and 4 absence flags"):
        video.prompts()
    write_text(folder / "full_occlusion.txt", "0,0,1,0")
    write_frames(folder / "img", 5)
    with pytest.raises(InputError, match="cup-3: 4 boxes for 5 frames"):
        Lasot(str(tmp_path)).sequence(0).prompts()
    write_text(folder / "groundtruth.txt", "1,2,3\n1,2,x\n")
    with pytest.raises(InputError, match=r"groundtruth.txt, line 1: 3 numbers where 4 are needed"):
        Lasot(str(tmp_path)).sequence(0).prompts()


def test_got10k(tmp_path):
    for split, name in (("val", "GOT-10k_Val_000001"), ("test", "GOT-10k_Test_000001")):
        folder = tmp_path / split / name
        write_frames(folder, 3)
        write_text(tmp_path / split / "list.txt", f"{name}\n")
        write_text(folder / "groundtruth.txt", "2.0000,3.0000,6.0000,5.0000\n" if split == "test" else rows(3))
    write_text(folder.parent.parent / "val" / "GOT-10k_Val_000001" / "cover.label", "8\n0\n3\n")
    video = Got10k(str(tmp_path), split="val").sequence(0)
    assert video.length == 3  # label files are no frames
    assert [video.truth_boxes(i) for i in range(3)] == [{1: box(0)}, {1: None}, {1: box(2)}]
    assert video.annotation.cover.tolist() == [8, 0, 3]
    hidden = Got10k(str(tmp_path)).sequence(0)
    assert hidden.length == 3 and hidden.prompts()[0][1].box == box(0)
    assert [hidden.truth_boxes(i) for i in range(3)] == [{1: box(0)}, {}, {}]
    with pytest.raises(InputError, match=r"data.split=testing is unknown: use test or val or train"):
        Got10k(str(tmp_path), split="testing")


def test_trackingnet_frames_count_from_zero(tmp_path):
    write_frames(tmp_path / "TEST" / "frames" / "0-6LB4FqxoE_0", 11, first=0, digits=1)
    write_text(tmp_path / "TEST" / "anno" / "0-6LB4FqxoE_0.txt", "2,3,6,5\n")
    data = TrackingNet(str(tmp_path))
    video = data.sequence(0)
    assert data.names == ("0-6LB4FqxoE_0",)
    assert [shown(video, i) for i in range(11)] == list(range(11))  # 10.jpg comes after 9.jpg


def test_otb(tmp_path):
    write_frames(tmp_path / "Jogging" / "img", 4, digits=4)
    write_text(tmp_path / "Jogging" / "groundtruth_rect.1.txt", rows(4, "\t"))
    write_text(tmp_path / "Jogging" / "groundtruth_rect.2.txt", rows(4, ", ", start=1))
    write_frames(tmp_path / "Human4" / "img", 2, digits=4)
    write_text(tmp_path / "Human4" / "groundtruth_rect.2.txt", rows(2, " "))
    write_frames(tmp_path / "Tiger1" / "img", 9, digits=4)
    write_text(tmp_path / "Tiger1" / "groundtruth_rect.txt", rows(9))
    data = Otb(str(tmp_path))
    assert data.names == ("Human4", "Jogging-1", "Jogging-2", "Tiger1")
    first, second, tiger = (data.open(name) for name in data.names[1:])
    assert first.prompts()[0][1].box == box(0) and second.prompts()[0][1].box == box(1)
    assert (tiger.length, shown(tiger, 0), tiger.truth_boxes(0)) == (4, 5, {1: box(5)})


def test_otb_part_of_a_video(tmp_path):
    write_frames(tmp_path / "Football1" / "img", 75, digits=4)
    write_text(tmp_path / "Football1" / "groundtruth_rect.txt", rows(74))
    assert Otb(str(tmp_path)).sequence(0).length == 74


def test_nfs_is_annotated_at_240_fps(tmp_path):
    folder = tmp_path / "airboard_1" / "30"
    write_frames(folder / "airboard_1", 3, digits=5)
    lines = [f'0 {2 + i} 3 {8 + i} 8 {i} 0 0 1 "board"' for i in range(24)]
    write_text(folder / "airboard_1.txt", "\n".join(lines))
    video = Nfs(str(tmp_path)).sequence(0)
    assert [video.truth_boxes(i)[1] for i in range(3)] == [box(0), box(8), box(16)]


def test_uav123_shares_frames_and_has_nan_rows(tmp_path):
    write_frames(tmp_path / "data_seq" / "UAV123" / "car16", 418, digits=6)
    anno = tmp_path / "anno" / "UAV123"
    write_text(anno / "car16_2.txt", "2,3,6,5\nNaN,NaN,NaN,NaN\n4,3,6,5\n")
    write_text(anno / "car16_9.txt", rows(2))
    data = Uav123(str(tmp_path))
    video = data.sequence(0)
    assert (video.length, video.frame_name(0)) == (3, "000415")
    assert [video.truth_boxes(i) for i in range(3)] == [{1: box(0)}, {1: None}, {1: box(2)}]
    assert np.isnan(video.annotation.rows[1]).all()
    write_text(anno / "car16_2.txt", rows(9))
    with pytest.raises(InputError, match=r"needs files 415 to 423 of .*car16, which holds 418"):
        data.open("car16_2").frame(0)


@pytest.mark.parametrize("kind", [Lasot, LasotExtension, Got10k, TrackingNet, Otb, Nfs, Uav123])
def test_missing_data_say_where_they_are(kind, tmp_path):
    for root in (None, str(tmp_path / "nowhere")):
        with pytest.raises(InputError) as caught:
            kind(root)
        line = str(caught.value)
        assert kind.release.page in line and "give data.root=FOLDER, which holds" in line and "\n" not in line
    with pytest.raises(InputError, match="get the data from"):
        len(kind(str(tmp_path)))


def test_unknown_sequence(tmp_path):
    write_lasot(tmp_path)
    write_text(tmp_path / "testing_set.txt", "cup-3\n")
    assert Lasot(str(tmp_path), only=["cup-3"]).names == ("cup-3",)
    with pytest.raises(InputError, match=r"data\.limit=0 leaves nothing"):
        Lasot(str(tmp_path), limit=0)
    with pytest.raises(InputError, match="LaSOT has no sequence 'cup-4': its first one is 'cup-3'"):
        len(Lasot(str(tmp_path), only=["cup-4"]))
