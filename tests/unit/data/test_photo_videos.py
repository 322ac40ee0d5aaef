"""Photographic videos from folders that the tests draw: splits, layouts, exact masks, and refusals in one line."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from framework.data.procedural.cutouts import Cutouts
from framework.data.procedural.dataset import Mixed
from framework.data.procedural.photo import Photo
from framework.data.procedural.scene import Flex
from framework.errors import InputError
from tests.fakes.cutouts import RED, SIDE, cutout, disc, write_folders


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_folders(tmp_path_factory.mktemp("photo"))


def photo(root, **options):
    given = {"sprites": str(root / "sprites"), "backgrounds": str(root / "grounds"), "size": 96, "length": 8, **options}
    return Photo(**given)


def test_the_same_pictures_give_the_same_frames_wherever_they_lie(folders, tmp_path):
    shutil.copytree(folders, tmp_path / "copy")
    here, there = photo(folders), photo(tmp_path / "copy")
    assert here.name == there.name and here.name.startswith("photo-v1-") and "-distractors-val-8x96" in here.name
    forwards = [here.sequence(3).frame(t) for t in range(8)]
    video = there.sequence(3)
    assert all(np.array_equal(forwards[t], video.frame(t)) for t in reversed(range(8)))
    cutout(20).save(tmp_path / "copy" / "sprites" / "discs" / "another.png")
    shutil.move(tmp_path / "copy", tmp_path / "changed")
    assert photo(tmp_path / "changed").name != here.name


def test_masks_are_what_is_seen_of_the_object(folders):
    """Red things on grey ground, where nothing else is red: what is red enough is the object."""
    agreement = []
    for index in range(6):
        video = photo(folders, level="calm", altered={"others": [0, 0]}).sequence(index)
        assert video.prompts().keys() == {0} and video.size == (96, 96)
        if video.cast.cluttered:
            continue  # other red things lie in the background
        for t in range(8):
            red = video.frame(t)[..., 0].astype(int) - video.frame(t)[..., 1:].max(-1) > 40
            mask = video.mask(t)
            agreement.append((red & mask).sum() / max((red | mask).sum(), 1))
    assert len(agreement) >= 16 and np.mean(agreement) > 0.8 and np.min(agreement) > 0.5


def test_all_levels_and_mixtures_have_their_events(folders):
    hard = photo(folders, level="hard", length=60, size=64)
    found = set().union(*(hard.sequence(i).attributes(t) for i in range(4) for t in range(0, 60, 3)))
    assert {"look_alike", "crossing", "partial_occlusion"} <= found
    mixed = Mixed(photo(folders), levels=("calm", "hard"))
    assert "calm+hard" in mixed.name and mixed.sequence(1).name == "hard-val-0001"
    assert "hard" in mixed.sequence(1).attributes(0) and mixed.sequence(0).cast.look_alikes == ()


def test_no_thing_and_no_background_is_in_two_splits(folders, tmp_path):
    shutil.copytree(folders / "sprites", tmp_path / "sprites")
    for view in range(12):  # one thing from twelve sides
        cutout(15).save(tmp_path / "sprites" / "discs" / f"ball-{view}.png")
    cutouts = Cutouts(tmp_path / "sprites", folders / "grounds")
    splits = [cutouts.of(split) for split in ("train", "val", "test")]
    assert sum(len(things) for things, _ in splits) == len(cutouts.things) == 92
    assert sum(len(pictures) for _, pictures in splits) == len(cutouts.pictures) == 40
    names = [{(one.kind, one.thing) for one in things} for things, _ in splits]
    assert not names[0] & names[1] and not names[0] & names[2] and not names[1] & names[2]
    assert [sum(one.thing == "ball" for one in things) for things, _ in splits].count(12) == 1


def test_masks_and_coco_annotations_cut_the_same_objects_out(folders, tmp_path):
    image = np.full((SIDE, SIDE, 3), 90, np.uint8)
    image[disc(15)] = RED
    for layout in ("masked", "coco"):
        (tmp_path / layout / "images").mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / layout / "images" / "one.png")
    (tmp_path / "masked" / "masks").mkdir()
    labels = 2 * disc(15).astype(np.uint8)
    labels[0] = 255  # void beside other values, as in every mask file
    Image.fromarray(labels).save(tmp_path / "masked" / "masks" / "one.png")
    runs = coco.encode(np.asfortranarray(disc(15).astype(np.uint8)))
    square = [[5.0, 5.0, 35.0, 5.0, 35.0, 35.0, 5.0, 35.0]]
    written = {
        "images": [{"id": 7, "file_name": "one.png"}],
        "categories": [{"id": 1, "name": "disc"}, {"id": 2, "name": "square"}],
        "annotations": [
            {
                "image_id": 7,
                "category_id": 1,
                "segmentation": {"size": runs["size"], "counts": runs["counts"].decode()},
            },
            {"image_id": 7, "category_id": 2, "segmentation": square},
            {"image_id": 7, "category_id": 2, "iscrowd": 1, "segmentation": square},
        ],
    }
    (tmp_path / "coco" / "instances.json").write_text(json.dumps(written))
    (masked,) = Cutouts(tmp_path / "masked", folders / "grounds").things
    round_one, corners = Cutouts(tmp_path / "coco", folders / "grounds").things
    assert (masked.label, round_one.kind, corners.kind) == (2, "disc", "square")
    assert np.array_equal(masked.pixels(), round_one.pixels()) and masked.pixels().shape == (30, 30, 4)
    assert np.array_equal(masked.pixels()[..., 3] > 0, disc(15)[5:35, 5:35])
    assert corners.pixels().shape[:2] == (30, 30) and (corners.pixels()[..., 3] == 255).all()


def test_what_swings_not_at_all_is_left_as_it_is():
    patch = np.random.default_rng(1).integers(0, 255, (33, 33, 4), np.uint8)
    parts = {"centre": np.full((2, 2), 0.5), "reach": np.array([0.2, 0.1]), "phase": np.zeros(2)}
    still = Flex(**parts, swing=np.zeros((2, 2)), frequency=np.ones(2))
    assert np.array_equal(still.bent(patch, 5.0), patch)
    bending = Flex(**parts, swing=np.array([[0.1, 0.0], [0.0, 0.0]]), frequency=np.full(2, np.pi / 2))
    spot = np.zeros((33, 33, 4), np.uint8)
    spot[16, 16] = 255
    assert np.argwhere(bending.bent(spot, 1.0)[..., 3] > 60)[:, 1].mean() == pytest.approx(16 + 0.1 * 33, abs=0.7)


def without_alpha(root):
    Image.new("RGB", (SIDE, SIDE)).save(root / "sprites" / "plain.png")
    Photo(sprites=str(root / "sprites"), backgrounds=str(root / "grounds")).cutouts.things[-1].pixels()


BAD = {
    "no sprites": (lambda root: Photo(), "data.sprites is missing"),
    "no folder": (lambda root: photo(root, sprites=str(root / "nowhere")), "data.sprites=.*nowhere is no folder"),
    "nothing behind": (lambda root: photo(root, backgrounds=str(root / "empty")), "data.backgrounds holds no picture"),
    "no alpha": (without_alpha, "plain.png has no alpha channel"),
    "too few": (lambda root: photo(root, sprites=str(root / "few")), "leave the val split 0 cut-outs"),
    "no COCO": (lambda root: photo(root, sprites=str(root / "broken")), "is no COCO annotation file"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_folders_are_one_line(case, folders, tmp_path):
    shutil.copytree(folders, tmp_path, dirs_exist_ok=True)
    for name in ("empty", "few", "broken"):
        (tmp_path / name).mkdir()
    cutout(15).save(tmp_path / "few" / "only.png")
    (tmp_path / "broken" / "a.json").write_text('{"images": []}')
    make, words = BAD[case]
    with pytest.raises(InputError, match=words):
        make(tmp_path)


SQUARE = [[5.0, 5.0, 35.0, 5.0, 35.0, 35.0, 5.0, 35.0]]
ANNOTATIONS = {
    "no list": ({"images": {}}, "a.json: images={} must be a list"),
    "no name": ({"categories": [{"id": 1}]}, "a.json, categories 1 has no field 'name'"),
    "a number for a name": ({"categories": [{"id": 1, "name": 3}]}, "categories 1: name=3 must be text"),
    "an id twice": (
        {"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]},
        "categories: an id is there twice",
    ),
    "another image": ({"image_id": 8}, "annotations 1: there is no image 8"),
    "another category": ({"category_id": 2}, "annotations 1: there is no category 2"),
    "text for a flag": ({"iscrowd": "no"}, "annotations 1: iscrowd=no must be 0 or 1"),
    "two corners": (
        {"segmentation": [[1, 2, 3, 4]]},
        "annotations 1: segmentation=.* is no polygons and no run lengths",
    ),
    "no numbers": ({"segmentation": [["1", 2, 3, 4, 5, 6]]}, "segmentation=.* is no polygons"),
    "too few runs": ({"segmentation": {"size": [40, 40], "counts": [3, 4]}}, "segmentation=.* is no polygons"),
    "no runs": ({"segmentation": {"size": [40, 40], "counts": "\x7f"}}, "segmentation=.* is no polygons"),
    "another size": ({"segmentation": {"size": [4, 4], "counts": [8, 8]}}, "one.png is 40x40 but its outline 4x4"),
}


@pytest.mark.parametrize("case", ANNOTATIONS)
def test_every_field_of_coco_annotations_is_checked(case, folders, tmp_path):
    changed, words = ANNOTATIONS[case]
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "one.png")
    one = {"image_id": 7, "category_id": 1, "segmentation": SQUARE}
    written = {
        "images": [{"id": 7, "file_name": "one.png", "license": None}],
        "categories": [{"id": 1, "name": "disc"}],
        "annotations": [
            {**one, **{key: value for key, value in changed.items() if key not in ("images", "categories")}}
        ],
        **{key: value for key, value in changed.items() if key in ("images", "categories")},
    }
    (tmp_path / "a.json").write_text(json.dumps(written))
    with pytest.raises(InputError, match=words):
        Cutouts(tmp_path, folders / "grounds").things[0].pixels()
