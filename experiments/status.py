"""How far an evaluation is, with the options of `experiments.ablate`: `'variants=[sam2,skip_absent]' data=hard`."""

from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from framework.benchmarks.papers import requested
from framework.config.checks import build
from framework.config.cli import command
from framework.data.excerpt import excerpt
from framework.evaluation.evaluate import status


@command("ablate", output=str)
def main(config: DictConfig) -> None:
    """Prints what is done, running, failed (with the reason) and missing, by variant; changes nothing."""
    console, protocol, data = Console(), build(config.protocol), excerpt(build(config.data), **config.excerpt)
    chosen, _ = requested(config)
    network = protocol.network(build(config.backbone))
    trackers = {variant.name: variant.tracker(network) for variant in chosen}
    found = status(trackers, data, Path(config.output), protocol)
    table = Table("variant", "done", "running", "failed", "missing", title=f"{data.name}: {len(data)} sequences")
    for name, p in found.items():
        table.add_row(name, *(str(len(part)) for part in (p.done, p.running, p.failed, p.missing)))
    console.print(table)
    for name, p in found.items():
        for sequence in p.running:
            console.print(f"running {name} {sequence}", highlight=False, markup=False, soft_wrap=True)
        for sequence, reason in p.failed.items():
            console.print(f"failed  {name} {sequence}: {reason}", highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
