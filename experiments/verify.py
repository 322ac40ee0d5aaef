"""This engine beside sam2's own predictor: `python -m experiments.verify backbone=sam2.1_hiera_t source=clip.mp4`."""

import json
from itertools import islice

from omegaconf import DictConfig

from framework.config.checks import build, limit_threads, positive
from framework.config.cli import command
from framework.data.sources.data_set import SequenceSource
from framework.data.sources.source import open_source
from framework.diagnostics.fingerprint import has_known_numbers
from framework.diagnostics.upstream import LEAST_FRAMES
from framework.diagnostics.verification import beside_known_numbers, beside_predictor
from framework.errors import InputError
from framework.report.terminal import show
from framework.tracker import Tracker
from policies.sam2 import Sam2


@command("verify", frames=int, repeats=int, threads=int | None, source=str | None, json=bool)
def main(config: DictConfig) -> None:
    """Prints how far this machine is from the authors' own code. Raises InputError where they disagree."""
    positive(repeats=config.repeats)
    if config.frames < LEAST_FRAMES:
        raise InputError(f"frames={config.frames} must be {LEAST_FRAMES} or more: corrections come on frame 4")
    limit_threads(config.threads)
    network, name = build(config.backbone), config.backbone.get("name", "")
    if has_known_numbers(name):
        found = beside_known_numbers(network, name, config.backbone.checkpoint, Sam2())
    else:
        data = build(config.data)
        video = open_source(config.source) if config.source else SequenceSource(data.name, data.sequence(0))
        frames = list(islice(video.frames(), config.frames))
        found = beside_predictor(Tracker(network, Sam2()), video.name, frames, config.repeats)
    if config.json:
        print(json.dumps(found.record))
    else:
        show(found.title, found.columns, found.rows)
        for line in found.lines:
            print(line)
    if not found.agrees:
        raise InputError(f"this engine and {found.other} disagree: {found.verdict}")
    if not config.json:
        print(f"agrees with {found.other}: {found.verdict}")


if __name__ == "__main__":
    main()
