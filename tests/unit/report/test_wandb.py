"""Weights & Biases offline, in a temporary folder, and life without it."""

import builtins
import dataclasses
import sys

import av
import pytest
from PIL import Image

from framework.errors import InputError
from framework.evaluation.evaluate import evaluate
from framework.report.pictures import most_different
from framework.report.report import Reporter
from framework.report.wandb_log import DECISION, NoLog, WandbLog
from framework.tracker import Tracker
from tests.fakes.squares import First, Latest, SquareNetwork, Squares
from tests.wandb_files import read_run

NETWORK = SquareNetwork()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    trackers = {name: Tracker(NETWORK, policy) for name, policy in (("latest", Latest()), ("first", First()))}
    comparison = evaluate(trackers, Squares(), tmp_path_factory.mktemp("results"))
    return Reporter(pictures=1, attributes=True).report(comparison, Squares(), "variants: [latest, first]\n")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No account, no home, no network."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))


OPTIONS = {
    "latest": {"method": "latest", "policy": {"_target_": "Latest", "count": 2}, "seed": 0},
    "first": {"method": "first", "policy": {"_target_": "First"}, "seed": 0},
}


@pytest.fixture
def logged(report, tmp_path, offline):
    """The runs of the two variants, read back."""
    import wandb

    logger = WandbLog(folder=str(tmp_path / "out"))
    logger.check()
    assert logger.log(report, Squares(), OPTIONS) == [tmp_path / "out" / "wandb"]
    wandb.teardown()  # as at the end of the process: everything is on disk
    runs = [read_run(folder) for folder in (tmp_path / "out" / "wandb").glob("offline-run-*")]
    return {run.name: run for run in runs}


def test_a_variant_logs_its_own_options_under_its_own_hash(report, logged):
    assert {*logged} == {"latest", "first"}
    for run in report.comparison.runs:
        found = logged[run.name]
        assert found.id == run.hash and found.tags == ["squares-v1", run.name]
        assert found.group == f"squares-v1 {run.name}"
        assert {key: found.config[key] for key in OPTIONS[run.name]} == OPTIONS[run.name]
        assert found.config["identity"]["tracker"]["policy"]["class"].endswith(run.name.title())
        assert found.config["run"] == run.hash and found.config["baseline"] == "latest"


def test_what_is_read_back_is_what_was_measured(report, logged):
    for row, run in zip(report.rows, report.comparison.runs, strict=True):
        found = logged[run.name]
        assert found.summary["jaccard"] == row.mean and found.summary["ms_per_frame"] == row.milliseconds
        titles, lines = found.table("tables/comparison")
        assert [line[0] for line in lines] == ["latest", "first"]
        first = dict(zip(titles, lines[1], strict=True))
        assert (first["difference"], first["p"]) == (report.rows[1].difference.mean, report.rows[1].difference.p)
        assert first["p_holm"] == report.rows[1].p and dict(zip(titles, lines[0], strict=True))["p"] is None
        assert ("difference" in found.summary) == (row.difference is not None)
        titles, lines = found.table("tables/sequences")
        scores = {line[0]: dict(zip(titles, line, strict=True)) for line in lines}
        assert {name: line["jaccard"] for name, line in scores.items()} == {
            name: video.scores.jaccard for name, video in run.videos.items()
        }
        titles, lines = found.table("tables/attributes")
        shown = {line[1]: line[3] for line in lines}
        assert {line[0] for line in lines} == {run.name}
        assert shown == {name: one.mean for name, one in report.attributes.rows[run.name].items()}
        titles, lines = found.table("tables/curves")
        for name in report.comparison.sequences:
            record = run.record(name).objects[1]
            own = [dict(zip(titles, line, strict=True)) for line in lines if line[0] == name]
            for column in ("frame", "iou", "visible", "predicted_iou", "presence", "area"):
                assert [line[column] for line in own] == getattr(record, column)
            assert [line["read"] for line in own] == [len(use.spatial) for use in record.memory]
        titles, lines = found.table("tables/decisions")
        told = [line for line in lines if line[0] == "alpha"]
        reasons = [why for use in run.record("alpha").objects[1].memory for why in use.reasons]
        assert titles == ["sequence", "object", "frame", *DECISION, "holds"] and len(told) == len(reasons) > 0
        for line, why in zip(told, reasons, strict=True):
            numbers = why.decision, why.name, why.value, why.relation, why.threshold, why.frame, why.holds
            assert tuple(line[3:]) == numbers
        titles, lines = found.table("tables/losses")
        assert [line[1:4] for line in lines] == [
            [loss.sequence, loss.object, loss.lost_at] for loss in report.losses if loss.variant == run.name
        ]


def test_the_worst_frames_are_pictures_and_the_most_different_sequences_videos(report, logged):
    for run in report.comparison.runs:
        found = logged[run.name]
        _, lines = found.table("tables/worst frames")
        lowest = {}
        for name in report.comparison.sequences:
            one = run.record(name).objects[1]
            seen = [iou for iou, there in zip(one.iou, one.visible, strict=True) if there]
            lowest[name] = min(seen)
        assert {line[0]: line[3] for line in lines} == lowest
        assert [line[3] for line in lines] == sorted(lowest.values())
        (worst,) = [line["pictures/worst frames"] for line in found.history if "pictures/worst frames" in line]
        assert worst["captions"] == [f"{line[0]}, frame {line[2]}, object 1: IoU {line[3]:.2f}" for line in lines]
        assert [Image.open(found.folder / "files" / path).format for path in worst["filenames"]] == ["JPEG"] * len(
            lines
        )
        lengths = {video.name: video.length for video in Squares().videos}
        two = most_different(report.comparison, "jaccard", 2)
        videos = {key: value for line in found.history for key, value in line.items() if key.startswith("videos/")}
        assert {*videos} == {f"videos/{name}" for name in two}
        for name in two:
            with av.open(str(found.folder / "files" / videos[f"videos/{name}"]["path"])) as container:
                assert sum(1 for _ in container.decode(video=0)) == lengths[name]
    pictures = {
        name: {key for line in run.history for key in line if key.startswith("pictures/")}
        for name, run in logged.items()
    }
    shared = {f"pictures/{name}" for name in (*report.pictures, *report.figures)}
    assert pictures == {"latest": shared | {"pictures/worst frames"}, "first": {"pictures/worst frames"}}
    assert not any(run.files(".png") for run in logged.values())


def test_printing_a_table_again_adds_nothing_and_more_sequences_continue_the_run(report, logged, tmp_path):
    import wandb

    folders = {run.folder for run in logged.values()}
    place = tmp_path / "out" / "wandb"
    WandbLog(folder=str(tmp_path / "out")).log(report, Squares(), OPTIONS)
    assert {*place.glob("offline-run-*")} == folders
    fewer = dataclasses.replace(
        report,
        comparison=dataclasses.replace(
            report.comparison,
            runs=tuple(
                dataclasses.replace(run, videos={name: run.videos[name] for name in ("alpha", "beta")})
                for run in report.comparison.runs
            ),
        ),
    )
    WandbLog(folder=str(tmp_path / "out")).log(fewer, Squares(), OPTIONS)
    wandb.teardown()
    again = [read_run(folder) for folder in {*place.glob("offline-run-*")} - folders]
    assert {run.id for run in again} == {run.id for run in logged.values()}
    assert all([line[0] for line in run.table("tables/sequences")[1]] == ["alpha", "beta"] for run in again)


def test_tables_longer_than_wandb_takes_are_several(report, tmp_path, offline, monkeypatch):
    import wandb

    monkeypatch.setattr(wandb.Table, "MAX_ROWS", 10)
    WandbLog(folder=str(tmp_path / "out")).log(report, Squares(), OPTIONS)
    wandb.teardown()
    for folder in (tmp_path / "out" / "wandb").glob("offline-run-*"):
        run = read_run(folder)
        lines = [line for part in ("", " 2", " 3") for line in run.table(f"tables/curves{part}")[1]]
        assert len(lines) == 8 + 10 + 6


def test_without_wandb_runs_go_on_and_only_an_online_logger_refuses(report, tmp_path, monkeypatch, capsys):
    real = builtins.__import__

    def refuse(name, *arguments, **options):
        if name.partition(".")[0] == "wandb":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    NoLog().check()
    assert NoLog().log(report, Squares()) == []
    assert capsys.readouterr().err == ""
    WandbLog(folder=str(tmp_path)).check()
    assert WandbLog(folder=str(tmp_path)).log(report, Squares()) == [] and not list(tmp_path.iterdir())
    assert capsys.readouterr().err.startswith("wandb is not installed, so this run is not logged")
    with pytest.raises(InputError, match="wandb is not installed: install it or choose logger=none"):
        WandbLog(mode="online", folder=str(tmp_path)).check()


def test_online_without_an_account_is_one_line(offline, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="run `wandb login`, or choose logger=wandb_offline or logger=none"):
        WandbLog(mode="online", folder=str(tmp_path)).check()
    assert capfd.readouterr().err == ""
