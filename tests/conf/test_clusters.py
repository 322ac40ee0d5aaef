"""A sweep by the launcher for clusters, its jobs processes on this machine."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose
from hydra.core.hydra_config import HydraConfig
from submitit.local.local import LOCAL_REQUEUE_RETURN_CODE, LocalJobEnvironment

from framework.config.sweep import UNFINISHED, Sweep

PROJECT = Path(__file__).parents[2]
SWEPT = ("-m", "policy=random", "policy.seed=1,-1,3", "hydra/launcher=submitit_local")
SMALL = ("backbone.checkpoint=random", "data.limit=2", "data.length=8", "logger=none", "pictures=0", "threads=1")


def sweep(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.evaluate", *SWEPT, *SMALL]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_an_array_over_seeds_ends_with_one_table_and_names_the_job_that_failed(tmp_path: Path) -> None:
    done = sweep(tmp_path)
    reason = "policy: random needs slots >= 0, pointers >= 0 and seed >= 0"
    line = f"job 1 (policy=random policy.seed=-1 {' '.join(SMALL)}): variant 'random policy.seed=-1': {reason}"
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith(line.partition(" (")[0])
    assert done.stderr.count(reason) == 1 and "Traceback" not in done.stderr
    assert done.stdout.count("the sweep: 2 of 3 jobs") == 1

    tables = [list(csv.DictReader(path.open())) for path in tmp_path.rglob("table.csv")]
    (whole,) = [table for table in tables if len(table) == 2]
    assert [row["variant"] for row in whole] == ["random policy.seed=1", "random policy.seed=3"]
    alone = {table[0]["variant"]: table[0]["jaccard"] for table in tables if len(table) == 1}
    assert {row["variant"]: row["jaccard"] for row in whole} == alone
    assert not list(tmp_path.glob(".sweep-*"))
    runs = sorted(tmp_path.glob("outputs/*/*/run.json"))
    assert [json.loads(run.read_text())["notes"]["options"]["policy"]["seed"] in (1, 3) for run in runs] == [True] * 2
    logs = {path.name.rpartition("_")[2] for path in tmp_path.glob("outputs/.submitit/*/*.out")}
    assert logs == {"log.out"}, "what every job printed"

    # Once more, with a video of one seed lost: it alone is tracked again, by the same command.
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json.gz")}
    lost, *_ = kept
    lost.unlink()
    assert sweep(tmp_path).returncode == 2
    assert {path for path, when in kept.items() if path.stat().st_mtime_ns != when} == {lost}


@pytest.mark.usefixtures("composition")
def test_a_job_that_is_queued_again_has_not_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a time limit submitit raises SystemExit in a handler of signals; a result then would end the sweep."""
    monkeypatch.setenv("SUBMITIT_LOCAL_JOB_ID", "7")
    config = compose("evaluate", overrides=["policy=random", "hydra.job.num=4"], return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    sweep = Sweep(("policy",), tmp_path / "jobs")
    with pytest.raises(SystemExit) as end:
        sweep.run(lambda config: LocalJobEnvironment()._requeue(2), config)
    assert end.value.code == LOCAL_REQUEUE_RETURN_CODE
    (job,) = sweep.jobs()
    assert (job.number, job.options, job.failure) == (4, ("policy=random",), UNFINISHED)
    sweep.run(lambda config: "done", config)
    (job,) = sweep.jobs()
    assert (job.result, job.failure) == ("done", None)
