"""Counts a data set's attributes and draws a contact sheet: `python -m experiments.describe data=distractors`."""

from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from framework.config.checks import build, positive
from framework.config.cli import command
from framework.data.describe import census, contact_sheet
from framework.report.picture_files import check_picture_name, write_picture


@command("describe", videos=int, every=int, rows=int, output=str)
def main(config: DictConfig) -> None:
    """Prints one line per attribute and writes a picture."""
    positive(videos=config.videos, every=config.every, rows=config.rows)
    path = Path(config.output)
    check_picture_name(path)
    data = build(config.data)
    counts = census(data, config.videos, config.every)
    table = Table("attribute", "frames", "share", "videos", title=f"{data.name}: {counts.videos} videos")
    for name in sorted(counts.frames_with):
        frames = counts.frames_with[name]
        table.add_row(name, f"{frames}", f"{frames / counts.frames:.3f}", f"{counts.videos_with[name]}")
    Console().print(table)
    sheet = contact_sheet([data.sequence(index) for index in range(min(config.rows, len(data)))])
    write_picture(path, sheet)
    print(path)


if __name__ == "__main__":
    main()
