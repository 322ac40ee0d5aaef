"""Write finished results for an official tool or server: run=outputs/<data set>/<run hash> data=lasot format=lasot."""

from pathlib import Path

from omegaconf import DictConfig

from framework.benchmarks.export import open_run
from framework.benchmarks.formats import FORMATS, export, problems
from framework.config.checks import build
from framework.config.cli import command
from framework.errors import unknown
from framework.report.progress import WorkProgress


def write(config: DictConfig) -> None:
    """Prints the path of the export; with only_check, one line per problem."""
    if config.format not in FORMATS:
        raise unknown("format", config.format, FORMATS)
    data = build(config.data)
    folder, empty = open_run(Path(config.run), data)
    if config.only_check:
        found = problems(folder, data)
        print(*(found or [f"{len(data)} sequences of {data.name} are complete"]), sep="\n")
        if found:
            raise SystemExit(1)
        return
    with WorkProgress("sequences", len(data), description="export") as progress:
        output = Path(config.output)
        path = export(FORMATS[config.format], folder, data, output, config.name, empty, progress.advance)
    print(path)


@command("export", run=str, format=str, name=str, output=str, only_check=bool)
def main(config: DictConfig) -> None:
    write(config)


if __name__ == "__main__":
    main()
