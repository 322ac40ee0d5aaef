"""Every memory policy and every method on every family of networks: several objects, one lockstep, untrained weights.

Numbers mean nothing here; what is checked is that no policy depends on how a network lays out its memories.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from framework.diagnostics.deterministic_weights import frame
from framework.networks.build import facade, network, sam3_model
from framework.networks.sam2 import Sam2Network
from framework.networks.sam3 import Sam3Size
from framework.tracker import Tracker, lockstep
from framework.types import Frame, Prompt
from tests.traces import preset

CONF = Path(__file__).parents[2] / "conf"
POLICIES = {path.stem: path for path in sorted((CONF / "policy").glob("*.yaml"))}
METHODS = [path.stem for path in (CONF / "method").glob("*.yaml") if "published" not in path.stem]
BACKBONES = {"sam2.1_hiera_t": 64, "sam2_hiera_t": 64, "efficienttam_ti": 64, "efficienttam_ti_1": 64, "edgetam": 256}
TINY = Sam3Size(width=32, depth=3, heads=2, window=4, global_blocks=(1,), pretrained_grid=3)
FRAMES = 6


def video() -> list[Frame]:
    """Two prompted boxes, the second a frame later; truth for the policies that may see it."""
    masks = np.zeros((2, 96, 128), dtype=bool)
    masks[0, 20:60, 30:80] = masks[1, 50:90, 70:120] = True
    prompts = {0: {1: Prompt(mask=masks[0])}, 1: {2: Prompt(box=(70.0, 50.0, 120.0, 90.0))}}
    truth = {1: torch.from_numpy(masks[0]), 2: torch.from_numpy(masks[1])}
    return [Frame(frame(t, 128)[16:112], prompts.get(t, {}), truth=truth) for t in range(FRAMES)]


def made(name: str) -> Sam2Network:
    """SAM 3 with a trunk that does not take minutes a frame, on six tokens a side."""
    if name != "sam3":
        return network(name, checkpoint="random", image_size=BACKBONES[name], device="cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return facade(lambda: sam3_model(84, size=TINY), device="cpu")


@torch.no_grad()
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "edgetam" else name for name in [*BACKBONES, "sam3"]]
)
def test_all_in_one_lockstep(name: str) -> None:
    net = made(name)
    trackers = {key: Tracker(net, instantiate(OmegaConf.load(path))) for key, path in POLICIES.items()}
    trackers |= {f"method {method}": preset(method, net) for method in METHODS}
    together = list(lockstep(trackers, video(), length=FRAMES))
    for t, results in enumerate(together):
        for key, result in results.items():
            assert list(result.tracks) == ([1] if t == 0 else [1, 2]), key
            assert all(track.logits.isfinite().all() for track in result.tracks.values()), key
            assert result.work.encodings == 1
    # On so few cells of noise the last bits decide which points are followed, hence no motion model there.
    for key in ("sam2", "method sam3" if name == "sam3" else "method him2sam"):
        alone = list(lockstep({key: trackers[key]}, video(), length=FRAMES))
        for results, own in zip(together, alone, strict=True):
            for target, track in own[key].tracks.items():
                torch.testing.assert_close(results[key].tracks[target].logits, track.logits, rtol=0, atol=1e-3)
