"""Whether a network is shown what it knows: `micro` was trained on drawn videos alone, and fails on photographs.

A camera's detail is that of its light: from one pixel to the next all colours rise or fall together. The grain of drawn
videos is independent in every colour. So the share of steps between neighbours that are nearly grey tells them apart.
Measured on single frames: at most .43 on 800 frames of drawn videos (all levels, val and test); at least .68 on DAVIS
(.55 on two sequences of OTB, .71 on one of VOT), .41 on 250 photographs of BSDS500 of which 1 % are below .44, and on
cut-outs that were put together over photographs a median of .69.
"""

import sys
from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image as PillowImage

from framework.networks.checkpoints import read
from framework.networks.micro import WEIGHTS
from framework.networks.sam2 import Sam2Network

SIDE = 128
"""Pixels to which frames are brought, the input size of `micro`."""
LEAST_STEP = 1.0
"""Shorter ones, in grey levels of 0..255, have no direction."""
GREY = 0.9
"""Cosine of the angle to the grey axis from which a step is nearly grey."""
PHOTOGRAPHIC = 0.45
"""Share of steps that are nearly grey, above which a frame is taken for a photograph."""


def grey_steps(image: UInt8[np.ndarray, "Hv Wv 3"]) -> float:
    """Share of the steps between horizontal neighbours that are nearly grey; NaN for an image without a step."""
    small = np.asarray(PillowImage.fromarray(image).resize((SIDE, SIDE))).astype(np.float64)
    steps = np.diff(small, axis=1).reshape(-1, 3)
    length = np.linalg.norm(steps, axis=1)
    steps, length = steps[length > LEAST_STEP], length[length > LEAST_STEP]
    if not len(steps):
        return float("nan")
    return float((np.abs(steps.sum(axis=1)) > GREY * np.sqrt(3) * length).mean())


def warning(network: Sam2Network, images: Iterable[UInt8[np.ndarray, "Hv Wv 3"]]) -> str | None:
    """A line for frames that the network was not trained for, by the median over them; None where nothing is wrong."""
    if not _has_weights_of_micro(network):
        return None
    shares = [grey_steps(image) for image in images]
    if not shares or not np.median(shares) > PHOTOGRAPHIC:
        return None
    return (
        "backbone=micro knows drawn videos alone and these look photographed, so it will lose what it tracks: give "
        "backbone=photo, or auto for the best weights that can be had"
    )


def warn(network: Sam2Network, images: Iterable[UInt8[np.ndarray, "Hv Wv 3"]]) -> None:
    """Prints the warning, if there is one."""
    if line := warning(network, images):
        print(line, file=sys.stderr)


def _has_weights_of_micro(network: Sam2Network) -> bool:
    own, stored = network.model.state_dict(), read(WEIGHTS)
    if own.keys() != stored.keys() or any(own[name].shape != stored[name].shape for name in own):
        return False
    return all(torch.equal(own[name].cpu(), value.to(own[name].dtype)) for name, value in stored.items())
