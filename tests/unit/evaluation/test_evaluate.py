"""Evaluation: scores by hand, resume after a kill, shared folders, failures, identity of runs."""

import gzip
import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from framework.errors import InputError
from framework.evaluation.evaluate import evaluate, run_identity, status
from framework.evaluation.protocol import EvaluationProtocol
from framework.evaluation.results import RunFolder, RunProgress
from framework.evaluation.sequence import ProgressListener
from framework.metrics.tracking import box_iou, mask_box
from framework.ops import jit
from framework.storage import identity
from framework.tracker import Tracker
from framework.types import MemoryUse, Prompt, Read, Track
from tests.fakes import squares
from tests.fakes.squares import First, Latest, Peeking, Square, SquareNetwork, Squares

NETWORK = SquareNetwork()


def trackers(**policies):
    return {name: Tracker(NETWORK, policy) for name, policy in policies.items()}


TWO = trackers(latest=Latest(), first=First())


FILE, LINE = (
    squares.__file__,
    1
    + next(
        number for number, line in enumerate(Path(squares.__file__).read_text().splitlines()) if "the policy" in line
    ),
)
BROKE = f"RuntimeError: the policy broke (Latest.read, {os.path.relpath(FILE)}:{LINE}, frame {{frame}}, object 1)"


def table(comparison):
    """All that may not depend on how often a run was interrupted."""
    return [
        (run.name, name, repr(video.scores), repr(video.ranges))  # as text: NaN is NaN
        for run in comparison.runs
        for name, video in run.videos.items()
    ]


class StopsAfter(ProgressListener):
    """Presses Ctrl-C on a frame."""

    def __init__(self, frames):
        self.left = frames

    def frame(self, sequence, index, length):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


class Counts(ProgressListener):
    def __init__(self):
        self.tracked, self.failures, self.finished_before = [], {}, None

    def begin(self, total, finished):
        self.finished_before = finished

    def frame(self, sequence, index, length):
        if index == 0:
            self.tracked.append(sequence)

    def sequence(self, sequence, failure):
        if failure:
            self.failures[sequence] = failure


def test_scores_are_what_the_script_says(tmp_path):
    comparison = evaluate(TWO, Squares(), tmp_path)
    latest, first = comparison.runs
    assert comparison.sequences == ["alpha", "beta", "gamma"] and not comparison.failures
    # The square moves one cell a frame: the last frame is always near enough, the first one only for so long.
    assert latest.videos["alpha"].scores.jaccard == 1.0
    assert first.videos["alpha"].scores.jaccard < 0.9
    # Nothing was remembered while the square was away, so `Latest(2)` does not find it again.
    assert latest.videos["beta"].scores.absent_accuracy == 1.0
    assert latest.videos["beta"].scores.jaccard == pytest.approx(5 / 9)
    record = latest.folder.load("beta")
    assert [record.objects[1].visible[i] for i in (0, 1, 4, 5, 6)] == [None, True, False, False, True]
    assert record.objects[1].box[1] == (3.0, 6.0, 7.0, 10.0) and record.objects[1].box[4] is None
    assert np.array_equal(record.objects[1].mask_at(1, record.size), Squares().videos[1].mask(1))


def test_a_result_file_reads_with_the_standard_library(tmp_path):
    run = evaluate(TWO, Squares(), tmp_path).runs[0]
    with gzip.open(run.folder.path / "alpha.json.gz", "rt") as file:
        plain = json.load(file)
    assert plain["length"] == 8 and plain["work"]["encodings"] == 8 and plain["sharing"] == 2
    assert len(plain["objects"]["1"]["mask"]) == 8
    assert plain["objects"]["1"]["memory"][3]["spatial"] == [[2, 0], [1, 1]]
    about = json.loads((run.folder.path / "run.json").read_text())
    assert about["identity"]["tracker"]["policy"]["count"] == 2


def test_one_lockstep_encodes_every_frame_once_and_merges_equal_rows(tmp_path):
    three = trackers(a=Latest(2), b=Latest(2, fails_on=-1), c=First())
    comparison = evaluate(three, Squares(), tmp_path)
    assert comparison.frames == comparison.work.encodings == 8 + 10 + 6
    assert comparison.work.rows_asked == 3 * comparison.frames
    assert comparison.work.rows_computed < comparison.work.rows_asked * 2 / 3 + 1


@pytest.mark.parametrize("frames", [1, 9, 18, 23])
def test_a_killed_run_keeps_what_is_finished_and_ends_the_same(tmp_path, frames):
    whole = evaluate(TWO, Squares(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        evaluate(TWO, Squares(), tmp_path / "killed", listener=StopsAfter(frames))
    assert not list((tmp_path / "killed").rglob("*.lock")) and not list((tmp_path / "killed").rglob("*.part"))
    counts = Counts()
    again = evaluate(TWO, Squares(), tmp_path / "killed", listener=counts)
    assert table(again) == table(whole) and again.work == whole.work
    finished = sum(frames > end for end in (8, 18))
    assert counts.finished_before == finished and len(counts.tracked) == 3 - finished
    counts = Counts()
    evaluate(TWO, Squares(), tmp_path / "killed", listener=counts)
    assert counts.tracked == []


def test_a_new_variant_leaves_finished_ones_alone(tmp_path):
    one = evaluate(trackers(latest=Latest()), Squares(), tmp_path)
    stamp = (one.runs[0].folder.path / "alpha.json.gz").stat().st_mtime_ns
    both = evaluate(TWO, Squares(), tmp_path)
    assert (both.runs[0].folder.path / "alpha.json.gz").stat().st_mtime_ns == stamp
    assert table(both) == table(evaluate(TWO, Squares(), tmp_path / "fresh"))


SCRIPT = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from tests.fakes.squares import First, Latest, SquareNetwork, Square, Squares
    from framework.evaluation.sequence import ProgressListener
    from framework.evaluation.evaluate import evaluate
    from framework.tracker import Tracker

    class Slow(ProgressListener):
        def frame(self, sequence, index, length):
            if index == 0:
                print(sequence, flush=True)
            time.sleep(float(sys.argv[2]))

    network = SquareNetwork()
    two = {"latest": Tracker(network, Latest()), "first": Tracker(network, First())}
    videos = tuple(Square(f"video{i}", 8, i % 3) for i in range(8))
    evaluate(two, Squares(videos), Path(sys.argv[1]), listener=Slow())
    """
)


def start(folder, pause):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(pause)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_share_one_folder_and_a_killed_one_is_replaced(tmp_path):
    first, second = start(tmp_path, 0.02), start(tmp_path, 0.02)
    done = [process.communicate(timeout=60)[0].split() for process in (first, second)]
    assert first.returncode == second.returncode == 0
    assert sorted(done[0] + done[1]) == [f"video{i}" for i in range(8)]

    killed = start(tmp_path / "other", 0.05)
    assert killed.stdout.readline() == "video0\n" and killed.stdout.readline() == "video1\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert list((tmp_path / "other").rglob("*.lock"))
    videos = tuple(Square(f"video{i}", 8, i % 3) for i in range(8))
    counts = Counts()
    again = evaluate(TWO, Squares(videos), tmp_path / "other", listener=counts)
    assert counts.tracked == [f"video{i}" for i in range(1, 8)]
    assert table(again) == table(evaluate(TWO, Squares(videos), tmp_path))
    assert not list((tmp_path / "other").rglob("*.lock"))


def test_a_failure_is_recorded_and_the_others_go_on(tmp_path):
    videos = Squares((Square("good", 6, 0), Square("bad", 6, 0, broken_at=3), Square("fine", 6, 1)))
    counts = Counts()
    comparison = evaluate(TWO, videos, tmp_path, listener=counts)
    assert comparison.sequences == ["good", "fine"]
    assert comparison.failures == {"bad": "OSError: frame 3 cannot be read"}
    traces = {run.name: run.folder.path / "bad.failed.txt" for run in comparison.runs}
    told = [f"{name}: OSError: frame 3 cannot be read; the trace is in {path}" for name, path in traces.items()]
    assert counts.failures == {"bad": "; ".join(told)}
    first, *trace = traces["latest"].read_text().splitlines()
    assert first == "OSError: frame 3 cannot be read" == trace[-1] and "squares.py" in "".join(trace)
    assert not list(tmp_path.rglob("*.lock"))
    healed = replace(videos, videos=(*videos.videos[:1], Square("bad", 6, 0), *videos.videos[2:]))
    assert not evaluate(TWO, healed, tmp_path).failures and not list(tmp_path.rglob("*.failed.txt"))


def test_status_tells_done_running_failed_and_missing(tmp_path):
    names = ["good", "bad", "busy", "later"]
    videos = Squares(tuple(Square(name, 6, 0, broken_at=3 if name == "bad" else None) for name in names))
    assert status(TWO, videos, tmp_path, PROTOCOL)["latest"].missing == tuple(names)
    assert not list(tmp_path.iterdir())
    first = replace(videos, videos=videos.videos[:2])
    lock = evaluate(TWO, first, tmp_path).runs[0].folder.claim("busy")
    found = status(TWO, videos, tmp_path, PROTOCOL)
    assert found["latest"] == RunProgress(("good",), ("busy",), {"bad": "OSError: frame 3 cannot be read"}, ("later",))
    assert found["first"].running == () and found["first"].missing == ("busy", "later")
    lock.release()
    assert status(TWO, videos, tmp_path, PROTOCOL)["latest"].missing == ("busy", "later")


def test_a_policy_that_breaks_does_not_take_the_others_down(tmp_path):
    broken = trackers(latest=Latest(), broken=Latest(fails_on=7))
    counts = Counts()
    comparison = evaluate(broken, Squares(), tmp_path, listener=counts, keep_going=True)
    assert counts.tracked == ["alpha", "alpha", "beta", "beta", "gamma"]  # again without it, not with it
    assert list(comparison.runs[0].videos) == ["alpha", "beta", "gamma"]
    assert list(comparison.runs[1].videos) == comparison.sequences == ["gamma"]
    assert comparison.runs[1].failures["alpha"] == BROKE.format(frame=7)
    with pytest.raises(InputError, match=r"no sequence of squares-v1 could be tracked.*the policy broke"):
        evaluate(trackers(broken=Latest(fails_on=1)), Squares(), tmp_path, keep_going=True)


def test_a_policy_that_breaks_on_its_first_sequence_ends_the_evaluation(tmp_path):
    """In one line: which variant, what, where in the user's file, on which frame of which object, and the trace."""
    counts = Counts()
    with pytest.raises(InputError) as refused:
        evaluate(trackers(latest=Latest(), broken=Latest(fails_on=7)), Squares(), tmp_path, listener=counts)
    (trace,) = tmp_path.rglob("*.failed.txt")
    told = f"broken fails on alpha: {BROKE.format(frame=7)}; the trace is in {trace}; keep_going=true goes on"
    assert str(refused.value) == told and counts.tracked == ["alpha"]
    assert trace.read_text().startswith(BROKE.format(frame=7) + "\n\nTraceback (most recent call last):\n")


def test_a_policy_that_has_tracked_a_sequence_does_not_end_the_evaluation(tmp_path):
    broken = trackers(latest=Latest(), broken=Latest(fails_on=7))
    gamma = replace(Squares(), videos=Squares().videos[2:])
    assert not evaluate(broken, gamma, tmp_path).failures
    assert set(evaluate(broken, Squares(), tmp_path).runs[1].failures) == {"alpha", "beta"}


def test_a_variant_without_a_result_is_left_out_of_the_comparison(tmp_path):
    broken, latest = Latest(fails_on=1), Latest()
    comparison = evaluate(trackers(latest=latest, broken=broken), Squares(), tmp_path, keep_going=True)
    assert [run.name for run in comparison.runs] == ["latest"] and len(comparison.sequences) == 3
    assert comparison.lost == {"broken": BROKE.format(frame=1)} and not comparison.failures
    with pytest.raises(InputError, match=r"^broken, with which the others are compared, failed on every sequence: "):
        evaluate(trackers(broken=broken, latest=latest), Squares(), tmp_path, keep_going=True)


def test_truth_reaches_privileged_policies_only(tmp_path):
    comparison = evaluate(trackers(peeking=Peeking(), latest=Latest()), Squares(), tmp_path)
    assert not comparison.failures  # `Peeking` asserts that it is there; see the tracker's tests for the others


def test_starting_from_a_box_and_scoring_the_prompted_frame(tmp_path):
    protocol = EvaluationProtocol(prompt="box", box_edges="inclusive", scored="all")
    run = evaluate(trackers(latest=Latest()), Squares(), tmp_path, protocol).runs[0]
    record = run.folder.load("alpha").objects[1]
    assert record.iou[0] == 1.0 and record.box[0] == (0.0, 6.0, 3.0, 9.0)


class Revising(Tracker):
    """Says in hindsight that the object never moved from where it was on frame 2."""

    def hindsight(self, state):
        return {1: dict.fromkeys(range(3, 6), state.objects[1][0].memory[0])}


class Revised(First):
    """Keeps what is shown on frame 2 as its state, for `Revising`."""

    def write(self, state, entry, outcome):
        logits = torch.where(outcome.mask(), 6.0, -6.0)
        return (Track(logits, entry.scores, 0, None, None, MemoryUse()),) if entry.frame == 2 else state or (entry,)

    def read(self, state, query):
        return Read()

    def entries(self, state):
        return ()


def test_a_revised_frame_replaces_the_first_answer(tmp_path):
    revising = {"revising": Revising(NETWORK, Revised())}
    late = evaluate(revising, Squares(), tmp_path).runs[0].folder.load("alpha").objects[1]
    assert late.frame == list(range(8))
    assert late.mask[3:6] == [late.mask[2]] * 3 and late.iou[2] == 1.0 and late.iou[3] == pytest.approx(3 / 5)
    early = evaluate(revising, Squares(), tmp_path, EvaluationProtocol(hindsight=False)).runs[0]
    assert early.folder.load("alpha").objects[1].iou[3] == 1.0


SQUARES, PROTOCOL = Squares(), EvaluationProtocol()


def described(tracker=TWO["latest"], data=SQUARES, protocol=PROTOCOL):
    return identity.run_hash(run_identity(tracker, data, protocol))


def test_the_hash_changes_when_anything_that_decides_changes(monkeypatch):
    base = TWO["latest"]
    hashes = [
        described(),
        described(replace(base, policy=Latest(3))),
        described(replace(base, policy=First())),
        described(replace(base, network=SquareNetwork(3))),
        described(replace(base, presence_threshold=-1.0)),
        described(replace(base, fill_hole_area=8)),
        described(data=replace(Squares(), name="squares-v2")),
        described(protocol=EvaluationProtocol(prompt="box")),
        described(protocol=EvaluationProtocol(scored="all")),
    ]
    assert len(set(hashes)) == len(hashes)
    assert described(replace(base, policy=Latest(2, None))) == described()
    monkeypatch.setattr(identity, "code_digest", lambda *parts: "edited")
    assert described() not in hashes


def test_code_identity_is_the_engine_without_what_only_shows_or_trains():
    modules: set[str] = set()
    for name in ("framework.evaluation.evaluate", "framework.networks.micro"):
        identity._follow(name, modules)
    assert {
        "framework.tracker",
        "framework.rows",
        "framework.metrics.tracking",
        "framework.networks.attention",
    } <= modules
    shown = (
        "framework.report",
        "framework.learning",
        "framework.config.cli",
        "framework.metrics.statistics",
        "framework.report.wandb_log",
    )
    assert not [name for name in modules if name.startswith(shown)]


@dataclass(frozen=True)
class BoxedSquare(Square):
    """The same square, of which only boxes are known; nothing of frame 2."""

    def truth(self, index):
        return {}

    def truth_boxes(self, index):
        return {} if index == 2 else {1: mask_box(self.mask(index))}

    def prompts(self):
        return {0: {1: Prompt(box=mask_box(self.mask(0)))}}


@dataclass(frozen=True)
class SecretSquare(Square):
    """The same square, of which nothing is known but where it starts."""

    def truth(self, index):
        return {}


@pytest.mark.parametrize("prompt", ["mask", "box", "estimated"])
def test_boxes_are_scored_where_the_truth_is_boxes(tmp_path, prompt):
    video = BoxedSquare("boxed", 8, 0, (4, 6))
    data = Squares(videos=(video,))
    comparison = evaluate(trackers(latest=Latest(8)), data, tmp_path, EvaluationProtocol(prompt=prompt))
    record = comparison.runs[0].folder.load("boxed").objects[1]
    assert [iou is None for iou in record.iou] == [True, False, True, *[False] * 5]
    assert record.visible[3:7] == [True, False, False, True]
    for frame in (1, 3, 4, 5, 6, 7):
        assert record.iou[frame] == box_iou(record.box[frame], mask_box(video.mask(frame)))
    assert record.iou[1] == 1.0 == record.iou[4]


def test_secret_truth_is_kept_for_the_server(tmp_path):
    data = Squares(videos=(SecretSquare("secret", 6, 0),))
    for _ in range(2):
        with pytest.raises(
            InputError, match=r"squares-v1 is tracked and kept in .*, but there is no truth beyond .*export"
        ):
            evaluate(trackers(latest=Latest()), data, tmp_path)
    (path,) = tmp_path.rglob("secret.json.gz")
    record = RunFolder(path.parent, path.parent.name).load("secret")
    assert record.scores() is None and len(record.objects[1].mask) == 6


def test_the_compiler_of_plug_ins_is_started_before_anything_is_timed(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(jit, "start", lambda: order.append("started"))

    class Hears(ProgressListener):
        def frame(self, sequence, index, length):
            order.append(sequence)

    evaluate(TWO, Squares(), tmp_path, listener=Hears())
    assert order[:2] == ["started", "alpha"] and order.count("started") == 1
