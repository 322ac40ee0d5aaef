"""Box prompts, confidence and alternatives of a backbone: `python -m experiments.diagnose data=distractors`."""

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from framework.config.checks import build, limit_threads, positive
from framework.config.cli import command
from framework.config.variants import variants
from framework.diagnostics.backbone import diagnose


@command("diagnose", videos=int, threads=int | None)
def main(config: DictConfig) -> None:
    """Prints one line per finding."""
    positive(videos=config.videos)
    limit_threads(config.threads)
    data = build(config.data)
    (variant,) = variants(config)
    tracker = variant.tracker(build(config.backbone))
    with torch.inference_mode():
        findings = diagnose(tracker, data, config.videos)
    table = Table("finding", "value", title=f"{data.name}: {min(config.videos, len(data))} videos")
    for name, value in findings.summary().items():
        table.add_row(name, f"{value:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
