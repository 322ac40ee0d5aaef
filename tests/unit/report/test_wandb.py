"""Weights & Biases offline, in a temporary folder, and life without it."""

import builtins
import sys

import pytest

from framework.errors import InputError
from framework.evaluation.evaluate import evaluate
from framework.report.report import Reporter
from framework.report.wandb_log import NoLog, WandbLog
from framework.tracker import Tracker
from tests.fakes.squares import First, Latest, SquareNetwork, Squares

NETWORK = SquareNetwork()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    trackers = {name: Tracker(NETWORK, policy) for name, policy in (("latest", Latest()), ("first", First()))}
    comparison = evaluate(trackers, Squares(), tmp_path_factory.mktemp("results"))
    return Reporter(pictures=1).report(comparison, Squares(), "variants: [latest, first]\n")


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


class Spy:
    """Stands in for a run of wandb and keeps what is logged."""

    def __init__(self, options):
        self.options, self.logged, self.summary, self.axes = options, [], {}, []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False

    def define_metric(self, name, step_metric=None):
        self.axes.append((name, step_metric))

    def log(self, values):
        self.logged.append(values)


def test_one_offline_run_per_variant(report, tmp_path, offline):
    import wandb

    logger = WandbLog(folder=str(tmp_path / "out"))
    logger.check()
    assert logger.log(report) == [tmp_path / "out" / "wandb"]
    wandb.teardown()  # as at the end of the process: everything is on disk
    runs = sorted((tmp_path / "out" / "wandb").glob("offline-run-*"))
    assert len(runs) == 2
    assert all(list(run.glob("*.wandb")) for run in runs)
    media = [path.name for run in runs for path in run.rglob("*") if path.is_file()]
    assert sum(name.endswith((".png", ".jpg")) for name in media) == len(report.pictures) + len(report.figures)
    assert sum(name.endswith(".table.json") for name in media) == 2
    text = b"".join(path.read_bytes() for run in runs for path in run.glob("*.wandb"))
    assert all(run.folder.hash.encode() in text for run in report.comparison.runs)


def test_what_is_logged(report, tmp_path, monkeypatch):
    import wandb

    spies = []
    monkeypatch.setattr(wandb, "init", lambda **options: spies.append(Spy(options)) or spies[-1])
    WandbLog(folder=str(tmp_path)).log(report)
    first, second = spies
    assert first.options["group"] == second.options["group"] == f"squares-v1-{report.name}"
    assert [spy.options["name"] for spy in spies] == ["latest", "first"]
    config = second.options["config"]
    assert config["identity"]["tracker"]["policy"]["class"].endswith("First")
    assert len(config["identity"]["code"]) == 16 and config["configuration"] == {"variants": ["latest", "first"]}
    curve = [line["range/iou"] for line in first.logged if "range/iou" in line]
    assert 0 < len(curve) <= 10 and all(0 <= value <= 1 for value in curve)
    (table,) = [line["sequences"] for line in second.logged if "sequences" in line]
    assert [row[0] for row in table.data] == ["alpha", "beta", "gamma"]
    assert second.summary["jaccard"] == report.rows[1].mean
    assert second.summary["difference"] == report.rows[1].difference.mean and "difference" not in first.summary
    pictures = [key for line in first.logged for key in line if key.startswith("pictures/")]
    assert len(pictures) == len(report.pictures) + len(report.figures)


def test_without_wandb_runs_go_on_and_only_an_online_logger_refuses(report, tmp_path, monkeypatch, capsys):
    real = builtins.__import__

    def refuse(name, *arguments, **options):
        if name.partition(".")[0] == "wandb":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    NoLog().check()
    assert NoLog().log(report) == []
    assert capsys.readouterr().err == ""
    WandbLog(folder=str(tmp_path)).check()
    assert WandbLog(folder=str(tmp_path)).log(report) == [] and not list(tmp_path.iterdir())
    assert capsys.readouterr().err.startswith("wandb is not installed, so this run is not logged")
    with pytest.raises(InputError, match="wandb is not installed: install it or choose logger=none"):
        WandbLog(mode="online", folder=str(tmp_path)).check()


def test_online_without_an_account_is_one_line(offline, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="run `wandb login`, or choose logger=wandb_offline or logger=none"):
        WandbLog(mode="online", folder=str(tmp_path)).check()
    assert capfd.readouterr().err == ""
