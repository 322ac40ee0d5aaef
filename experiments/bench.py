"""Cost of a backbone and of running policies in lockstep, on this machine: `-m backbone=micro,edgetam threads=1`."""

import numpy as np
import torch
from omegaconf import DictConfig

from framework.config.checks import build, limit_threads, positive
from framework.config.cli import command
from framework.config.variants import variants
from framework.diagnostics import columns, upstream
from framework.diagnostics.components import components, locksteps, matrix_peak
from framework.diagnostics.decisions import decisions, in_the_loop
from framework.report.terminal import show
from framework.types import Frame


@command("bench", frames=int, repeats=int, threads=int | None, upstream=bool)
def main(config: DictConfig) -> None:
    """Prints the cost of each component, that of lockstep beside separate runs, and the cost of a decision."""
    positive(frames=config.frames, repeats=config.repeats)
    limit_threads(config.threads)
    network = build(config.backbone)
    trackers = {variant.name: variant.tracker(network) for variant in variants(config)}
    prompts = (video := build(config.data).sequence(0)).prompts()
    frames = [Frame(video.frame(index), prompts.get(index, {})) for index in range(min(config.frames, video.length))]
    with torch.inference_mode():
        costs = components(network, config.repeats)
        whole, peak = sum(cost.milliseconds for cost in costs), matrix_peak(network, config.repeats)
        rows: list[tuple[object, ...]] = []
        for c in costs:
            shares = f"{c.milliseconds / whole:.0%}", f"{c.speed / peak:.0%}"
            rows.append((c.component, f"{c.parameters:,}", f"{c.gigaflops:.2f}", f"{c.milliseconds:.1f}", *shares))
        name = config.backbone.get("name", "micro")
        title = f"{name}, {network.input_size[0]} px, {network.device}; a large matrix product: {peak:.0f} GFLOP/s"
        show(title, columns.COMPONENTS, rows)
        rows = []
        for k in locksteps(trackers, frames, config.repeats):
            times = f"{k.together:.1f}", f"{k.apart:.1f}", f"{k.apart / k.together:.2f}x"
            rows.append((k.trackers, *times, k.rows_asked, k.rows_computed, f"{k.held / 2**20:.1f}"))
        show("lockstep", columns.LOCKSTEP, rows)
        if config.upstream:
            beside = upstream.costs(trackers, [np.asarray(frame.image) for frame in frames], config.repeats)
            rows = [(c.trackers, f"{c.ours:.1f}", f"{c.theirs:.1f}", f"{c.theirs / c.ours:.2f}x") for c in beside]
            show("beside sam2's own predictor", columns.BESIDE_UPSTREAM, rows)
        spent = [(name, f"{in_the_loop(one, frames, config.repeats):.2f}") for name, one in trackers.items()]
        show(f"decisions while {len(frames)} frames are tracked", columns.IN_THE_LOOP, spent)
        rows = []
        for name, tracker in trackers.items():
            for d in decisions(tracker.policy, tracker.motion):
                milliseconds = (f"{ms:.2f}" for ms in (d.calm, d.distractor, d.specks, d.scene, d.tie))
                rows.append((name, f"{d.share:.0%}", *milliseconds))
        show("decision at 720p, ms", columns.DECISION, rows)


if __name__ == "__main__":
    main()
