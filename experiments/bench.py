"""Cost of a backbone and of running policies in lockstep, on this machine: `-m backbone=micro,edgetam threads=1`."""

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from framework.benchmark import components, locksteps
from framework.cli import build, check, command, limit_threads, positive
from framework.decisions import decisions, in_the_loop
from framework.types import Frame
from framework.variants import variants


def table(title: str, *columns: str) -> Table:
    made = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        made.add_column(column, justify="right" if index else "left")
    return made


@command("bench")
def main(config: DictConfig) -> None:
    """Prints the cost of each component, the gain of lockstep over separate runs, and the cost of a decision."""
    check(config, frames=int, repeats=int, threads=int | None)
    for name in ("frames", "repeats"):
        positive(name, config[name])
    console = Console()
    limit_threads(config.threads)
    network = build(config.backbone)
    trackers = {variant.name: variant.tracker(network) for variant in variants(config)}
    video = build(config.data).sequence(0)
    prompts = video.prompts()
    frames = [Frame(video.frame(index), prompts.get(index, {})) for index in range(min(config.frames, video.length))]
    with torch.inference_mode():
        costs = components(network, config.repeats)
        whole = sum(cost.milliseconds for cost in costs)
        title = f"{config.backbone.get('name', 'micro')}, {network.input_size[0]} px, {network.device}"
        made = table(title, "component", "parameters", "GFLOP", "ms", "share")
        for c in costs:
            share = f"{c.milliseconds / whole:.0%}"
            made.add_row(c.component, f"{c.parameters:,}", f"{c.gigaflops:.2f}", f"{c.milliseconds:.1f}", share)
        console.print(made)
        made = table("lockstep", "trackers", "ms/frame", "apart", "gain", "rows asked", "computed")
        for k in locksteps(trackers, frames, config.repeats):
            times = f"{k.together:.1f}", f"{k.apart:.1f}", f"{k.apart / k.together:.2f}x"
            made.add_row(str(k.trackers), *times, str(k.rows_asked), str(k.rows_computed))
        console.print(made)
        made = table(f"decisions while {len(frames)} frames are tracked", "policy", "ms/frame")
        for name, tracker in trackers.items():
            made.add_row(name, f"{in_the_loop(tracker, frames, config.repeats):.2f}")
        console.print(made)
        made = table("decision at 720p, ms", "policy", "target", "calm", "distractor", "specks", "scene", "tie")
        for name, tracker in trackers.items():
            for d in decisions(tracker.policy, tracker.motion):
                parts = (d.calm, d.distractor, d.specks, d.scene, d.tie)
                made.add_row(name, f"{d.share:.0%}", *(f"{ms:.2f}" for ms in parts))
        console.print(made)


if __name__ == "__main__":
    main()
