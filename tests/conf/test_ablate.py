"""The command line of comparisons: what it prints and writes, and one line for whatever a user gets wrong."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from experiments import ablate, evaluate
from framework.config.sweep import Sweep, SweepJob
from policies import no_memory

PROJECT = Path(__file__).parents[2]
QUICK = ("backbone.checkpoint=random", "data.limit=2", "data.length=5", "logger=none", "pictures=1", "threads=1")


def call(main, *arguments):
    """Runs an entry point in this process; returns its exit code."""
    GlobalHydra.instance().clear()
    sys.argv = [main.__module__, *arguments]
    try:
        main()
    except SystemExit as exit_:
        return exit_.code
    finally:
        GlobalHydra.instance().clear()
    return 0


def test_a_comparison_prints_a_table_and_says_where_the_rest_is(tmp_path, capsys):
    variants = 'variants=[sam2,keep_first,"every_nth policy.interval=2"]'
    assert call(ablate.main, f"output={tmp_path}", variants, *QUICK) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("sam2", "keep_first", "every_nth"))
    assert "10 encodings for 10 frames; 30 predictions (one per object," in shown
    (page,) = tmp_path.rglob("report.html")
    (picture,) = page.parent.glob("*.jpg")
    assert str(page) in shown and str(picture) in shown and str(page.parent / "viewer/index.html") in shown
    with (page.parent / "table.csv").open() as file:
        first = list(csv.DictReader(file))
    assert [row["variant"] for row in first] == ["sam2", "keep_first", "every_nth policy.interval=2"]
    assert len(list(tmp_path.rglob("*.json.gz"))) == 6 and not list(tmp_path.rglob("*.log"))

    # Once more: nothing is tracked again, and the table is the same, timings included.
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json.gz")}
    assert call(ablate.main, f"output={tmp_path}", variants, *QUICK) == 0
    assert "2 of 2 sequences are on disk already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json.gz")} == stamps
    assert list(csv.DictReader(io.StringIO((page.parent / "table.csv").read_text()))) == first

    # One of them alone finds its results too: identity does not depend on how a variant was asked for.
    assert call(evaluate.main, f"output={tmp_path}", "policy=every_nth", "policy.interval=2", *QUICK) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json.gz")} == stamps


def test_a_sweep_goes_on_after_a_job_with_a_failed_sequence(tmp_path, capsys, monkeypatch):
    write = no_memory.NoMemory.write

    def failing(policy, state, entry, outcome):
        if entry.scores.prompted:
            raise RuntimeError("out of luck")
        return write(policy, state, entry, outcome)

    monkeypatch.setattr(no_memory.NoMemory, "write", failing)
    options = ("-m", f"output={tmp_path}", "variants=[sam2,no_memory],[keep_first]", "keep_going=true", *QUICK)
    assert call(ablate.main, *options) == 1
    shown = capsys.readouterr().out
    assert "no_memory failed on every sequence: RuntimeError: out of luck" in " ".join(shown.split())
    assert "keep_first" in shown


def test_a_baseline_that_fails_everywhere_is_not_replaced_by_another(tmp_path, capfd, monkeypatch):
    monkeypatch.delattr(no_memory.NoMemory, "read")
    options = (f"output={tmp_path}", "variants=[no_memory,sam2]", *QUICK)
    assert call(ablate.main, *options) == 2
    assert capfd.readouterr().err.splitlines()[-1].startswith("no_memory fails on distractors-val-0000: ")
    assert call(ablate.main, "keep_going=true", *options) == 2
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith("no_memory, with which the others are compared, failed on every sequence: ")


@pytest.mark.parametrize("launcher", ["basic", pytest.param("joblib", marks=pytest.mark.slow)])
def test_a_sweep_ends_with_one_table_that_says_which_number_is_whose(tmp_path, launcher):
    swept = ("policy=every_nth", "policy.interval=1,3", "backbone.seed=0,1")
    options = ("-m", f"hydra/launcher={launcher}", *swept, *QUICK[:3], "logger=none", "pictures=0", "threads=1")
    command = [sys.executable, "-m", "experiments.evaluate", *options]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = [f"every_nth policy.interval={interval} backbone.seed={seed}" for interval in (1, 3) for seed in (0, 1)]
    assert {json.loads(path.read_text())["notes"]["name"] for path in tmp_path.rglob("run.json")} == {*names}
    tables = {path: list(csv.DictReader(path.open())) for path in tmp_path.rglob("table.csv")}
    (whole,) = [table for table in tables.values() if len(table) == 4]
    assert [row["variant"] for row in whole] == names, "in the order of the sweep"
    alone = {table[0]["variant"]: table[0]["jaccard"] for table in tables.values() if len(table) == 1}
    assert {row["variant"]: row["jaccard"] for row in whole} == alone and len({*alone.values()}) > 1
    assert done.stdout.count("4 of 4 jobs") == 1 and not list(tmp_path.glob(".sweep-*"))


def test_a_sweep_over_data_sets_is_one_table_too(tmp_path, capsys):
    options = ("-m", f"output={tmp_path}", "policy=sam2,no_memory", "data=calm,distractors", *QUICK)
    assert call(evaluate.main, *options) == 0
    (path,) = tmp_path.glob("sweeps/*/table.csv")
    found = list(csv.DictReader(path.open()))
    assert [row["variant"] for row in found] == [
        "sam2 data=calm",
        "no_memory data=calm",
        "sam2 data=distractors",
        "no_memory data=distractors",
    ]
    assert [bool(row["difference"]) for row in found] == [False, True, False, True], "to the first on the same data"
    assert "first: the first row on the same data" in capsys.readouterr().out


def test_failed_jobs_are_named_one_by_one_and_the_others_are_in_the_table(tmp_path, capsys):
    swept = "policy.interval=2,0,4,-1"
    assert call(evaluate.main, "-m", f"output={tmp_path}", "policy=every_nth", swept, *QUICK) == 2
    shown = capsys.readouterr()
    given = " ".join(QUICK)
    told = [line for line in shown.err.splitlines() if line.startswith("job ")]
    assert [line.partition(": variant")[0] for line in told] == [
        f"job {number} (output={tmp_path} policy=every_nth policy.interval={interval} {given})"
        for number, interval in ((1, 0), (3, -1))
    ]
    assert all("every_nth needs interval >= 1" in line for line in told) and "2 of 4 jobs" in shown.out
    tables = [list(csv.DictReader(path.open())) for path in tmp_path.rglob("table.csv")]
    (whole,) = [table for table in tables if len(table) == 2]
    assert [row["variant"] for row in whole] == ["every_nth policy.interval=2", "every_nth policy.interval=4"]


def test_a_job_that_was_killed_is_named(tmp_path, capsys, monkeypatch):
    run = Sweep.run

    def killed(sweep, task, config, traced):
        if HydraConfig.get().job.num != 1:
            return run(sweep, task, config, traced)
        sweep._keep(SweepJob(1, tuple(HydraConfig.get().overrides.task)))
        raise OSError("the worker was lost")

    monkeypatch.setattr(Sweep, "run", killed)
    options = ("policy=sam2,no_memory,keep_first", "data=calm", *QUICK)
    assert call(evaluate.main, "-m", f"output={tmp_path}", *options) == 2
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert lines[-1].startswith("the worker was lost") and "2 of 3 jobs" in shown.out
    assert [line for line in lines if line.startswith("job ")] == [
        f"job 1 (output={tmp_path} policy=no_memory data=calm {' '.join(QUICK)}): "
        "has not ended: it was killed, or still runs"
    ]


def test_swept_options_are_variants_and_fold_into_the_best_of_them(tmp_path, capsys):
    options = ('variants=[sam2,"random policy.seed=range(3)"]', 'best_of={best_of_3:["random policy.seed=*"]}')
    assert call(ablate.main, f"output={tmp_path}", *options, *QUICK) == 0
    shown = capsys.readouterr().out
    assert "best_of_3" in shown and "(bound)" in shown and "random" not in shown and "; 40 predictions" in shown
    names = {json.loads(path.read_text())["notes"]["name"] for path in tmp_path.rglob("run.json")}
    assert names == {"sam2", *(f"random policy.seed={seed}" for seed in range(3))}


BAD = {
    "unknown variant": (
        ["variants=[sam2,skip_absnt]"],
        "unknown variant 'skip_absnt': did you mean skip_absent? (valid: ",
    ),
    "unknown option of a variant": (
        ['variants=["every_nth policy.intervall=3"]'],
        "variant 'every_nth policy.intervall=3': unknown option 'policy.intervall': did you mean interval?",
    ),
    "wrong type in a variant": (
        ['variants=["every_nth policy.interval=often"]'],
        "variant 'every_nth policy.interval=often': policy.interval=often is of a wrong type: give a whole number",
    ),
    "refused value in a variant": (
        ['variants=["every_nth policy.interval=0"]'],
        "variant 'every_nth policy.interval=0': policy: every_nth needs interval >= 1",
    ),
    "shared option in a variant": (
        ['variants=["sam2 data.length=3"]'],
        "variant 'sam2 data.length=3': data.length=3 is not an option of policy, motion, selector, tracker, method",
    ),
    "listed twice": (["variants=[sam2,sam2]"], "variant 'sam2' is listed twice"),
    "unknown best": (["best_of={best:[sma2]}"], "best_of.best: no variant is called 'sma2' (there are sam2, "),
    "a list for a group": (
        ["report=[1]"],
        "report takes no value of this kind: options of a group are report.option=value, ",
    ),
    "names for a list": (["columns={a:1}"], "columns takes no value of this kind: "),
    "unknown column": (["columns=[iou]"], "report: column 'iou' is unknown: choose among jaccard, success"),
    "unknown oracle": (["oracle=sam2"], "oracle=sam2 is not a row beside the baseline: choose one of skip_absent"),
    "no variants": (["variants=[]"], "variants is a list of names, the baseline first"),
    "variants of a wrong type": (["variants=3"], "variants is a list of names, the baseline first"),
    "policy beside variants": (["policy=sam2"], "policy=sam2 has no effect on a list of variants"),
    "unknown data": (["data=distractor"], "unknown data 'distractor': choose one of "),
    "unknown data option": (["data.limitt=3"], "unknown option 'data.limitt': did you mean limit?"),
    "wrong data type": (["data.length=ten"], "data.length=ten is of a wrong type: give a whole number or null"),
    "unknown motion": (["motion=kalmann"], "unknown motion 'kalmann': choose one of "),
    "unknown metric": (["metric=iou"], "report: metric 'iou' is unknown: choose one of jaccard, success"),
    "unknown protocol": (
        ["protocol.prompt=circle"],
        "protocol.prompt=circle is of a wrong type: give one of mask, box",
    ),
    "unknown logger": (["logger=tensorboard"], "unknown logger 'tensorboard': choose one of "),
    "wrong thread count": (["threads=many"], "threads=many is of a wrong type: give a whole number or null"),
    "unknown top-level option": (["varients=[sam2]"], "unknown option 'varients': did you mean variants?"),
    "unquoted list": (["variants=sam2,random"], "Ambiguous value for argument 'variants=sam2,random'"),
    "missing checkpoint": (["backbone.checkpoint=nowhere.pt"], "nowhere.pt does not exist"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case, tmp_path, capsys):
    options, message = BAD[case]
    output = tmp_path / "out"
    assert call(ablate.main, f"output={output}", *QUICK, *options) == 2
    line = capsys.readouterr().err.strip()
    assert message in line and "\n" not in line
    assert not output.exists() or not any(path.is_file() for path in output.rglob("*"))


def test_an_output_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert call(ablate.main, f"output={tmp_path}/file/out", *QUICK) == 2
    line = capsys.readouterr().err.strip()
    assert "file" in line and "\n" not in line
    assert (tmp_path / "file").read_text() == ""


def test_results_of_another_configuration(tmp_path, capsys):
    assert call(evaluate.main, f"output={tmp_path}", "policy=sam2", *QUICK) == 0
    (about,) = tmp_path.rglob("run.json")
    about.write_text(about.read_text().replace('"slots": 6', '"slots": 5'))
    capsys.readouterr()
    assert call(evaluate.main, f"output={tmp_path}", "policy=sam2", *QUICK) == 2
    line = capsys.readouterr().err.strip()
    differs = "tracker.policy.slots: 5, now 6"
    assert line == (
        f"{about.parent} holds another configuration's results ({differs}): remove it or choose another output="
    )
    about.write_bytes(b"")
    assert call(evaluate.main, f"output={tmp_path}", "policy=sam2", *QUICK) == 2
    assert capsys.readouterr().err.strip() == f"{about} is damaged: restore it, or choose another output="
