"""SAM 3's own tracker tracks as the network here does that loads what it saves, on weights from a hash.

It runs in a process of its own (`tests.sam3_package`) that has the package beside this environment's torch; ENGRAM_SAM3
names a folder with it, or uv makes one.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from framework.networks import checkpoints
from framework.networks.build import layout, sam3_model
from framework.networks.sam2 import Sam2Network
from framework.tracker import Tracker, lockstep
from framework.types import Frame
from policies.sam2 import Sam2
from policies.sam3 import Sam3
from tests.sam3_package import CORRECTED, FRAMES, SCENARIOS, SIZE, video

pytestmark = pytest.mark.slow

PACKAGES = (
    "sam3==0.1.4",
    "einops",
    "ftfy",
    "iopath",
    "portalocker",
    "psutil",
    "pycocotools",
    "regex",
    "timm",
    "wcwidth",
)
ROOT = Path(__file__).parents[2]
SIDES = {"whole windows": 252, "padded windows": 238}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sam3 and what it imports."""
    if "ENGRAM_SAM3" in os.environ:
        return Path(os.environ["ENGRAM_SAM3"])
    place = tmp_path_factory.mktemp("packages")
    uv = [sys.executable, "-m", "uv", "pip", "install", "-q", "--no-deps", "--target", str(place)]
    subprocess.run([*uv, *PACKAGES], check=True)
    return place


@pytest.fixture(scope="module", params=SIDES)
def theirs(
    request: pytest.FixtureRequest, packages: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[int, Path]:
    """Side of the input, and a folder with the weights and what the package's tracker showed."""
    folder, side = tmp_path_factory.mktemp("shown"), SIDES[request.param]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(packages)])}
    given = ["-m", "tests.sam3_package", str(folder), str(side)]
    subprocess.run([sys.executable, *given], cwd=folder, env=environment, check=True)
    return side, folder


@torch.no_grad()
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_package_shows_the_same(scenario: str, theirs: tuple[int, Path]) -> None:
    """But for objects that were not corrected, for which it remembers the frame of another's correction as a prompt."""
    side, folder = theirs
    built = sam3_model(side, size=SIZE)
    checkpoints.load(built, "sam3", folder, layout)
    network = Sam2Network(built.eval(), memory_dtype=torch.float32)
    policy = Sam3(quirks=True) if scenario == "selection" else Sam2()
    tracker = Tracker(network, policy, fill_hole_area=None, anchor_corrections=True)
    prompts = SCENARIOS[scenario]
    frames = [Frame(image, prompts.get(index, {})) for index, image in enumerate(video())]
    with np.load(folder / f"{scenario}.npz") as file:
        expected = {key: torch.from_numpy(file[key]) for key in file.files}
    assert expected.keys() == {f"{t}/{key}" for t in range(FRAMES) for key in prompts[0]}
    tracked = [results[""].tracks for results in lockstep({"": tracker}, frames, FRAMES)]
    for at, logits in expected.items():
        index, key = map(int, at.split("/"))
        spread = logits.std()
        assert spread > 0.1, at
        apart = (tracked[index][key].logits - logits).abs().max() / spread
        another = index > CORRECTED and CORRECTED in prompts and key not in prompts[CORRECTED]
        assert apart > 0.1 if another else apart < 1e-4, (at, apart)
