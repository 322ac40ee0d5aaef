"""Whole videos through the engine against numbers of the projects' own predictors, with weights from a hash.

Three scenarios: a mask prompt with the configuration as published ("mask"), a box prompt with the predictor's
post-processing ("box"), and a mask prompt with weights that never see the object again ("absent"). Memories pass
through bfloat16, where one float32 ulp can flip a rounding: hence tolerances far above those of single modules. (A
rotary code left out of the cross-attention moves these numbers by a third to a half of their spread.)

Rounding decides more than it should: the mask of a box is binarised before it is remembered, where a few logits lie
within 1e-5 of zero, and on Hiera differences grow over the eight frames of "mask". So every video is compared with the
arithmetic of the golden run, torch's fused attention and MKL's AVX-512 kernels (hence an x86 CPU with AVX-512), and
then equals its numbers. Where neither matters a video must stay within the tolerances on any CPU, with attention as
plain matrix products, which lie closer to the golden run than the fused kernel on other matrix kernels.
"""

import subprocess
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from framework.diagnostics.deterministic_weights import OBJ_SCORE_BIAS, fill, frames_tensor, prompt_box, prompt_mask
from framework.networks.build import model
from framework.networks.sam2 import Sam2Network
from framework.tracker import Tracker, lockstep
from framework.types import Frame, Prompt, Result
from policies.sam2 import Sam2

GOLDENS = Path(__file__).parents[1] / "assets" / "goldens"
POINTER_TOKENS = 4  # per pointer
ANYWHERE = [("efficienttam_ti_512x512", "mask", 8), ("efficienttam_ti_512x512", "absent", 3), ("edgetam", "mask", 2)]
AS_RECORDED = [
    (name, scenario, frames)
    for name in ("sam2.1_hiera_t", "efficienttam_ti_512x512", "edgetam")
    for scenario, frames in (("mask", 8), ("box", 3), ("absent", 3))
]


@dataclass(frozen=True)
class Observed(Sam2Network):
    """The facade with its intermediate results kept; without `binarised`, prompted memories stay probabilities."""

    binarised: bool = True
    conditioned: list[Tensor] = field(default_factory=list)
    reads: list[Any] = field(default_factory=list)
    memories: list[Tensor] = field(default_factory=list)

    def condition(self, features: Any, reads: Any) -> Tensor:
        out = super().condition(features, reads)
        self.conditioned.append(out)
        self.reads.append(reads[0])
        return out

    def memorise(self, features: Any, logits: Tensor, presence: Tensor, prompted: Tensor) -> list[Tensor]:
        out = super().memorise(features, logits, presence, prompted & self.binarised)
        self.memories.append(out[0])
        return out


def track(name: str, scenario: str, frames: int) -> tuple[Observed, list[Result]]:
    weights = {OBJ_SCORE_BIAS: -20.0} if scenario == "absent" else None
    built = fill(model(name, dynamic_multimask=scenario == "box"), weights)
    network = Observed(built, binarised=scenario == "box")
    size = built.image_size
    prompt = Prompt(box=tuple(prompt_box(size).tolist())) if scenario == "box" else Prompt(mask=prompt_mask(size))
    video = [Frame(image, {1: prompt} if t == 0 else {}) for t, image in enumerate(frames_tensor(frames, size))]
    with torch.no_grad():
        results = list(lockstep({"": Tracker(network, Sam2())}, video, length=frames))
    return network, [result[""] for result in results]


def close(found: Tensor, expected: np.ndarray, atol: float, what: str, spread: np.ndarray | None = None) -> None:
    """Within `atol` everywhere, and within a thousandth of the spread (the expected values' own) on average."""
    found = found.detach().float().reshape(expected.shape).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol, err_msg=what)
    scale = (expected if spread is None else spread).std()
    if scale > 0:
        assert np.sqrt(np.mean((found - expected) ** 2)) <= 1e-3 * scale, what


def follows_golden(name: str, scenario: str, frames: int) -> None:
    check_video(name, scenario, *track(name, scenario, frames), given=scenario != "box")


def check_video(name: str, scenario: str, network: Observed, results: list[Result], given: bool) -> None:
    """What was tracked is what the file says; `given`: from a mask."""
    with np.load(GOLDENS / f"{name}.npz") as file:
        golden = {key: file[key] for key in file.files if key.startswith(f"{scenario}/")}
    for t, result in enumerate(results):
        expected = {key.split("/")[-1]: value for key, value in golden.items() if f"/frame{t}/" in key}
        if not expected:
            continue
        shown, at = result.tracks[1], f"{scenario} frame {t}: "
        grid, video = shown.logits.shape[-1] // 64, result.size[0] // 16
        close(shown.logits[::grid, ::grid], expected["pred_masks"], 1e-2, at + "mask logits")
        stats = [shown.logits.mean(), shown.logits.std(correction=0), shown.logits.min(), shown.logits.max()]
        close(torch.stack(stats), expected["pred_masks_stats"], 1e-2, at + "mask statistics")
        close((shown.logits > 0).float().mean(), expected["foreground_fraction"], 1e-3, at + "foreground")
        upsampled = torch.nn.functional.interpolate(shown.logits[None, None], result.size, mode="bilinear")[0, 0]
        close(upsampled[::video, ::video], expected["video_res_masks"], 1e-2, at + "video mask", expected["pred_masks"])
        close(shown.candidates.pointers[0, shown.choice], expected["obj_ptr"], 2e-3, at + "pointer")
        close(shown.candidates.presence, expected["object_score_logits"], 2e-3, at + "object score")
        memory = network.memories[t].float()
        kept = torch.stack([memory.mean(), memory.std(correction=0), memory.min(), memory.max()])
        np.testing.assert_allclose(kept, expected["maskmem_stats"], rtol=0, atol=2e-2, err_msg=at + "memory")
        if t == 0 and given:
            continue  # a given mask is its own answer, without the decoder's
        if shown.candidates.iou.shape[1] < len(expected["ious"]):  # of three under a click, the best lives on
            best = slice(expected["ious"].argmax(), expected["ious"].argmax() + 1)
            expected |= {"ious": expected["ious"][best], "multimasks": expected["multimasks"][best]}
        close(shown.candidates.iou, expected["ious"], 2e-3, at + "predicted IoU")
        if scenario != "absent":  # there the masks of all hypotheses are replaced
            step = shown.logits.shape[-1] // 16
            masks = shown.candidates.logits[0, :, ::step, ::step]
            close(masks, expected["multimasks"], 1e-2, at + "hypotheses")
        if "memory_tokens" in expected:
            read, conditioned = network.reads[t - 1], network.conditioned[t - 1].flatten(2).permute(2, 0, 1)
            pointers = POINTER_TOKENS * len(read.pointers)
            tokens = len(read.spatial) * memory[0].numel() + pointers
            assert [tokens, pointers] == expected["memory_tokens"].tolist(), at + "tokens"
            if "memory_attention" in expected:
                step = max(len(conditioned) // 256, 1)
                close(conditioned[::step, :, ::16], expected["memory_attention"], 1e-2, at + "memory attention")


@pytest.mark.parametrize(("name", "scenario", "frames"), ANYWHERE)
def test_on_any_cpu(name: str, scenario: str, frames: int) -> None:
    with sdpa_kernel(SDPBackend.MATH):
        follows_golden(name, scenario, frames)


@pytest.fixture
def avx512(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Executor]:
    """A process in which MKL multiplies matrices with the AVX-512 kernels of the golden run.

    MKL keeps them for CPUs of its own vendor. MKL_CBWR, MKL_ENABLE_INSTRUCTIONS and MKL_DEBUG_CPU_TYPE do not bring
    them to others, so a preloaded library answers MKL's question for the vendor.
    """
    library = tmp_path / "vendor.so"
    answers = "int mkl_serv_intel_cpu(void) { return 1; }\nint mkl_serv_intel_cpu_true(void) { return 1; }\n"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, "-xc", "-"], input=answers, text=True, check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    with ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (1,)) as process:
        yield process


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scenario", "frames"), AS_RECORDED)
def test_as_recorded(name: str, scenario: str, frames: int, avx512: Executor) -> None:
    avx512.submit(follows_golden, name, scenario, frames).result()
