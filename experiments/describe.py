"""Counts a data set's attributes and draws a contact sheet: `python -m experiments.describe data=distractors`."""

from pathlib import Path

import cv2
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from framework.config.checks import build, positive
from framework.config.cli import command
from framework.data.describe import census, contact_sheet
from framework.errors import InputError


@command("describe", videos=int, every=int, rows=int, output=str)
def main(config: DictConfig) -> None:
    """Prints one line per attribute and writes a picture."""
    positive(videos=config.videos, every=config.every, rows=config.rows)
    path = Path(config.output)
    if not cv2.haveImageWriter(path.name):
        raise InputError(f"output={path} is no picture: give a name that ends in .png or .jpg")
    data = build(config.data)
    counts = census(data, config.videos, config.every)
    table = Table("attribute", "frames", "share", "videos", title=f"{data.name}: {counts.videos} videos")
    for name in sorted(counts.frames_with):
        frames = counts.frames_with[name]
        table.add_row(name, f"{frames}", f"{frames / counts.frames:.3f}", f"{counts.videos_with[name]}")
    Console().print(table)
    sheet = contact_sheet([data.sequence(index) for index in range(min(config.rows, len(data)))])
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), sheet[..., ::-1]):
        raise OSError(f"{path} could not be written")
    print(path)


if __name__ == "__main__":
    main()
