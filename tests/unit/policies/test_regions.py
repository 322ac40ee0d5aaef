"""Mask regions as run lengths, and the distractors found in them, against whole masks at full size."""

from math import sqrt

import cv2
import numpy as np
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial import KDTree

from framework.ops.rle import contour, difference, largest_component
from framework.types import upsample
from policies.components.regions import Corners, Region, contour_test, distractor_regions, foreground, least_overlap

SCALES = [(4, 4), (2, 8), (45 / 16, 5), (3.7, 1.3), (1, 1), (0.8, 2), (0.5, 0.5)]
"""Pixels of the frame per logit, down and across."""


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    grid=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)),
)
@example(seed=0, grid=(256, 256), size=(720, 1280))
@example(seed=0, grid=(64, 64), size=(97, 131))
@example(seed=0, grid=(256, 256), size=(90, 161))
def test_regions_are_what_upsampling_says(seed, grid, size):
    random = np.random.default_rng(seed)
    logits = torch.from_numpy(random.integers(-12, 9, grid) / 2 - random.integers(0, 5)).float()
    values = upsample(logits[None], size)[0].numpy()
    region = foreground(logits.numpy(), size)
    found = drawn(region, size)
    assert (found == (values > 0)).all()
    assert (region is None) == (not found.any())
    if region is not None:
        assert region.corners == around(found) and region.area == found.sum()
        other = random.random(size) < 0.5
        assert region.shared(other) == (found & other).sum()


def drawn(region, size):
    """Its mask; checks that spans are in order and apart."""
    found = np.zeros(size, dtype=bool)
    if region is not None:
        assert (region.rle[:, 1] < region.rle[:, 2]).all()
        (rows, starts), (later, ends) = region.rle[1:, :2].T, region.rle[:-1, ::2].T
        assert ((rows > later) | ((rows == later) & (starts > ends))).all()
        for row, start, end in region.rle:
            found[row, start:end] = True
    return found


def around(mask):
    y, x = np.nonzero(mask)
    return Corners(int(x.min()), int(y.min()), int(x.max()), int(y.max()))


def of(mask):
    """A mask as a region."""
    return foreground(np.where(mask, 1, -1).astype(np.float32), mask.shape)


def component(mask):
    """The largest one of a mask as OpenCV labels and measures it."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())


def ring(mask):
    """Its contour as OpenCV draws it: the border of the frame is none."""
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0


def furthest(mask, chosen):
    """Squared directed Hausdorff distance of contours, a whole number; 0 if either is empty."""
    points, others = np.argwhere(ring(mask)), np.argwhere(ring(chosen))
    return round(KDTree(others).query(points)[0].max() ** 2) if len(points) and len(others) else 0


def beside(masks):
    """The largest component that each other mask adds to the first."""
    return [component(mask & ~masks[0]) for mask in masks[1:] if (mask & ~masks[0]).any()]


def check_both_tests(logits, masks, loose=False):
    """DAM4SAM's and HiM2SAM's test against themselves pixel by pixel on whole masks, the first one chosen."""
    chosen, expected, size = foreground(logits[0], masks[0].shape), beside(masks), masks[0].shape
    assert (drawn(chosen, size) == masks[0]).all()
    if chosen is None:
        return
    found = list(distractor_regions(logits, 0, chosen, loose))
    for distractor, mask in zip(found, expected, strict=True):
        assert (drawn(distractor, size) == mask).all()
        assert distractor.corners == around(mask) and distractor.area == mask.sum()
    joint = [around(masks[0]).joined(around(mask)).area for mask in expected]
    overlaps = [around(masks[0]).area / area for area in joint if area]
    for limit in (0.3, 0.7, 0.9, *overlaps):
        least = least_overlap(chosen, found)
        assert (least is not None and least <= limit) == any(overlap <= limit for overlap in overlaps)
    reach = [furthest(mask, masks[0]) for mask in expected]
    for limit in (5.0, 40.0, *(max(sqrt(far) + step, 0.5) for far in reach for step in (-6, -3, -1, -0.01, 0, 0.01))):
        assert contour_test(chosen, found, limit) == any(far > limit * limit for far in reach)


def test_runs_are_judged_like_pixels():
    """Components with holes, islands in holes and ties, what one mask adds to another, and contours, against OpenCV."""
    random = np.random.default_rng(0)
    for share in np.linspace(0.02, 0.98, 400):
        size = tuple(int(side) for side in random.integers(1, 40, 2))
        one, two = random.random(size) < share, random.random(size) < random.random()
        one[:, : random.integers(size[1] + 1)] |= random.random() < 0.1
        if one.any() and two.any():
            rle, others = of(one).rle, of(two).rle
            assert (drawn(Region(difference(rle, others), size), size) == (one & ~two)).all()
            assert (drawn(Region(largest_component(rle), size), size) == component(one)).all()
            assert (drawn(Region(contour(rle, *size), size), size) == ring(one)).all()


def smooth(random, coarse, quantum):
    """Three hypotheses with blobs, specks and shells around each other; multiples of `quantum` where it is not 0."""
    y, x = np.mgrid[:coarse, :coarse] / coarse
    shared = [blob(random, y, x) for _ in range(random.integers(1, 3))]
    for _ in range(3):
        own = [blob(random, y, x) for _ in range(random.integers(0, 3))]
        noise = cv2.GaussianBlur(random.standard_normal((coarse, coarse)), (0, 0), random.uniform(0.5, 4))
        logits = np.max([*shared, *own], axis=0) * random.choice([1, 1, 0.9]) + noise * random.choice([0, 0.5, 4])
        yield (np.round(logits / quantum) * quantum if quantum else logits).astype(np.float32)


def blob(random, y, x):
    (cy, cx), (ry, rx) = random.random(2), random.uniform(0.02, 0.5, 2)
    return 6 - 6 * np.minimum(((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2, 3)


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    coarse=st.sampled_from([16, 32, 64]),
    scale=st.sampled_from(SCALES),
    quantum=st.sampled_from([0, 0, 0.5, 2]),
    raised=st.sampled_from([0, 0, 3, 8, 12]),
)
def test_distractors_are_judged_as_at_full_size(seed, coarse, scale, quantum, raised):
    """Also distractors that fill the frame."""
    logits = np.stack(list(smooth(np.random.default_rng(seed), coarse, quantum)))
    logits[1:] += np.float32(raised)
    values = upsample(torch.from_numpy(logits), (round(scale[0] * coarse), round(scale[1] * coarse))).numpy()
    check_both_tests(logits, values > 0)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), reach=st.floats(2, 6), noise=st.sampled_from([0.5, 3, 10]), cut=st.booleans())
def test_distractors_all_around_are_judged_as_at_full_size(seed, reach, noise, cut):
    """Contours whose every part is about as far away as the limit, with specks near them, in one part or in two."""
    random, coarse = np.random.default_rng(seed), 64
    y, x = np.mgrid[:coarse, :coarse] / coarse
    (cy, cx), radius = random.uniform(0.2, 0.8, 2), random.uniform(0.03, 0.15)
    away = ((x - cx) ** 2 + (y - cy) ** 2) / radius**2
    logits = 20 * (1 - away / np.array([1, reach**2, 1.1 * reach**2])[:, None, None]).clip(-1, 1)
    if cut:
        logits[1:, np.abs(y[:, 0] - random.random()) < random.uniform(0, 0.06)] = -5
    logits += noise * np.stack([cv2.GaussianBlur(random.standard_normal(x.shape), (0, 0), 1.5) for _ in logits])
    logits = logits.astype(np.float32)
    values = upsample(torch.from_numpy(logits), (4 * coarse, 4 * coarse)).numpy()
    check_both_tests(logits, values > 0)


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    shapes=st.tuples(*[st.sampled_from(["ragged", "specks", "full", "stripes", "corner"])] * 3),
    loose=st.booleans(),
)
def test_rough_masks_are_judged_as_at_full_size(seed, shapes, loose):
    """Where nothing is smooth: small whole logits, so that values are exact and often 0, and limits tie."""
    random, coarse = np.random.default_rng(seed), 24
    logits = np.stack([rough(random, shape, coarse) for shape in shapes])
    claims = np.concatenate((logits[:1], np.abs(logits[1:]))) if loose else logits
    check_both_tests(logits, upsample(torch.from_numpy(claims), (4 * coarse, 4 * coarse)).numpy() > 0, loose)


def rough(random, shape, coarse):
    """Multiples of 1 from -3 to 3 in a frame, or part of it."""
    left, right = np.sort(random.integers(0, coarse + 1, 2))
    values = random.integers(1, 4, (coarse, coarse))
    y, x = np.mgrid[:coarse, :coarse]
    inside = {
        "ragged": (x >= left) & (x < right) & (random.random(x.shape) < 0.7),
        "specks": random.random(x.shape) < 0.03,
        "full": random.random(x.shape) < random.choice([0.98, 0.999, 1]),
        "stripes": (y >= left) & (y < right) & (x % random.integers(2, 5) == 0),
        "corner": (x >= left) & (y >= right),
    }[shape]
    return np.where(inside, values, -values * random.integers(0, 2)).astype(np.float32)
