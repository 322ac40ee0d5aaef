"""Do memories come in the same order on other videos? `results=[outputs/real/<data set>,outputs/real/<another>]`."""

from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from framework.config.cli import command
from framework.errors import InputError
from framework.report import ranks
from framework.storage.files import write_atomic


@command("rank", results=list[str], variants=list[str] | None, bounds=bool, seed=int, output=str | None)
def main(config: DictConfig) -> None:
    """Prints, for every two results, both orders and how far they agree."""
    if config.seed < 0:
        raise InputError(f"seed={config.seed} must be 0 or more")
    console = Console()
    tables = [ranks.read_videos(Path(path)) for path in config.results]
    rankings = ranks.rank(tables, config.variants, config.bounds, config.seed)
    for ranking in rankings:
        for table in ranks.rich_tables(ranking, console.width):
            console.print(table)
        for line in ranking.lines():
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    if config.output is not None:
        output = Path(config.output)
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(output, ranks.csv_table(rankings).encode())


if __name__ == "__main__":
    main()
