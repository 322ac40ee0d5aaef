"""Compares memory policies over the same frames: `python -m experiments.ablate 'variants=[sam2,skip_absent]'`."""

from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from framework.benchmarks.papers import requested
from framework.config.checks import build, limit_threads
from framework.config.cli import command
from framework.data.excerpt import excerpt
from framework.evaluation.evaluate import evaluate
from framework.report.sequence_progress import SequenceProgress
from framework.storage.files import safe_name


def compare(config: DictConfig) -> None:
    """Tracks what is not on disk yet, prints the table and writes the report. Interrupt it at will."""
    limit_threads(config.threads)
    console, output, (chosen, table) = Console(), Path(config.output), requested(config)
    data, protocol, reporter, logger = (build(config[part]) for part in ("data", "protocol", "report", "logger"))
    data = excerpt(data, **config.excerpt)
    reporter.check([variant.name for variant in chosen], data)
    logger.check()
    if table is not None:
        table.check(data)
    network = protocol.network(build(config.backbone))
    trackers = {variant.name: variant.tracker(network) for variant in chosen}
    with torch.inference_mode(), SequenceProgress(console) as progress:
        comparison = evaluate(trackers, data, output, protocol, progress, config.keep_going)
    published = None if table is None else table.compare(comparison, data, protocol.empty)
    report = reporter.report(comparison, data, OmegaConf.to_yaml(config, resolve=True), published)
    report.show(console)
    page, *files = report.write(output / safe_name(data.name) / "reports" / report.name)
    places = {"report": [page], "picture": files[: len(report.pictures)], "wandb": logger.log(report)}
    for kind, paths in places.items():
        for path in paths:
            console.print(f"{kind:8}{path}", highlight=False, soft_wrap=True)
    if comparison.failures or comparison.lost:
        raise SystemExit(1)


@command("ablate", output=str, keep_going=bool, full_traces=bool, profile=bool, threads=int | None)
def main(config: DictConfig) -> None:
    compare(config)


if __name__ == "__main__":
    main()
