"""Compares memory policies over the same frames: `python -m experiments.ablate 'variants=[sam2,skip_absent]'`."""

from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from framework.benchmarks.papers import requested
from framework.config.checks import build, limit_threads
from framework.config.cli import command
from framework.data.excerpt import excerpt, first_frames
from framework.errors import PartlyFailed
from framework.evaluation.evaluate import evaluate
from framework.evaluation.workers import Workers
from framework.networks import unfamiliar
from framework.report.report import tell
from framework.report.sequence_progress import SequenceProgress
from framework.report.sweep import Compared, conclude

FLAGS = dict.fromkeys(("keep_going", "hypotheses", "full_traces", "profile"), bool)
OPTIONS = {"output": str, "threads": int | None, "workers": Workers, **FLAGS}


def compare(config: DictConfig) -> Compared:
    """Tracks what is not on disk yet, prints the table and writes the report. Interrupt it at will."""
    limit_threads(config.threads)
    console, (chosen, table) = Console(), requested(config)
    data, protocol, reporter, logger = (build(config[part]) for part in ("data", "protocol", "report", "logger"))
    data = excerpt(data, **config.excerpt)
    reporter.check([variant.name for variant in chosen], data)
    logger.check()
    if table is not None:
        table.check(data)
    network = protocol.network(build(config.backbone))
    unfamiliar.warn(network, first_frames(data))
    trackers = {variant.name: variant.tracker(network) for variant in chosen}
    options = {variant.name: variant.resolved for variant in chosen}
    with torch.inference_mode(), SequenceProgress(console) as progress:
        behaviour = config.keep_going, options, config.hypotheses, config.workers
        comparison = evaluate(trackers, data, Path(config.output), protocol, progress, *behaviour)
    published = None if table is None else table.compare(comparison, data, protocol.empty)
    result = Compared(comparison, OmegaConf.to_yaml(config, resolve=True))
    report = reporter.report(comparison, data, result.configuration, published)
    report.present(console, Path(config.output))
    tell(console, "wandb", logger.log(report, data, options))
    if failures := {**comparison.lost, **comparison.failures}:
        name, reason = next(iter(failures.items()))
        raise PartlyFailed(result, f"{len(failures)} failed, first {name}: {reason}")
    return result


@command("ablate", conclude, **OPTIONS)
def main(config: DictConfig) -> Compared:
    return compare(config)


if __name__ == "__main__":
    main()
