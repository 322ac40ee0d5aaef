"""Track one video into masks, boxes, a record of memory and an overlay: source=clip.mp4 prompt.mask=first.png."""

from pathlib import Path

import torch
from omegaconf import DictConfig

from framework.config.checks import build, limit_threads
from framework.config.cli import command
from framework.config.variants import variants
from framework.data.prompts import schedule
from framework.data.sources.source import open_source
from framework.errors import InputError, unknown
from framework.inference.folder import TrackFolder, decides, write_all
from framework.inference.remarks import with_remarks
from framework.inference.stream import stream
from framework.inference.writers import OUTPUTS, open_writers
from framework.networks import unfamiliar
from framework.report.progress import WorkProgress

LIMITS = dict.fromkeys(("frames", "loop", "threads"), int | None)


@command("track", source=str | int, prompts=str | None, output=str | None, outputs=list[str], overwrite=bool, **LIMITS)
def main(config: DictConfig) -> None:
    """Prints where the results are."""
    for name in config.outputs:
        if name not in OUTPUTS:
            raise unknown("output", name, OUTPUTS)
    limit_threads(config.threads)
    source = open_source(config.source, config.frames, config.loop)
    plan = schedule(build(config.prompt), source.size, source.length)
    (variant,) = variants(config)
    tracker = variant.tracker(network := build(config.backbone))
    if tracker.policy.privileged:
        raise InputError(f"{variant.name} decides by true masks, which {source.name} has none of: give another policy=")

    configuration, key = decides(config.source, source, plan, tracker)
    output = Path(config.output or f"outputs/track/{source.name}-{variant.file_name}")
    with (
        torch.inference_mode(),
        TrackFolder(output, configuration, config.outputs, source.size, key, config.overwrite) as folder,
        WorkProgress("frames", source.length, description=source.name) as progress,
    ):
        if line := folder.journal.resumption():
            progress.print(f"{output}: {line}")
        writers = open_writers(folder.partial, config.outputs, source, plan)
        frames = stream(tracker, source, plan, folder.journal.begun)
        frames = with_remarks(frames, plan, lambda image: unfamiliar.warn(network, [image]))
        paths = write_all(frames, folder, writers, lambda frame: progress.advance(frame.position is not None))
    print(f"{int(progress.done)} frames at {progress.rate:.1f} fps -> {output}/: {', '.join(p.name for p in paths)}")


if __name__ == "__main__":
    main()
