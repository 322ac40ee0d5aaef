"""Tables, pictures and the HTML page of a comparison whose numbers are known."""

import csv
import io
import math
import re
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from rich.console import Console

from framework.errors import InputError
from framework.evaluation.evaluate import evaluate
from framework.metrics.statistics import Difference
from framework.report import html, pictures, plots, table
from framework.report.attributes import by_attribute
from framework.report.report import Reporter
from framework.report.sequence_progress import SequenceProgress
from framework.tracker import Tracker
from tests.fakes.squares import SIDE, First, Latest, Square, SquareNetwork, Squares

NETWORK = SquareNetwork()
VIDEOS = Squares((*Squares().videos, Square("broken", 5, 0, broken_at=2)))


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    trackers = {name: Tracker(NETWORK, policy) for name, policy in (("latest", Latest()), ("first", First()))}
    return evaluate(trackers, VIDEOS, tmp_path_factory.mktemp("results"))


def test_rows_compare_with_the_first_variant_on_common_sequences(comparison):
    latest, first = table.rows(comparison)
    values = np.stack([run.values("jaccard", ["alpha", "beta", "gamma"]) for run in comparison.runs])
    assert latest.difference is None and latest.mean == pytest.approx(values[0].mean())
    assert first.difference.mean == pytest.approx((values[1] - values[0]).mean())
    assert first.difference.videos == 3 and latest.failed == 1
    assert first.p == first.difference.p  # one comparison needs no correction


def test_markdown_csv_and_terminal_say_the_same(comparison):
    rows = table.rows(comparison)
    markdown = table.markdown(comparison, rows)
    assert f"| latest | {rows[0].mean:.3f} |" in markdown and "minus latest [95 %]" in markdown
    assert "24 encodings for 24 frames" in markdown and "1 failed and left out: broken: OSError" in markdown
    lines = list(csv.DictReader(io.StringIO(table.csv_table(rows))))
    assert float(lines[1]["difference"]) == rows[1].difference.mean and lines[0]["difference"] == ""
    assert float(lines[1]["jaccard"]) == rows[1].mean
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(*table.rich_tables(rows))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80 and f"{rows[1].difference.mean:+.3f} [" in text


@pytest.mark.parametrize(
    ("mean", "low", "high", "text"),
    [
        (-0.018, -0.036, -0.0002, "-0.0180 [-0.0360, -0.0002]"),
        (0.02, 0.00004, 0.051, "+0.02000 [+0.00004, +0.05100]"),
        (-0.018, -0.036, 0.0002, "-0.018 [-0.036, +0.000]"),
        (0.018, 0.0006, 0.036, "+0.018 [+0.001, +0.036]"),
        (0.0, 0.0, 0.0, "+0.000 [+0.000, +0.000]"),
        (math.nan, math.nan, math.nan, "+nan [+nan, +nan]"),
    ],
)
def test_an_interval_that_leaves_zero_out_shows_it(mean, low, high, text):
    assert table.interval(Difference(mean, low, high, wins=1, ties=0, losses=1, p=0.5)) == text


def test_a_long_name_is_written_in_several_lines_beside_its_frames(comparison):
    records = {run.name: run.folder.load("alpha") for run in comparison.runs}
    longer = {f"{name} policy.slots=3": record for name, record in records.items()}
    longest = {f"{name} policy.slots=3 motion.weight=1": record for name, record in records.items()}
    short, long, more = (pictures.grid(VIDEOS.sequence(0), names).shape for names in (records, longer, longest))
    assert short[0] == long[0] == more[0] and short[1] < long[1]
    assert more[1] - short[1] < 1.5 * (long[1] - short[1])


def test_one_variant_has_no_comparison_columns(tmp_path):
    alone = evaluate({"latest": Tracker(NETWORK, Latest())}, Squares(), tmp_path)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(*table.rich_tables(table.rows(alone)))
    assert "win/tie/loss" not in console.export_text()


def test_most_different_sequences_and_their_telling_frames(comparison):
    names = pictures.most_different(comparison, "jaccard", 2)
    spread = {
        name: abs(np.subtract(*[run.values("jaccard", [name])[0] for run in comparison.runs]))
        for name in comparison.sequences
    }
    assert names == sorted(spread, key=spread.get, reverse=True)[:2]
    records = {run.name: run.folder.load("alpha") for run in comparison.runs}
    frames = pictures.telling_frames(records, 3)
    assert frames == sorted(frames) and len(set(frames)) == 3 and 0 not in frames
    gap = [abs(a - b) for a, b in zip(*[record.objects[1].iou[1:] for record in records.values()], strict=True)]
    assert int(np.argmax(gap)) + 1 in frames


def test_the_grid_tints_every_variants_mask_and_outlines_the_truth(comparison):
    video, step, cell = VIDEOS.videos[1], pictures.TILE + pictures.GAP, pictures.TILE / SIDE
    records = {run.name: run.folder.load("beta") for run in comparison.runs}
    frames = pictures.telling_frames(records, 3)
    grid = pictures.grid(video, records, columns=3)
    margin = grid.shape[1] - len(frames) * step
    assert grid.dtype == np.uint8 and grid.shape[0] == pictures.BAND + len(records) * step and margin > 0
    masks = {
        (name, frame): record.objects[1].mask_at(frame, (SIDE, SIDE))
        for name, record in records.items()
        for frame in frames
    }
    assert any((masks["latest", frame] != masks["first", frame]).any() for frame in frames)
    centres = ((np.arange(SIDE) + 0.5) * cell).astype(int)
    for (name, frame), mask in masks.items():
        top, left = pictures.BAND + [*records].index(name) * step, margin + frames.index(frame) * step
        tile = grid[top : top + pictures.TILE, left : left + pictures.TILE].astype(int)
        blue = tile[..., 2] > tile[..., 0] + 20  # the tint of object 1; the picture itself is grey
        np.testing.assert_array_equal(blue[np.ix_(centres, centres)], mask)
        assert (grid[top : top + pictures.TILE, :margin] == pictures.INK).all(-1).any()
        rows, columns = np.nonzero(video.mask(frame))
        if len(rows):
            edge = tile[round(rows[0] * cell) - 2 : round(rows[0] * cell) + 3, centres[columns[1]]]
            assert (edge.min(axis=1) > 200).any()


def test_the_report_is_self_contained_and_complete(comparison, tmp_path):
    report = Reporter(pictures=2).report(comparison, VIDEOS, "seed: 0\nname: <script>\n")
    files = report.write(tmp_path / "reports")
    assert [path.name for path in files[:1]] == ["report.html"] and all(path.stat().st_size for path in files)
    page = files[0].read_text()
    assert page.count("data:image/jpeg;base64,") == 2
    assert page.count("data:image/png;base64,") == len(report.figures)
    links = re.findall(r"""(?:src|href)=["'](?!data:)(.*?)["']""", page)
    assert links == [f"#{key}" for key in re.findall(r'<h2 id="(.*?)">', page)] and "http" not in page
    assert "&lt;script&gt;" in page and "<script" not in page
    assert "OSError: frame 2 cannot be read" in page
    assert report.name == Reporter().report(comparison, VIDEOS, "").name


def test_the_page_lists_its_sections_and_has_tables_before_pictures(comparison):
    report = Reporter(pictures=2).report(comparison, VIDEOS, "seed: 0\n")
    page = html.page(comparison, report.rows, report.layout, report.figures, report.pictures, "seed: 0\n")
    headings = re.findall(r"<h2 id=.*?>(.*?)</h2>", page)
    assert headings == re.findall(r"<li><a .*?>(.*?)</a></li>", page)
    assert headings == [
        *("Comparison", "All scores", "jaccard per sequence", "Failed", "Differences per sequence"),
        *("Over the course of the videos", "Where variants differ most", "Configuration"),
    ]
    assert page.rindex("</table>") < page.index("<img ")
    assert page.count('<label class="picture"><input type="checkbox"><img ') == page.count("<img ") == 4


def test_headings_are_names_of_options_and_say_what_they_are(comparison):
    layout = table.TableLayout("redetections", ("jaccard", "absent_accuracy", "read", "ms"))
    rows = table.rows(comparison, layout)
    assert table.header("latest", layout) == [
        *("variant", "redetections", "minus latest [95 %]", "win/tie/loss", "p (Holm)"),
        *("jaccard", "absent_accuracy", "read", "ms"),
    ]
    page = html.page(comparison, rows, layout, {}, {}, "")
    tips = dict(re.findall(r'<th title="(.*?)">(.*?)</th>', page))
    titles = {title: tip for tip, title in tips.items()}
    assert set(titles) == {*table.header("latest", layout)[1:], *table.METRICS}
    assert titles["win/tie/loss"].endswith("equal (within 0.0005) and worse than latest")
    for name in (layout.metric, *layout.columns):
        assert titles[name] == table.COLUMNS[name]
        assert table.caption(comparison, rows, layout).count(f"{name}: {table.COLUMNS[name]}") == 1


def test_the_colours_of_forty_variants_are_told_apart():
    styles = [plots._style(index) for index in range(40)]
    assert len({(style["color"], style["marker"]) for style in styles}) == 40
    rgb = np.array([to_rgb(style["color"]) for style in styles[:20]], np.float32)
    lab = cv2.cvtColor(rgb[None], cv2.COLOR_RGB2LAB)[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)[np.triu_indices(20, 1)]
    assert apart.min() > 25  # 2.3 can just be seen
    assert lab[:, 0].min() > 20 and lab[:, 0].max() < 80


def test_the_course_of_the_videos_is_a_mean_over_sequences(comparison):
    course = plots.course(comparison, 0)
    table_ = np.array([comparison.runs[0].videos[name].ranges for name in comparison.sequences])
    assert course[-1] == pytest.approx(np.nanmean(table_[:, -1]))
    assert len(course) == 10


@dataclass(frozen=True)
class Hard(Square):
    """Dark on odd frames, and wide on the last ones of long videos."""

    def attributes(self, index):
        return frozenset({"dark"} if index % 2 else ()) | frozenset({"wide"} if index > 7 else ())


def test_accuracy_by_attribute_counts_the_frames_that_have_it(tmp_path):
    data = Squares((Hard("alpha", 8, 0), Hard("beta", 10, 2, (4, 6)), Hard("gamma", 6, 1)))
    trackers = {name: Tracker(NETWORK, policy) for name, policy in (("latest", Latest()), ("first", First()))}
    report = Reporter(pictures=0, attributes=True).report(evaluate(trackers, data, tmp_path), data, "")
    found = report.attributes
    assert found.videos == {"dark": 3, "wide": 1, "visible": 3, "absent": 1}
    dark = {}
    for run in report.comparison.runs:
        ious = [run.record(name).objects[1].iou for name in ("alpha", "beta", "gamma")]
        dark[run.name] = np.array([np.mean(values[1::2]) for values in ious])
    assert found.rows["latest"]["dark"].mean == pytest.approx(dark["latest"].mean())
    assert found.rows["latest"]["dark"].difference is None
    difference = found.rows["first"]["dark"].difference
    assert difference.mean == pytest.approx((dark["first"] - dark["latest"]).mean()) and difference.videos == 3
    assert found.rows["first"]["wide"].difference.videos == 1
    beta = report.comparison.runs[0].record("beta").objects[1]
    gone = [iou for iou, seen in zip(beta.iou, beta.visible, strict=True) if iou is not None and not seen]
    assert found.rows["latest"]["absent"].mean == pytest.approx(np.mean(gone))

    console = Console(width=100, record=True, file=io.StringIO())
    console.print(*found.rich_tables(100))
    shown = console.export_text()
    assert "dark (3)" in shown and f"{dark['first'].mean():.3f}" in shown
    files = {path.name: path.read_text() for path in report.write(tmp_path / "reports") if path.suffix != ".jpg"}
    assert table.interval(difference) in files["report.html"] and table.interval(difference) in files["attributes.md"]
    lines = list(csv.DictReader(io.StringIO(files["attributes.csv"])))
    named = [("latest", name) for name in ("dark", "wide", "visible", "absent")]
    assert [(line["variant"], line["attribute"]) for line in lines[:4]] == named
    assert float(lines[4]["difference"]) == difference.mean and lines[0]["difference"] == ""


def test_attributes_that_do_not_occur_have_no_value(comparison):
    found = by_attribute(comparison, VIDEOS, ["small"])
    assert found.videos == {"small": 0} and found.lines()[1:] == [["latest", "-"], ["first", "-"]]
    assert list(by_attribute(comparison, VIDEOS).videos) == ["visible", "absent"]
    with pytest.raises(InputError, match="attribute 'foggy' is unknown: choose among absent, appearance_change, "):
        Reporter(attributes=["small", "foggy"]).check(["latest"], VIDEOS)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"metric": "iou"}, "metric 'iou' is unknown: choose one of jaccard, success"), ({"seed": -1}, "0 or more")],
)
def test_wrong_options_are_one_line(options, message):
    with pytest.raises(InputError, match=message):
        Reporter(**options)


def test_progress_counts_sequences_and_names_failures(tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with SequenceProgress(console) as progress:
        evaluate({"latest": Tracker(NETWORK, Latest())}, VIDEOS, tmp_path, listener=progress)
    text = re.sub(r"\x1b\[[0-9;?]*\w", "", console.file.getvalue())
    assert "broken failed: OSError: frame 2 cannot be read" in text and "4/4" in text and "frames/s" in text
