"""Track one video into masks, boxes, a record of memory and an overlay: source=clip.mp4 prompt.mask=first.png."""

from pathlib import Path

import torch
from omegaconf import DictConfig

from framework.config.checks import build, limit_threads
from framework.config.cli import command
from framework.config.variants import variants
from framework.data.prompts import Placed
from framework.data.sources.data_set import own_prompts, sequence_source
from framework.data.sources.frame_range import FrameRange
from framework.data.sources.source import Source, open_source
from framework.inference.folder import TrackFolder, decides
from framework.inference.plan import TrackingPlan
from framework.inference.remarks import announced
from framework.networks import unfamiliar
from framework.report.progress import WorkProgress

TEXTS = dict.fromkeys(("sequence", "prompts", "output"), str | None)
NUMBERS = {"first": int, "stride": int, **dict.fromkeys(("last", "frames", "loop", "threads"), int | None)}


def asked(config: DictConfig) -> tuple[Source, list[Placed]]:
    """What is tracked and where its objects are. Raises InputError."""
    data, frames = config.get("data"), FrameRange(config.first, config.last, config.stride, config.frames)
    if data is None and config.source is not None:
        return open_source(config.source, frames, config.loop), build(config.prompt)
    source = sequence_source(data and build(data), config.sequence, frames, (config.source, config.loop))
    return source, build(config.prompt) or own_prompts(source)


@command("track", source=str | int | None, direction=str, outputs=list[str], overwrite=bool, **TEXTS, **NUMBERS)
def main(config: DictConfig) -> None:
    """Prints where the results are."""
    limit_threads(config.threads)
    source, placed = asked(config)
    plan = TrackingPlan.of(source, placed, config.direction)
    (variant,) = variants(config)
    tracker = variant.tracker(network := build(config.backbone))
    plan.check(tracker)
    data = variant.resolved.get("data")
    configuration, key = decides(config.source, source, plan.schedule, tracker, config.outputs, data)
    configuration = {**configuration, **plan.described()}
    whole = announced(source)
    output = Path(config.output or f"outputs/track/{source.name}-{variant.file_name}{plan.suffix}")
    with (
        torch.inference_mode(),
        TrackFolder(output, configuration, config.outputs, source.size, key, config.overwrite, whole) as folder,
        WorkProgress("frames", source.length, description=source.name) as progress,
    ):
        if line := folder.journal.resumption():
            progress.print(f"{output}: {line}")
        paths = plan.write(tracker, folder, config.outputs, progress, lambda image: unfamiliar.warn(network, [image]))
    print(f"{int(progress.done)} frames at {progress.rate:.1f} fps -> {output}/: {', '.join(p.name for p in paths)}")


if __name__ == "__main__":
    main()
