"""Published tables: every file can be run, prints what it measured beside what was printed, and refuses in one line."""

import csv
import io
from dataclasses import replace

import huggingface_hub
import pytest

from experiments import ablate, status
from framework.benchmarks.papers import PaperNumber, PaperRow, PaperTable, Reproduction, requested
from framework.benchmarks.scores import EVALUATORS, predictions
from framework.config.checks import build
from framework.data.readers.vot import Didi
from framework.evaluation.results import RunFolder
from framework.metrics.regions import Mask
from framework.networks.micro import network
from framework.report.paper import cells, markdown
from framework.storage.identity import describe, run_hash
from tests.conf.test_ablate import call
from tests.conf.test_conf import assert_options_exist, choices, composed
from tests.miniatures import square, write_vot

ABLATION = "+paper=dam4sam_ablation"
SMALL = ("backbone.checkpoint=random", "backbone.image_size=64", "protocol.autocast=float32")
QUICK = ("logger=none", "pictures=0", "threads=1")


LONG = [name for name in choices("paper") if name.startswith("trackbench")]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG[1:] else name for name in choices("paper")]
)
def test_every_row_is_a_tracker_of_its_own(name, composition, tmp_path):
    table = build(composed("ablate", f"+paper={name}").paper)
    assert isinstance(table, PaperTable)
    (tmp_path / "sav_val").mkdir()
    cheap, run = network("random"), []
    for backbone in sorted({row.backbone for row in table.rows.values()}):
        config = composed("ablate", f"+paper={name}", f"backbone={backbone}", f"data.root={tmp_path}")
        assert_options_exist(config.backbone)
        table.check(build(config.data))
        given = build(config.protocol).network(cheap)
        made = {variant.name: run_hash(describe(variant.tracker(given))) for variant in requested(config)[0]}
        assert len(set(made.values())) == len(made)
        run += made
    assert sorted(run) == sorted(table.rows)
    assert table.second_hand or "README" not in table.source or "facebookresearch" in table.source


@pytest.fixture
def didi(tmp_path):
    """Two videos of a square that moves."""
    for name, top in (("ants", 4), ("bees", 9)):
        lines = [f"{2 + i},{top},6,6" for i in range(4)]
        first = Mask(square(2, top)).text
        write_vot(tmp_path / "data" / name, {"": lines}, frames=4, first_frame_segm__txt=first)
    return tmp_path / "data"


def test_measured_and_published_stand_side_by_side(didi, tmp_path, capsys):
    target = "framework.benchmarks.papers.PaperRow"
    other = f"{{_target_: {target}, variant: sam2, backbone: micro, published: {{Q: 0.649, Rob: 0.887}}}}"
    rows = ("backbone=micro", "paper.rows.DAM4SAM.backbone=micro", f"+paper.rows.SAM={other}")
    options = (ABLATION, f"data.root={didi}", f"output={tmp_path / 'out'}", *rows, *QUICK, "protocol.autocast=float32")
    assert call(ablate.main, *options) == 0
    shown = capsys.readouterr().out
    (page,) = (tmp_path / "out").rglob("report.html")
    (file,) = (tmp_path / "out").rglob("published.csv")
    lines = list(csv.DictReader(io.StringIO(file.read_text())))
    assert [(line["row"], line["measure"], line["published"]) for line in lines] == [
        ("DAM4SAM", "Q", "0.694"),
        ("DAM4SAM", "Acc", "0.727"),
        ("DAM4SAM", "Rob", "0.944"),
        ("SAM", "Q", "0.649"),
        ("SAM", "Rob", "0.887"),
    ]
    # What was measured is what the evaluator says of the results on disk.
    data = Didi(str(didi))
    folders = [path.parent for path in (tmp_path / "out").rglob("run.json")]
    found = [EVALUATORS["didi"](predictions(RunFolder(path, path.name), data), "zeros") for path in folders]
    for row in ("DAM4SAM", "SAM"):
        measured = {line["measure"]: float(line["measured"]) for line in lines if line["row"] == row}
        assert measured in [{name: scores[name] for name in measured} for scores in found]
    for line in lines:
        difference = float(line["measured"]) - float(line["published"])
        assert float(line["difference"]) == pytest.approx(difference)
        assert line["within"] == str(abs(difference) <= 0.005)
        printed = next(
            text.split() for text in shown.splitlines() if text.split()[:2] == [line["row"], line["measure"]]
        )
        verdict = "yes" if abs(difference) <= 0.005 else "no"
        assert printed[2:] == [
            f"{float(line['measured']):.3f}",
            f"{float(line['published']):.3f}",
            f"{difference:+.3f}",
            verdict,
        ]
    for text in ("ablation on DiDi", "read second-hand", "measured on 2 of the 180 sequences", "evaluator didi"):
        assert text in " ".join(shown.split()) and text in page.read_text()
    assert "Beside the published table" in page.read_text() and "<td>0.649</td>" in page.read_text()

    capsys.readouterr()
    assert call(status.main, *options) == 0
    done = capsys.readouterr().out
    rows = [line.split("│")[1:3] for line in done.splitlines() if line.count("│") > 2]
    assert [(row.strip(), int(count)) for row, count in rows] == [("DAM4SAM", 2), ("SAM", 2)]


def number(published, measured, tolerance=0.005):
    return PaperNumber("a", "Q", published, measured, tolerance)


def test_cells():
    assert cells(number(0.649, 0.644)) == ["a", "Q", "0.644", "0.649", "-0.005", "yes"]
    assert cells(number(0.649, 0.6439))[-1] == "no"
    assert cells(number(74.23, 74.8, 0.5)) == ["a", "Q", "74.80", "74.23", "+0.57", "no"]
    assert cells(number(74.23, 74.2301, 0.5))[4] == "+0.00"
    assert cells(number(0.649, None)) == ["a", "Q", "-", "0.649", "-", "-"]
    row = PaperRow("sam2", "micro", {"Q": 0.649})
    table = PaperTable("a paper, table 1", False, "didi", 180, "didi", 0.005, {"a": row})
    text = markdown(Reproduction(table, (number(0.649, 0.644),), 180))
    assert "| a | Q | 0.644 | 0.649 | -0.005 | yes |" in text and "a paper, table 1" in text
    doubted = replace(
        table, rows={"a": replace(row, caveat="another gate"), "b": row, "c": replace(row, caveat="another gate")}
    )
    assert "a, c: another gate" in markdown(Reproduction(doubted, (number(0.649, 0.644),), 180))
    assert "second-hand" not in text and "need not" not in text and "lacks" not in text
    part = Reproduction(replace(table, second_hand=True), (number(0.649, None),), 4)
    assert "read second-hand" in markdown(part) and "on 4 of the 180 sequences" in markdown(part)
    assert "a row that lacks a sequence has no number" in markdown(part)


BAD = {
    "unknown row": (["paper.only=[DAM4SMA]"], "paper: unknown row 'DAM4SMA': did you mean DAM4SAM? (valid: + DRM"),
    "unknown table": (["+paper=dam4sam_table"], "unknown paper 'dam4sam_table': choose one of dam4sam_ablation"),
    "typo in a row": (
        ["paper.rows.DAM4SAM.variant=dam4sma"],
        "row 'DAM4SAM': unknown variant 'dam4sma': did you mean dam4sam",
    ),
    "unknown option of a row": (
        ["paper.rows.DAM4SAM.variant='dam4sam policy.anchor=1'"],
        "row 'DAM4SAM': variant 'dam4sam policy.anchor=1': unknown option 'policy.anchor': did you mean anchors?",
    ),
    "unknown field of a row": (
        ["+paper.rows.DAM4SAM.backbon=x"],
        "unknown option 'paper.rows.DAM4SAM.backbon': did you mean backbone?",
    ),
    "unknown measure": (
        ["+paper.rows.DAM4SAM.published.Quality=0.7"],
        "paper: row 'DAM4SAM': unknown measure of didi 'Quality': ",
    ),
    "published is no number": (
        ["paper.rows.DAM4SAM.published.Q=high"],
        "is of a wrong type: give names with a number each",
    ),
    "unknown evaluator": (["paper.evaluator=didy"], "paper: unknown evaluator 'didy': did you mean didi?"),
    "wrong tolerance": (["paper.tolerance=small"], "paper.tolerance=small is of a wrong type: give a number"),
    "another backbone": (
        ["backbone=micro"],
        "ablation on DiDi has no such row with backbone=micro: choose one of sam2.1_hiera_l",
    ),
    "variants besides": (["variants=[sam2]"], "a published table brings its own variants: choose among its rows"),
    "policy besides": (["policy=sam2"], "policy=sam2 has no effect on a list of variants"),
    "other data": (["data=calm"], "ablation on DiDi is on didi, not on procedural"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case, didi, tmp_path, capsys):
    options, message = BAD[case]
    root = [] if "data=calm" in options else [f"data.root={didi}"]
    table = [] if any(option.startswith("+paper=") for option in options) else [ABLATION]
    small = [] if "backbone=micro" in options else SMALL
    assert call(ablate.main, *table, *root, f"output={tmp_path / 'out'}", *small, *QUICK, *options) == 2
    line = capsys.readouterr().err.strip()
    assert message in line and "\n" not in line
    assert not (tmp_path / "out").exists() or not any(path.is_file() for path in (tmp_path / "out").rglob("*"))


def test_missing_data_and_weights_say_what_to_fetch(didi, tmp_path, capsys, monkeypatch):
    def unreachable(*arguments, **options):
        raise OSError("unreachable")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)
    monkeypatch.setenv("ENGRAM_CACHE", str(tmp_path / "cache"))
    assert call(ablate.main, ABLATION, f"output={tmp_path / 'out'}", *QUICK) == 2
    line = capsys.readouterr().err.strip()
    assert "get the data from https://github.com/jovanavidenovic/DAM4SAM and give data.root=FOLDER, which holds" in line
    assert "\n" not in line
    assert call(ablate.main, ABLATION, f"data.root={didi}", f"output={tmp_path / 'out'}", *QUICK) == 2
    line = capsys.readouterr().err.strip()
    assert (
        "fetch sam2.1_hiera_large.pt from https://huggingface.co/facebook/sam2.1-hiera-large and put it at "
        f"{tmp_path / 'cache' / 'sam2.1_hiera_large.pt'}" in line
    )
    assert "\n" not in line
