"""This engine beside sam2's own predictor: `python -m experiments.verify backbone=sam2.1_hiera_t source=clip.mp4`."""

import json
from dataclasses import asdict
from itertools import islice

import torch
from omegaconf import DictConfig

from framework.config.checks import build, limit_threads, positive
from framework.config.cli import command
from framework.data.sources.data_set import SequenceSource
from framework.data.sources.source import open_source
from framework.diagnostics import columns
from framework.diagnostics.upstream import LEAST_FRAMES, TOLERANCE, compare, costs, peak_mib
from framework.errors import InputError
from framework.report.terminal import show
from framework.tracker import Tracker
from policies.sam2 import Sam2


@command("verify", frames=int, repeats=int, threads=int | None, source=str | None, json=bool)
def main(config: DictConfig) -> None:
    """Prints differences of logits, masks and decisions, speed and memory. Raises InputError where they disagree."""
    positive(repeats=config.repeats)
    if config.frames < LEAST_FRAMES:
        raise InputError(f"frames={config.frames} must be {LEAST_FRAMES} or more: corrections come on frame 4")
    limit_threads(config.threads)
    data = build(config.data)
    video = open_source(config.source) if config.source else SequenceSource(data.name, data.sequence(0))
    frames = list(islice(video.frames(), config.frames))
    tracker = Tracker(network := build(config.backbone), Sam2())
    with torch.inference_mode():
        found, cost = compare(tracker, frames), costs({"sam2": tracker}, frames, config.repeats)[0]
    tolerance, peak = TOLERANCE[network.autocast], peak_mib(network.device)
    within = all(each.within(tolerance) for each in found)
    if config.json:
        told = {"video": video.name, "agreement": list(map(asdict, found)), "cost": asdict(cost), "peak_mib": peak}
        print(json.dumps(told | {"tolerance": tolerance, "agrees": within}))
    else:
        rows = [
            (each.prompts, f"{each.logits:.1e}", f"{each.iou:.4f}", each.decisions, each.compared) for each in found
        ]
        show(f"{video.name}, {len(frames)} frames", columns.AGREEMENT, rows)
        speed = f"{cost.ours:.1f} ms a frame, sam2's predictor {cost.theirs:.1f}: {cost.theirs / cost.ours:.2f}x"
        print(f"{speed}; at most {peak:.0f} MiB were in use")
    verdict = f"logits within {max(each.logits for each in found):.1e} standard deviations, {tolerance:g} allowed"
    if not within:
        raise InputError(f"this engine and sam2's predictor disagree: {verdict}")
    if not config.json:
        print(f"agrees with sam2's predictor: {verdict}")


if __name__ == "__main__":
    main()
