"""Tunes methods on validation videos: `python -m experiments.tune 'methods=[dam4sam,samurai,skip_absent]'`."""

from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from experiments.ablate import OPTIONS
from framework.config.checks import build, limit_threads
from framework.config.cli import command
from framework.config.search_space import held_out, tuned_methods
from framework.data.excerpt import excerpt, first_frames
from framework.errors import PartlyFailed
from framework.evaluation.evaluate import evaluate
from framework.evaluation.tuning import Tuning, check_apart
from framework.networks import unfamiliar
from framework.report.report import tell
from framework.report.sequence_progress import SequenceProgress
from framework.report.tuning import TuningTable


@command("tune", trials=int, batch=int, prune=float | None, **OPTIONS)
def main(config: DictConfig) -> None:
    """Tries settings on validation videos, then measures the best ones on test videos. Interrupt it at will."""
    limit_threads(config.threads)
    console, output, methods = Console(), Path(config.output), tuned_methods(config)
    protocol, reporter, logger = (build(config[part]) for part in ("protocol", "report", "logger"))
    data, test = (excerpt(build(node), **config.excerpt) for node in (config.data, held_out(config.data, config.test)))
    check_apart(data, test)
    reporter.check([method.untuned.name for method in methods], test)
    logger.check()
    network = protocol.network(build(config.backbone))
    unfamiliar.warn(network, first_frames(data))
    with torch.inference_mode(), SequenceProgress(console) as progress:
        how = config.metric, config.trials, config.batch, config.seed, config.prune
        tuning = Tuning(data, output, protocol, *how, progress)
        tasks = [tuning.task(method.at, method.own, method.space, network) for method in methods]
        tuned = tuning.run(tasks)
        rows = {row.name: row for task, one in zip(tasks, tuned, strict=True) for row in task.compared(one)}
        trackers, options = (
            {name: getattr(row, part) for name, row in rows.items()} for part in ("tracker", "options")
        )
        behaviour = config.keep_going, options, config.hypotheses, config.workers
        comparison = evaluate(trackers, test, output, protocol, progress, *behaviour)
    table = TuningTable.of(tuned, data, comparison, config.metric, config.seed)
    report = reporter.report(comparison, test, OmegaConf.to_yaml(config, resolve=True), tuning=table)
    report.present(console, output)
    tell(console, "study", [tuning.folder / f"{one.study}.db" for one in tuned])
    tell(console, "wandb", logger.log(report, test, options))
    if failures := {**comparison.lost, **comparison.failures}:
        name, reason = next(iter(failures.items()))
        raise PartlyFailed(None, f"{len(failures)} failed, first {name}: {reason}")


if __name__ == "__main__":
    main()
