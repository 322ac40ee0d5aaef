"""Mask files of every kind, drawn here, and what is refused because it may be read in two ways."""

import cv2
import numpy as np
import pytest
from PIL import Image

from framework.data.label_image import object_numbers, read_label_image
from framework.data.prompts import read_masks
from framework.errors import InputError

SHAPE = (24, 32)
DISC = np.zeros(SHAPE, bool)
DISC[3:18, 4:20] = True
OTHER = np.zeros(SHAPE, bool)
OTHER[19:22, 24:30] = True
RNG = np.random.default_rng(0)


def grey(value, dtype=np.uint8):
    return Image.fromarray((DISC * value).astype(dtype))


def palette(indices, colours, **info):
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette([channel for colour in colours for channel in colour])
    image.info.update(info)
    return image


def colours(inside, outside=(0, 0, 0)):
    return np.where(DISC[..., None], np.array(inside), np.array(outside)).astype(np.uint8)


def with_alpha(rgb, alpha):
    return Image.fromarray(np.dstack([rgb, alpha.astype(np.uint8)]))


PHOTO = RNG.integers(0, 255, (*SHAPE, 3), dtype=np.uint8)
RAMP = [(i, i, i) for i in range(256)]
SEEN = DISC * 255
ONE = {
    "bits": Image.fromarray(DISC),
    "one": grey(1),
    "half": grey(128),
    "white": grey(255),
    "16 bits, low": grey(1, np.uint16),
    "16 bits, 300": grey(300, np.uint16),
    "16 bits, high": grey(65535, np.uint16),
    "white in colour": Image.fromarray(colours((255, 255, 255))),
    "white and opaque": with_alpha(colours((255, 255, 255)), np.full(SHAPE, 255)),
    "white, cut out": with_alpha(np.full((*SHAPE, 3), 255, np.uint8), SEEN),
    "black, cut out": with_alpha(np.zeros((*SHAPE, 3), np.uint8), SEEN),
    "photograph, cut out": with_alpha(PHOTO, SEEN),
    "cut out by half": with_alpha(PHOTO, DISC * 120),
    "white, alpha that says nothing": with_alpha(colours((255, 255, 255)), np.full(SHAPE, 90)),
    "white, alpha of 0": with_alpha(colours((255, 255, 255)), np.zeros(SHAPE)),
    "grey and alpha": Image.merge("LA", [grey(0), grey(255)]),
    "first of a palette": palette(DISC * 1, [(0, 0, 0), (128, 0, 0)]),
    "last of a palette": palette(DISC * 255, RAMP),
    "converted to a palette": grey(255).convert("P"),
    "transparent background": palette(DISC * 1, [(0, 0, 0), (255, 255, 255)], transparency=0),
}


@pytest.mark.parametrize("name", ONE)
def test_one_object(name, tmp_path):
    ONE[name].save(tmp_path / "m.png")
    (number,) = read_masks(tmp_path / "m.png")
    assert number == 1
    np.testing.assert_array_equal(read_masks(tmp_path / "m.png")[1], DISC)


@pytest.mark.parametrize("kind", ["grey", "palette"])
def test_a_mask_is_turned_upright_as_frames_are(kind, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to view
    image = grey(255) if kind == "grey" else palette(DISC * 1, [(0, 0, 0), (128, 0, 0)])
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "m.png", exif=exif)
    np.testing.assert_array_equal(read_masks(tmp_path / "m.png")[1], DISC)


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(~DISC),
        Image.fromarray((~DISC * 255).astype(np.uint8)),
        with_alpha(PHOTO, ~DISC * 255),
        Image.fromarray(np.where(DISC, 0, 1 + OTHER).astype(np.uint8)),
    ],
    ids=["bits", "grey", "cut out", "two objects"],
)
def test_an_object_all_around_the_picture_is_in_doubt(image, tmp_path):
    image.save(tmp_path / "m.png")
    with pytest.raises(InputError, match=r"m.png: its object is all around the picture, so it may be inverted"):
        read_masks(tmp_path / "m.png")


def test_an_object_may_fill_the_picture(tmp_path):
    Image.fromarray(np.full(SHAPE, 255, np.uint8)).save(tmp_path / "m.png")
    assert read_masks(tmp_path / "m.png")[1].all()


def test_floating_point(tmp_path):
    Image.fromarray(DISC.astype(np.float32)).save(tmp_path / "m.tif")
    np.testing.assert_array_equal(read_masks(tmp_path / "m.tif")[1], DISC)
    Image.fromarray(DISC.astype(np.float32) / 2).save(tmp_path / "half.tif")
    with pytest.raises(InputError, match=r"half.tif: the mask holds fractions"):
        read_masks(tmp_path / "half.tif")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (palette(~DISC * 1, [(255, 255, 255), (0, 0, 0)]), "index 0 of its palette is white and index 1 black"),
        (palette(~DISC * 1, [(255, 0, 0), (0, 0, 0)]), "index 0 of its palette is coloured and index 1 black"),
        (
            palette(2 * ~DISC, [(0, 128, 0), (9, 9, 9), (20, 9, 9)]),
            "index 0 of its palette is coloured and index 2 black",
        ),
        (palette(~DISC * 7, [(255, 255, 255)] + [(0, 0, 0)] * 7), "index 0 of its palette is white and index 7 black"),
        (palette(~DISC * 1, [(9, 9, 9), (99, 9, 9)], transparency=1), "index 1 of its palette is transparent"),
        (Image.fromarray(colours((200, 0, 0))), "a colour image"),
        (with_alpha(colours((200, 0, 0), (0, 0, 200)), (DISC | OTHER) * 255), "several colours and transparency"),
        (Image.fromarray(RNG.integers(0, 255, SHAPE, dtype=np.uint8)), "grey levels; a mask has one per object"),
    ],
)
def test_doubt_is_refused(image, words, tmp_path):
    image.save(tmp_path / "m.png")
    with pytest.raises(InputError, match=f"m.png: .*{words}") as failure:
        read_masks(tmp_path / "m.png")
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("MPO", {}),
        ("JPEG2000", {}),
        ("AVIF", {}),
        ("WEBP", {}),
        ("TIFF", {"compression": "jpeg"}),
    ],
)
def test_what_blurs_by_another_name(kind, options, tmp_path):
    grey(255).save(tmp_path / "m.png", kind, **options)
    with pytest.raises(InputError, match=r"m.png: .* blurs masks"):
        read_label_image(tmp_path / "m.png")


@pytest.mark.parametrize(("kind", "options"), [("WEBP", {"lossless": True}), ("TIFF", {"compression": "tiff_lzw"})])
def test_what_does_not_blur_by_another_name(kind, options, tmp_path):
    grey(255).save(tmp_path / "m.png", kind, **options)
    np.testing.assert_array_equal(read_masks(tmp_path / "m.png")[1], DISC)


@pytest.mark.parametrize("wide", [3, 5, 9])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_smoothed_edges_are_no_objects(wide, dtype, tmp_path):
    smooth = cv2.blur(DISC.astype(np.float32) * np.iinfo(dtype).max, (wide, wide)).astype(dtype)
    assert 4 < len(np.unique(smooth)) <= 64
    Image.fromarray(smooth).save(tmp_path / "m.png")
    with pytest.raises(InputError, match=r"m.png: \d+ grey levels, .* no smoothed or JPEG edges"):
        read_masks(tmp_path / "m.png")


def test_objects_in_levels_of_grey_are_objects(tmp_path):
    """Also those of which little is to be seen beside a brighter one."""
    levels = np.zeros(SHAPE, np.uint8)
    for number in range(5):
        levels[2:20, 3 + 5 * number : 8 + 5 * number] = 80 + 40 * number
    Image.fromarray(levels).save(tmp_path / "five.png")
    assert sorted(read_masks(tmp_path / "five.png")) == [80, 120, 160, 200, 240]
    Image.fromarray((DISC * 255 - np.roll(DISC, 1, 1) * 128).clip(0).astype(np.uint8)).save(tmp_path / "sliver.png")
    assert sorted(read_masks(tmp_path / "sliver.png")) == [127, 255]


@pytest.mark.parametrize(
    ("found", "palette", "expected", "numbers"),
    [
        ({0, 1, 2, 255}, True, (), {1: 1, 2: 2}),
        ({0, 1, 2, 255}, False, (), {1: 1, 2: 2}),  # numbers, so 255 is void
        ({0, 127, 255}, False, (), {127: 127, 255: 255}),  # levels of grey
        ({0, 255}, True, (), {255: 1}),
        ({0, 255}, False, (3,), {255: 3}),
        ({0, 255}, False, (1, 2), {255: 1}),
        ({0, 38}, False, (), {38: 1}),
        ({0, 38}, True, (), {38: 38}),
        ({0, 2}, False, (2,), {2: 2}),
        ({0, 2}, False, (1, 2), {2: 2}),
        ({0}, False, (1,), {}),
    ],
)
def test_numbers_of_values(found, palette, expected, numbers):
    assert object_numbers(found, palette, expected) == numbers


def test_labels_are_the_numbers(tmp_path):
    palette(DISC * 3 + OTHER * 255, RAMP).save(tmp_path / "m.png")
    image = read_label_image(tmp_path / "m.png")
    assert image.found == {3, 255} and image.palette
    np.testing.assert_array_equal(image.labels({3: 7}), DISC * 7)
    with pytest.raises(InputError, match=r"m.png: object number 300; numbers are 1 to 254"):
        image.labels({3: 300})
