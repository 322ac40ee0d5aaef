"""Compares memory policies over the same frames: `python -m experiments.ablate 'variants=[sam2,skip_absent]'`."""

from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from framework.cli import build, command, unknown
from framework.evaluation import evaluate
from framework.report.report import make
from framework.report.sequence_progress import SequenceProgress
from framework.report.table import METRICS, caption, rich_table
from framework.results import safe_name
from framework.variants import variants


def compare(config: DictConfig) -> None:
    """Tracks what is not on disk yet, prints the table and writes the report. Interrupt it at will."""
    if config.metric not in METRICS:
        raise unknown("metric", config.metric, METRICS)
    console = Console()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    chosen, data, protocol, logger = variants(config), build(config.data), build(config.protocol), build(config.logger)
    logger.check()
    network = build(config.backbone)
    trackers = {variant.name: variant.tracker(network) for variant in chosen}
    output = Path(config.output)
    with torch.inference_mode(), SequenceProgress(console) as watch:
        comparison = evaluate(trackers, data, output, protocol, watch)
    report = make(
        comparison, data, config.metric, config.seed, config.pictures, OmegaConf.to_yaml(config, resolve=True)
    )
    console.print(rich_table(comparison, report.rows, config.metric))
    for line in caption(comparison):
        console.print(line, style="dim", highlight=False, markup=False)
    files = report.write(output / safe_name(data.name) / "reports" / report.name)
    for path in files[: 1 + len(report.pictures)]:
        console.print(f"[dim]{'report ' if path.suffix == '.html' else 'picture'}[/dim] {path}", soft_wrap=True)
    logged = logger.log(report)
    if logged is not None:
        console.print(f"[dim]wandb  [/dim] {logged}", soft_wrap=True)
    if comparison.failures:
        raise SystemExit(1)


@command("ablate")
def main(config: DictConfig) -> None:
    compare(config)


if __name__ == "__main__":
    main()
