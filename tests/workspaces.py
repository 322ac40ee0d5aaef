"""Inputs of the official evaluators, unpacked with black frames, and their tracks as results of ours."""

import zipfile
from pathlib import Path

from framework.metrics.regions import Rectangle, Window
from tests.miniatures import object_record, saved, sequence_record, write_black_frames
from tests.trajectories import read_text

ASSETS = Path(__file__).parent / "assets/metrics"


def unpacked(name, folder):
    with zipfile.ZipFile(ASSETS / name) as archive:
        archive.extractall(folder)
    return folder


def stored(data, objects):
    """A folder of results beside the data; `objects`: what a tracker found in a video, by object id."""
    videos = [data.sequence(index) for index in range(len(data))]
    records = [sequence_record(video.name, objects(video), video.size) for video in videos]
    return saved(Path(data.root).parent / "out", data, *records)


def workspace(name, folder):
    root = unpacked(f"vots/{name}_workspace.zip", folder / "workspace")
    for path in (root / "sequences").glob("*/sequence"):
        about = dict(line.split("=", 1) for line in path.read_text().split() if "=" in line)
        names = [f"{number:08d}" for number in range(1, int(about["length"]) + 1)]
        write_black_frames(path.parent / "color", names, (int(about["width"]), int(about["height"])))
    return root


def trajectories(root, tracker):
    """What a tracker answered, as columns."""

    def objects(video):
        found, (height, width) = {}, video.size
        for key in video.prompts()[0]:
            path = root / f"results/{tracker}/baseline/{video.video}/{video.result_name(key)}.txt"
            masks, boxes = [], []
            for region in read_text(path.read_text()):
                at = region if isinstance(region, Rectangle) and not region.empty else None
                boxes.append(at and (at.x, at.y, at.x + at.width, at.y + at.height))
                masks.append(region.raster(Window(0, 0, width - 1, height - 1)))
            found[key] = object_record(masks, boxes=boxes)
        return found

    return objects
