"""Settings are tried on validation videos only, by any number of processes; what was told is never lost."""

import math
import os
import signal
from dataclasses import replace
from multiprocessing import get_context

import pytest
import torch
from filelock import FileLock
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from framework.errors import InputError
from framework.evaluation.evaluate import evaluate
from framework.evaluation.protocol import EvaluationProtocol
from framework.evaluation.sequence import ProgressListener
from framework.evaluation.study import Study, contains, exact, size
from framework.evaluation.tuned import Effort
from framework.evaluation.tuning import Candidate, Tuning, TuningTask, check_apart
from framework.tracker import Tracker
from tests.fakes.squares import Latest, Square, SquareNetwork, Squares

NETWORK = SquareNetwork()
COUNT = {"count": IntDistribution(1, 12)}
VIDEOS = Squares(tuple(Square(f"square{n}", 8, n % 3, (4, 6)) for n in range(9)))
"""The square is gone for two frames: who reads fewer than three memories does not find it again."""


def latest(count):
    if count == 11:
        raise InputError("count=11 brings bad luck")
    return Candidate(f"latest count={count}", Tracker(NETWORK, Latest(count, fails_on=4 if count == 12 else None)))


def task(tuning, own=1, space=COUNT):
    untuned = replace(latest(own), name="latest")
    return TuningTask(
        untuned, {"count": own}, lambda setting: latest(setting["count"]), tuning.study(untuned.tracker, space)
    )


@pytest.fixture
def tuning(tmp_path):
    return Tuning(VIDEOS, tmp_path, EvaluationProtocol(), trials=6, batch=3)


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path, "one", COUNT)


def reopened(study):
    study.close()
    return replace(study)


def test_the_best_setting_is_found_and_costs_are_counted(tuning):
    (tuned,) = tuning.run([task(tuning, space={"count": IntDistribution(1, 6)})])
    counts = [one.setting["count"] for one in tuned.tried]
    assert counts[0] == 1 and sorted(counts) == [1, 2, 3, 4, 5, 6]
    worth = {one.setting["count"]: one.value for one in tuned.tried}
    assert tuned.own == worth[1] < tuned.best.value == max(worth.values())
    assert tuned.best.setting["count"] >= 3 and tuned.chosen == f"latest count={tuned.best.setting['count']}"
    whole = next(one for one in tuned.tried if one.setting["count"] == tuned.best.setting["count"])
    assert (whole.effort.videos, whole.effort.frames) == (9, 72) and whole.effort.seconds > 0
    assert tuned.effort.videos == sum(one.effort.videos for one in tuned.tried)
    assert tuned.importances == pytest.approx({"count": 1.0})


def test_a_value_is_the_mean_that_a_comparison_of_all_videos_has(tuning):
    (tuned,) = tuning.run([task(tuning)])
    chosen = tuned.best.setting["count"]
    comparison = evaluate({"best": latest(chosen).tracker}, VIDEOS, tuning.output)
    assert tuned.best.value == comparison.runs[0].mean(comparison.sequences).jaccard


def test_the_same_question_gives_the_same_settings(tuning, tmp_path):
    first = tuning.run([task(tuning)])
    again = replace(tuning, output=tmp_path / "elsewhere")
    second = again.run([task(again)])
    settings, others = ([one.setting for one in found[0].tried] for found in (first, second))
    assert settings == others and first[0].best.value == second[0].best.value


def test_more_settings_go_on_with_the_same_study(tuning):
    (few,) = tuning.run([task(tuning)])
    more = replace(tuning, trials=8)
    (many,) = more.run([task(more)])
    assert many.study == few.study and many.tried[: len(few.tried)] == few.tried and len(many.tried) == 8


@pytest.mark.parametrize("change", [{"metric": "late"}, {"seed": 1}, {"prune": None}, {"data": Squares()}])
def test_another_question_is_another_study(tuning, change):
    names = {each.study(latest(1).tracker, COUNT).name for each in (tuning, replace(tuning, **change))}
    assert len(names) == 2


def test_worse_settings_are_given_up_before_they_have_seen_all_videos(tuning):
    """The method's own setting is the best one: what never finds the square again is worse on every video."""
    (tuned,) = tuning.run([task(tuning, own=6, space={"count": IntDistribution(1, 6)})])
    pruned = {one.setting["count"]: one for one in tuned.tried if one.pruned}
    assert {*pruned} == {1, 2} and {one.effort.videos for one in pruned.values()} == {4}
    assert tuned.best is None and tuned.chosen == "latest"
    all_ = replace(tuning, prune=None)
    (kept,) = all_.run([task(all_, own=6, space={"count": IntDistribution(1, 6)})])
    assert not any(one.pruned for one in kept.tried) and {one.effort.videos for one in kept.tried} == {9}
    assert [one.value for one in kept.tried if one.setting["count"] == 1] == [pruned[1].value]


def test_settings_that_fail_count_and_are_not_chosen(tuning):
    every = replace(tuning, trials=12)
    (tuned,) = every.run([task(every)])
    failed = {one.setting["count"]: one.failure for one in tuned.tried if one.failure}
    assert failed[11] == "count=11 brings bad luck" and failed[12].startswith("RuntimeError: the policy broke")
    assert {*failed} == {11, 12} and len(tuned.tried) == 12


def test_a_method_that_fails_untuned_is_refused(tuning):
    with pytest.raises(InputError, match="no sequence of squares-v1 could be tracked by every variant: Run"):
        tuning.run([task(tuning, own=12)])


def test_validation_and_test_share_no_video():
    with pytest.raises(InputError, match=r"^square3 is among the videos to tune on and among those to test on"):
        check_apart(VIDEOS, Squares((*Squares().videos, VIDEOS.videos[3])))
    check_apart(VIDEOS, Squares())


def test_tuning_is_given_validation_videos_alone(tuning):
    tuned = tuning.run([task(tuning)])
    assert len(tuned[0].tried) == 6 and [path.name for path in tuning.output.iterdir()] == [VIDEOS.name]


def test_a_setting_of_a_process_that_ended_is_asked_for_again(study):
    one, two = study.ask(2, 5)
    study.tell(one, 0.5, Effort())
    after = reopened(study)
    assert [tried.value for tried in after.tried()] == [0.5]
    assert after.running() == 0
    again, *others = after.ask(9, 5)
    assert again.setting == two.setting and len(others) == 3 and not after.ask(9, 5)


def test_a_setting_of_a_living_process_is_left_to_it(study):
    (one,) = study.ask(1, 2)
    other = replace(study)
    (two,) = other.ask(5, 2)
    assert one.setting != two.setting and other.running() == 2 and not other.ask(1, 2)
    study.tell(one, 0.1, Effort())
    other.tell(two, 0.2, Effort())
    assert other.running() == 0 and [tried.value for tried in study.tried()] == [0.1, 0.2]


def test_no_setting_is_asked_for_twice(study):
    found = []
    for _ in range(12):
        (asked,) = study.ask(1, 100)
        study.tell(asked, float(asked.setting["count"]), Effort())
        found.append(asked.setting["count"])
    assert sorted(found) == [*range(1, 13)] and not study.ask(1, 100)


def test_less_may_be_better(tmp_path):
    study = Study(tmp_path, "losses", COUNT, maximise=False)
    study.add({"count": 4}, 2.0, dict.fromkeys(range(8), 2.0), Effort())
    study.add({"count": 5}, 1.0, {}, Effort())  # only the first one
    worse, better = study.ask(2, 9)
    assert not study.report(better, {n: 1.0 + n / 9 for n in range(8)})
    assert study.report(worse, {n: 3.0 + n for n in range(8)})
    study.tell(worse, 6.5, Effort(4), pruned=True)
    assert [(one.value, one.pruned) for one in study.tried()] == [(2.0, False), (6.5, True)]


def test_values_are_written_as_they_are_meant():
    among = FloatDistribution(0.5, 0.95, step=0.001)
    assert exact(0.5 + 331 * 0.001, among) == 0.831 and repr(exact(0.8300000000000001, among)) == "0.83"
    assert contains(among, 0.8) and not contains(among, 0.80005) and not contains(among, 0.4)
    assert contains(CategoricalDistribution([True, None]), None) and not contains(CategoricalDistribution([True]), 1)
    assert contains(IntDistribution(1, 3), 3) and not contains(IntDistribution(1, 3), True)
    assert size({"a": among, "b": CategoricalDistribution([1, 2])}) == 902
    assert size({"a": FloatDistribution(0, 1)}) == math.inf


def test_a_study_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write a study to .*file/tuning"):
        Study(tmp_path / "file/tuning", "one", COUNT)


class Dies(ProgressListener):
    """Is killed on a frame."""

    def __init__(self, frames):
        self.left = frames

    def frame(self, sequence, index, length):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def short(tuning):
    return replace(tuning, data=replace(VIDEOS, videos=VIDEOS.videos[:5]), trials=4, batch=2)


def work(tuning, dies_after):
    mine = replace(tuning, listener=Dies(dies_after))
    with torch.inference_mode():
        mine.run([task(mine)])


def started(tuning, dies_after):
    process = get_context("fork").Process(target=work, args=(tuning, dies_after))
    process.start()
    return process


def test_a_tuning_that_is_killed_goes_on_where_it_was(short):
    """On the 100th frame the first batch is through, and the second one on its way."""
    killed = started(short, 100)
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    stamps = {path: path.stat().st_mtime_ns for path in short.output.rglob("*.json.gz")}
    study = short.study(latest(1).tracker, COUNT)
    told, asked = study.tried(), {repr(trial.params) for trial in study._study.get_trials()}
    assert 1 <= len(told) < 4 and any(t.state is TrialState.RUNNING for t in study._study.get_trials())
    study.close()
    (tuned,) = short.run([task(short)])
    assert [*tuned.tried][: len(told)] == told and len(tuned.tried) == 4
    assert asked <= {repr(dict(one.setting)) for one in tuned.tried}
    assert stamps.items() <= {path: path.stat().st_mtime_ns for path in short.output.rglob("*.json.gz")}.items()
    assert not list(short.folder.glob("*.alive"))


def test_two_processes_share_one_study(short):
    both = [started(short, 0) for _ in range(2)]
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    owners = {trial.user_attrs.get("process") for trial in short.study(latest(1).tracker, COUNT)._study.get_trials()}
    (tuned,) = short.run([task(short)])
    assert len(tuned.tried) == len({repr(one.setting) for one in tuned.tried}) == 4
    assert len(owners - {None}) == 2 and max(one.value for one in tuned.tried) == tuned.best.value


def test_a_lock_shows_who_lives(tmp_path):
    study = Study(tmp_path, "one", COUNT)
    (mine,) = tmp_path.glob("one.*.alive")
    assert study._lives(mine.name) and not study._lives("one.gone.alive") and not study._lives(None)
    held = FileLock(tmp_path / "one.other.alive")
    held.acquire()
    assert study._lives("one.other.alive")
    held.release()
    assert not study._lives("one.other.alive")
