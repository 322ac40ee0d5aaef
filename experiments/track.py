"""Track one video into masks, boxes, a record of memory and an overlay: source=clip.mp4 prompt.mask=first.png."""

from pathlib import Path

import torch
from omegaconf import DictConfig

from framework.config.checks import build, check, limit_threads
from framework.config.cli import command
from framework.config.variants import variants
from framework.data.prompts import schedule
from framework.data.sources.source import open_source
from framework.errors import InputError, unknown
from framework.inference.stream import TrackFolder, stream, write_all
from framework.inference.writers import OUTPUTS, open_writers
from framework.report.progress import frame_meter
from framework.storage import identity


@command("track")
def main(config: DictConfig) -> None:
    """Prints where the results are."""
    check(config, source=str | int, frames=int | None, loop=int | None, outputs=list[str])
    check(config, output=str | None, overwrite=bool, threads=int | None)
    for name in config.outputs:
        if name not in OUTPUTS:
            raise unknown("output", name, OUTPUTS)
    limit_threads(config.threads)
    source = open_source(config.source, config.frames, config.loop)
    plan = schedule(build(config.prompt), source.size, source.length)
    (variant,) = variants(config)
    tracker = variant.tracker(build(config.backbone))
    if tracker.policy.privileged:
        raise InputError(f"{variant.name} decides by true masks, which {source.name} has none of: give another policy=")

    configuration = {
        "source": str(Path(f"{config.source}").resolve()) if Path(f"{config.source}").exists() else config.source,
        "length": source.length,
        "prompts": identity.describe(plan),
        "tracker": identity.describe(tracker),
    }
    output = Path(config.output or f"outputs/track/{source.name}-{variant.name}")
    with (
        torch.inference_mode(),
        TrackFolder(output, configuration, config.outputs, config.overwrite) as folder,
        frame_meter(source.name, source.length) as meter,
    ):
        writers = open_writers(folder.partial, config.outputs, source, plan)
        paths = write_all(
            stream(tracker, source, plan), folder, writers, source.length is None, lambda shot: meter.advance()
        )
    print(f"{meter.frames} frames at {meter.rate:.1f} fps -> {output}/: {', '.join(path.name for path in paths)}")


if __name__ == "__main__":
    main()
