"""Track one video into masks, boxes, a record of memory and an overlay: source=clip.mp4 prompt.mask=first.png."""

from pathlib import Path

import torch
from omegaconf import DictConfig

from framework.config.checks import build, limit_threads
from framework.config.cli import command
from framework.config.variants import variants
from framework.data.sources.source import open_source
from framework.errors import InputError, unknown
from framework.inference.folder import TrackFolder, decides
from framework.inference.plan import TrackingPlan
from framework.inference.writers import OUTPUTS
from framework.networks import unfamiliar
from framework.report.progress import WorkProgress

TEXTS = dict.fromkeys(("prompts", "output"), str | None)
LIMITS = dict.fromkeys(("frames", "loop", "threads"), int | None)


@command("track", source=str | int, direction=str, outputs=list[str], overwrite=bool, **TEXTS, **LIMITS)
def main(config: DictConfig) -> None:
    """Prints where the results are."""
    for name in config.outputs:
        if name not in OUTPUTS:
            raise unknown("output", name, OUTPUTS)
    limit_threads(config.threads)
    source = open_source(config.source, config.frames, config.loop)
    plan = TrackingPlan.of(source, build(config.prompt), config.direction)
    (variant,) = variants(config)
    tracker = variant.tracker(network := build(config.backbone))
    plan.check(tracker)
    if tracker.policy.privileged:
        raise InputError(f"{variant.name} decides by true masks, which {source.name} has none of: give another policy=")

    configuration, key = decides(config.source, source, plan.schedule, tracker)
    configuration = {**configuration, **plan.described()}
    output = Path(config.output or f"outputs/track/{source.name}-{variant.file_name}{plan.suffix}")
    with (
        torch.inference_mode(),
        TrackFolder(output, configuration, config.outputs, source.size, key, config.overwrite) as folder,
        WorkProgress("frames", source.length, description=source.name) as progress,
    ):
        if line := folder.journal.resumption():
            progress.print(f"{output}: {line}")
        paths = plan.write(tracker, folder, config.outputs, progress, lambda image: unfamiliar.warn(network, [image]))
    print(f"{int(progress.done)} frames at {progress.rate:.1f} fps -> {output}/: {', '.join(p.name for p in paths)}")


if __name__ == "__main__":
    main()
