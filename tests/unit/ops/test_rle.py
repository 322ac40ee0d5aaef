"""Masks at video size as run lengths: to the pixel what torch's bilinear upsampling says, ties near 0 included."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from framework.ops.rle import dense, upsampled_mask
from framework.types import upsample

ROOT = Path(__file__).parents[3]
NETWORKS = [(32, 32), (64, 64), (128, 128), (256, 256)]
VIDEOS = [(480, 854), (720, 1280), (1080, 1920), (1280, 720), (360, 640), (97, 131), (64, 64), (40, 88), (41, 88)]


def check(logits, size):
    """Every pixel of each of these logits [M h w]."""
    expected = (upsample(torch.from_numpy(logits), size) > 0).numpy()
    for one, mask in zip(logits, expected, strict=True):
        assert (dense(upsampled_mask(one, *size), *size) == mask).all()


def quantised(logits, levels, unit):
    """In steps, so that values between equal and opposite logits round to 0, or to a little beside it."""
    return (np.round(logits * levels) if levels else logits * 8).astype(np.float32) * np.float32(unit)


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    grid=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    levels=st.sampled_from([0, 1, 2, 5]),
    unit=st.sampled_from([1.0, 0.1, 1 / 3, 1e-6]),
)
@example(seed=0, grid=(32, 32), size=(64, 64), levels=2, unit=0.1)  # sides that sum to 128
@example(seed=0, grid=(32, 32), size=(64, 65), levels=2, unit=0.1)
@example(seed=0, grid=(40, 40), size=(60, 23), levels=1, unit=0.1)
@example(seed=0, grid=(1, 40), size=(1, 200), levels=1, unit=0.1)
@example(seed=1, grid=(2, 1), size=(1, 9), levels=1, unit=1.0)  # within one cell, to either side of 0 several times
@example(seed=1, grid=(2, 1), size=(3, 45), levels=1, unit=0.1)
def test_any_size_and_aspect_ratio(seed, grid, size, levels, unit):
    check(quantised(np.random.default_rng(seed).uniform(-1, 1, (3, *grid)), levels, unit), size)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    grid=st.sampled_from(NETWORKS),
    size=st.sampled_from(VIDEOS),
    levels=st.sampled_from([0, 1, 3, 16]),
    unit=st.sampled_from([1.0, 0.1, 2**-7]),
)
def test_networks_and_videos(seed, grid, size, levels, unit):
    noise = np.random.default_rng(seed).standard_normal((2, *grid))
    smooth = np.stack([cv2.GaussianBlur(layer, (0, 0), grid[0] / 20) * grid[0] / 10 for layer in noise])
    check(quantised(smooth - 0.3, levels, unit), size)


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_zeros_between_equal_and_opposite_logits_are_background(scale):
    logits = np.random.default_rng(0).integers(-2, 3, (1, 40, 30)).astype(np.float32)
    size = (40 * scale, 30 * scale)
    assert (upsample(torch.from_numpy(logits), size) == 0).any()
    check(logits, size)


@pytest.mark.parametrize("build", ["default", "avx2"])
def test_other_builds_of_torchs_kernels(build):
    """On x86 "default" rounds every product, the others fuse it with the sum."""
    code = (
        "import numpy as np\n"
        "from tests.unit.ops.test_rle import check, quantised\n"
        "random = np.random.default_rng(0)\n"
        "for size in ((64, 64), (97, 131), (360, 640)):\n"
        "    check(quantised(random.uniform(-1, 1, (3, 33, 47)), 2, 0.1), size)\n"
        "print('equal')\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"ATEN_CPU_CAPABILITY": build, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "equal\n"
