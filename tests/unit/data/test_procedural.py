"""The procedural benchmark: determinism, exact masks, disjoint splits, attributes."""

import hashlib
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest

from framework.data.describe import census, contact_sheet
from framework.data.procedural.dataset import COUNTS, VERSION, Mixed, Procedural, generator
from framework.data.procedural.drawn import COMMON, HELD_OUT
from framework.data.procedural.levels import LEVELS
from framework.data.procedural.textures import HELD_OUT_SHAPES, HELD_OUT_TEXTURES, OUTLINES, PATTERNS, rgb
from framework.data.sequence import DataSet, VideoSequence
from framework.errors import InputError

DIGEST = """
import hashlib
from framework.data.procedural.dataset import Procedural
sequence = Procedural("val", "hard").sequence(3)
pixels = sequence.frame(41).tobytes() + sequence.ids(41).tobytes()
print(hashlib.sha256(pixels).hexdigest())
"""


@pytest.fixture(scope="module", params=sorted(LEVELS))
def sequence(request):
    return Procedural("val", request.param).sequence(1)


def test_another_process_draws_the_same_frame():
    drawn = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True).stdout.strip()
    sequence = Procedural("val", "hard").sequence(3)
    assert drawn == hashlib.sha256(sequence.frame(41).tobytes() + sequence.ids(41).tobytes()).hexdigest()


def test_any_order_gives_the_same_frames():
    data = Procedural("val", "hard")
    forward, backward = data.sequence(0), data.sequence(0)
    for t in range(60):
        forward.frame(t)
    for t in (59, 7, 30, 0, 58):
        np.testing.assert_array_equal(forward.frame(t), backward.frame(t))
        np.testing.assert_array_equal(forward.ids(t), backward.ids(t))


def test_named_videos_are_those_of_the_whole_split():
    whole = Procedural("val", "hard", length=8)
    some = Procedural("val", "hard", length=8, only=["hard-val-0007", "hard-val-0002"])
    assert (len(some), some.name) == (2, whole.name) and len(Procedural(only=["distractors-val-0003"], limit=1)) == 1
    for place, number in enumerate((7, 2)):
        found, video = some.sequence(place), whole.sequence(number)
        assert found.name == video.name and np.array_equal(found.frame(5), video.frame(5))
    with pytest.raises(InputError, match="video 2 is not in the val split: it has 0 to 1"):
        some.sequence(2)
    train = Procedural("train", "hard", only=["hard-train-1000007"])
    assert train.sequence(0).name == "hard-train-1000007"


def test_named_videos_of_a_mixture_have_the_level_of_their_number():
    whole = Mixed(Procedural("val", length=8))
    some = Mixed(Procedural("val", length=8), only=["occlusion-val-0004", "hard-val-0002"])
    assert (len(some), some.name) == (2, whole.name) and len(Mixed(limit=3)) == 3
    for place, number in enumerate((4, 2)):
        found, video = some.sequence(place), whole.sequence(number)
        assert (found.name, found.kinds) == (video.name, video.kinds)
        assert np.array_equal(found.frame(5), video.frame(5))


@pytest.mark.parametrize(
    "name", ["hard-val-200", "hard-val-0200", "hard-val-1", "calm-val-0001", "hard-test-0001", "car"]
)
def test_videos_that_do_not_exist_are_one_line(name):
    with pytest.raises(InputError, match=f"has no video '{name}': they are called hard-val-0000 and so on"):
        Procedural("val", "hard", only=[name])
    with pytest.raises(InputError, match=f"has no video '{name}': they are called "):
        Mixed(Procedural("val"), only=[name])


def test_another_frame_rate_shows_the_same_scene_at_other_times():
    plain, fast, slow = (Procedural("val", "hard", length=12, rate=rate).sequence(3) for rate in (1.0, 2.0, 0.5))
    assert (plain.length, fast.length, slow.length) == (12, 24, 6)
    for t in (0, 4, 10):
        np.testing.assert_array_equal(plain.frame(t), fast.frame(2 * t))
        np.testing.assert_array_equal(plain.ids(t), slow.ids(t // 2))
        timeless = ("distractor_near", "full_occlusion", "out_of_view", "scale_change", "rotation")
        assert all(getattr(plain.hardness(t), name) == getattr(fast.hardness(2 * t), name) for name in timeless)
    assert (fast.frame(1) != fast.frame(0)).any() and (fast.frame(1) != fast.frame(2)).any()
    np.testing.assert_array_equal(plain.prompts()[0][1].mask, slow.prompts()[0][1].mask)


def test_a_fast_object_is_slower_at_a_higher_rate():
    shares = []
    for rate in (0.5, 1.0, 4.0):
        video = Procedural("val", "hard", length=40, rate=rate).sequence(0)
        shares.append(np.mean([video.hardness(t).fast_motion for t in range(video.length)]))
    assert shares[0] >= shares[1] > shares[2]


def test_rate_and_length_are_in_the_name():
    names = {
        Procedural("val", "hard", length=length, rate=rate).name for length in (60, 180) for rate in (0.5, 1.0, 2.0)
    }
    assert len(names) == 6 and Procedural(rate=1.0).name == Procedural().name == "procedural-v1-distractors-val-60x128"


def test_an_altered_level_keeps_the_rest_of_its_scenes():
    plain, same, barer, faster = (
        Procedural("val", "hard", altered=altered).sequence(3)
        for altered in ({}, {"change": 1}, {"covers": 0.0}, {"change": 2})
    )
    assert np.array_equal(plain.frame(9), same.frame(9))
    assert [any(sprite.cover for sprite in video.cast.scene.sprites) for video in (plain, barer)] == [True, False]
    first, quick = plain.cast.scene.sprites[0], faster.cast.scene.sprites[0]
    assert quick.tint == (first.tint[0], 2 * first.tint[1]) and quick.breathing[1] == 2 * first.breathing[1]
    assert quick.spin == 2 * first.spin and np.array_equal(quick.patch, first.patch)
    crowd = Procedural("val", "calm", altered={"look_alikes": [3, 3]})
    assert all(len(crowd.sequence(index).cast.look_alikes) == 3 for index in range(4))


def test_what_is_altered_is_in_the_name():
    videos = Procedural(altered={"covers": 3, "look_alikes": [2, 3]})
    assert videos.name == "procedural-v1-distractors-val-60x128-covers3.0-look_alikes2to3"
    assert Mixed(videos, levels=["calm", "hard"]).name == videos.name.replace("distractors", "calm+hard")


def test_all_that_decides_the_videos_is_in_the_name():
    changed = {
        "split": "test",
        "level": "hard",
        "length": 61,
        "size": 64,
        "targets": 2,
        "rate": 0.5,
        "altered": {"covers": 3},
    }
    assert changed.keys() == {field.name for field in fields(Procedural)} - {"limit", "only", "version"}
    names = {Procedural(**{key: value}).name for key, value in changed.items()}
    assert len(names | {Procedural().name}) == len(changed) + 1
    del changed["level"]  # a mixture has its own
    assert len({Mixed(Procedural(**{key: value})).name for key, value in changed.items()}) == len(changed)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"cover": 1}, "no 'cover' to alter: it has look_alikes, .* covers"),
        ({"covers": -1}, "covers of a level is a number of 0 or more, like 0.0, not -1"),
        ({"look_alikes": 3}, r"look_alikes of a level is two numbers, least and most, like \(2, 3\), not 3"),
        ({"radius": ["small", "large"]}, "radius of a level is two numbers"),
        ({"radius": [0.0, 0.1]}, "pace and radius of a level are above 0"),
        ({"pace": 0}, "pace and radius of a level are above 0"),
    ],
)
def test_what_no_level_can_be_is_named(wrong, says):
    with pytest.raises(InputError, match=says):
        Procedural(altered=wrong)


def test_no_two_splits_share_a_seed():
    def seeds(split):
        return {
            tuple(generator("procedural", VERSION, split, index, level).integers(2**63, size=2))
            for index in range(50)
            for level in LEVELS
        }

    drawn = [seeds(split) for split in COUNTS]
    assert len(set().union(*drawn)) == sum(len(part) for part in drawn) == 50 * len(LEVELS) * len(COUNTS)


def test_some_families_appear_in_the_test_split_alone():
    assert not {*COMMON.shapes} & {*HELD_OUT_SHAPES} and not {*COMMON.patterns} & {*HELD_OUT_TEXTURES}
    assert {*HELD_OUT.shapes} == {*OUTLINES} and {*HELD_OUT.patterns} == {*PATTERNS}


def test_sequences_are_what_the_evaluation_reads(sequence):
    assert isinstance(sequence, VideoSequence) and isinstance(Procedural(), DataSet)
    assert sequence.size == (128, 128) and sequence.length == 60
    assert sequence.frame(0).shape == (128, 128, 3) and sequence.frame(0).dtype == np.uint8
    prompt = sequence.prompts()[0][1]
    np.testing.assert_array_equal(prompt.mask, sequence.truth(0)[1])
    assert prompt.mask.sum() > 60


def test_masks_partition_the_frame_and_agree_with_visibility(sequence):
    for t in range(0, 60, 5):
        ids = sequence.ids(t)
        everything = range(len(sequence.cast.scene.sprites) + 1)
        assert sum(sequence.mask(t, i).sum() for i in everything) == ids.size
        hardness = sequence.hardness(t)
        assert sequence.visible(t) == sequence.mask(t).any()
        assert sequence.visible(t) == (not hardness.full_occlusion and not hardness.out_of_view)
        assert sequence.attributes(t) == hardness.names()


def test_a_mask_is_where_leaving_the_object_out_changes_the_frame():
    sequence = Procedural("val", "calm").sequence(2)
    scene = sequence.cast.scene
    without = scene.render(10.0, {1})
    assert not (without.owner == 1).any()
    changed = np.abs(sequence.frame(10).astype(int) - without.image).max(axis=2) > 24
    mask = sequence.mask(10)
    assert (changed & mask).sum() > 0.5 * mask.sum()
    assert (changed & ~mask).sum() < 0.35 * mask.sum()  # its soft rim and the blur


def test_every_attribute_occurs_and_levels_get_harder():
    seen, absent = set(), {}
    for level in LEVELS:
        data = Procedural("val", level)
        shown = []
        for index in range(12):
            video = data.sequence(index)
            for t in range(0, 60, 3):
                seen |= video.attributes(t)
                shown.append(video.visible(t))
        absent[level] = 1 - np.mean(shown)
    seen |= Procedural("long", "calm").sequence(0).attributes(1_100)
    assert seen == {*Procedural().sequence(0).hardness(0).__slots__}
    assert absent["calm"] == 0 and absent["distractors"] < 0.1 < absent["occlusion"] and absent["hard"] > 0.1


def test_the_first_object_starts_visible_and_uncovered():
    for level in LEVELS:
        for index in range(15):
            hardness = Procedural("test", level).sequence(index).hardness(0)
            assert not (hardness.full_occlusion or hardness.out_of_view), (level, index)


def test_another_size_shows_the_same_scene():
    small, large = (Procedural("val", "calm", size=size).sequence(4) for size in (64, 128))
    shrunk = large.mask(20)[::2, ::2]
    overlap = (shrunk & small.mask(20)).sum() / (shrunk | small.mask(20)).sum()
    assert overlap > 0.8


def test_rgb_matches_the_definition():
    np.testing.assert_allclose(rgb((0.0, 1.0, 1.0)), [255, 0, 0])
    np.testing.assert_allclose(rgb((1 / 3, 1.0, 0.5)), [0, 127.5, 0], atol=1e-9)
    np.testing.assert_allclose(rgb((0.2, 0.0, 1.0)), [255, 255, 255])


@pytest.mark.parametrize(
    "wrong",
    [{"split": "dev"}, {"level": "easy"}, {"size": 8}, {"split": "long", "length": 60}, {"version": 99}, {"rate": 0.0}],
)
def test_wrong_options_are_named(wrong):
    with pytest.raises(InputError) as error:
        Procedural(**wrong)
    assert "\n" not in str(error.value)


def test_frames_and_videos_out_of_range_are_named():
    with pytest.raises(InputError, match="frames 0 to 59"):
        Procedural().sequence(0).frame(60)
    with pytest.raises(InputError, match="0 to 199"):
        Procedural().sequence(200)
    assert Procedural("train").sequence(10**9).length == 60


def test_a_census_counts_frames_and_videos():
    data = Procedural("val", "hard", length=20, limit=3)
    counts = census(data, videos=5, every=5)
    assert (counts.videos, counts.frames) == (3, 12)
    by_hand = [data.sequence(i).attributes(t) for i in range(3) for t in range(0, 20, 5)]
    assert counts.frames_with == {name: sum(name in seen for seen in by_hand) for name in set().union(*by_hand)}
    assert all(1 <= videos <= 3 for videos in counts.videos_with.values())


def test_the_contact_sheet_outlines_the_tracked_object():
    video = Procedural("val", "calm").sequence(0)
    sheet = contact_sheet([video], columns=3)
    assert sheet.shape == (128, 384, 3)
    drawn = (sheet[:, :128] != video.frame(0)).any(axis=2)
    mask = video.mask(0)
    assert drawn.any() and (drawn & mask).sum() == drawn.sum()


def test_a_mixture_takes_the_levels_in_turn():
    mixed = Mixed(Procedural("test"), levels=("calm", "hard"), limit=5)
    assert [mixed.sequence(i).name for i in range(len(mixed))] == [
        "calm-test-0000", "hard-test-0001", "calm-test-0002", "hard-test-0003", "calm-test-0004",
    ]  # fmt: skip
    alone = Procedural("test", "hard").sequence(3)
    np.testing.assert_array_equal(mixed.sequence(3).frame(7), alone.frame(7))
    assert mixed.sequence(3).attributes(7) == alone.attributes(7) | {"hard"}
    assert mixed.name == "procedural-v1-calm+hard-test-60x128"
    with pytest.raises(InputError, match="video 5 is not in"):
        mixed.sequence(5)
    with pytest.raises(InputError, match="unknown"):
        Mixed(levels=("calm", "hellish"))
