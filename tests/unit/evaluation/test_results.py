"""Results on disk: whole or missing, claimed by one process, of one configuration."""

import errno
import gzip
import io
import json
import os
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest

from framework.errors import InputError
from framework.evaluation import results
from framework.evaluation.evaluate import _Failures, evaluate, status
from framework.evaluation.protocol import EvaluationProtocol
from framework.evaluation.records import from_json, to_json
from framework.evaluation.results import RunFolder, RunProgress
from framework.metrics.tracking import mask_box
from framework.storage import identity
from framework.storage.files import write_atomic
from framework.storage.mask_rle import decode_mask, encode_mask
from framework.tracker import Tracker
from tests.fakes.squares import First, Latest, SquareNetwork, Squares

NETWORK, PROTOCOL = SquareNetwork(), EvaluationProtocol()
TWO = {"latest": Tracker(NETWORK, Latest()), "first": Tracker(NETWORK, First())}


def folder_at(path):
    return RunFolder.open(path, "data", "0" * 16, {"x": 1}, {})


def test_a_lock_keeps_others_out_until_its_owner_is_gone(tmp_path, monkeypatch):
    folder = folder_at(tmp_path)
    lock = folder.claim("video")
    assert lock is not None and folder.claim("video") is None
    # Another host's lock counts until its heartbeat is too old.
    lock.path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "token": "theirs"}))
    assert folder.claim("video") is None
    old = time.time() - results.STALE_AFTER - 1
    os.utime(lock.path, (old, old))
    taken = folder.claim("video")
    assert taken is not None
    lock.release()  # its lock was taken over: nothing to remove
    assert folder.claim("video") is None
    monkeypatch.setattr(results, "HEARTBEAT", 0.0)
    os.utime(taken.path, (old, old))
    taken.beat()
    assert folder.claim("video") is None
    taken.release()
    assert not taken.path.exists()


@pytest.mark.parametrize("left", [0, 1, 100, -1])
def test_a_torn_result_is_missing_and_made_again(tmp_path, left):
    """What a power cut or a copy that was broken off leaves of a file."""
    run = evaluate(TWO, Squares(), tmp_path).runs[0].folder
    before = run.load("alpha").objects
    result = run.path / "alpha.json.gz"
    content = result.read_bytes()
    result.write_bytes(content[:left])
    found = status(TWO, Squares(), tmp_path, PROTOCOL)
    assert found["latest"] == RunProgress(("beta", "gamma"), (), {}, ("alpha",))
    assert found["first"].done == ("alpha", "beta", "gamma")
    stamp = (run.path / "beta.json.gz").stat().st_mtime_ns
    evaluate(TWO, Squares(), tmp_path)
    assert run.load("alpha").objects == before
    assert (run.path / "beta.json.gz").stat().st_mtime_ns == stamp


def test_results_of_another_configuration_are_refused(tmp_path):
    run = evaluate(TWO, Squares(), tmp_path).runs[0]
    other = run.folder.path / "alpha.json.gz"
    plain = json.loads(gzip.decompress(other.read_bytes()))
    other.write_bytes(gzip.compress(json.dumps({**plain, "run": "f" * 16}).encode()))
    with pytest.raises(InputError, match=r"alpha\.json\.gz is another configuration's result: remove it or"):
        evaluate(TWO, Squares(), tmp_path)
    with pytest.raises(InputError, match=r"alpha\.json\.gz is another configuration's result"):
        status(TWO, Squares(), tmp_path, PROTOCOL)
    other.write_bytes(gzip.compress(b'{"format": 0}'))
    with pytest.raises(InputError, match=r"alpha\.json\.gz is damaged or of another version: remove it"):
        evaluate(TWO, Squares(), tmp_path)
    other.unlink()
    about = run.folder.path / "run.json"
    about.write_text(about.read_text().replace('"count": 2', '"count": 3'))
    with pytest.raises(InputError, match="holds another configuration's results"):
        evaluate(TWO, Squares(), tmp_path)


def test_an_output_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write results to .*: make room or choose another output="):
        evaluate(TWO, Squares(), tmp_path / "file")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    folder = RunFolder(tmp_path, "0" * 16)
    with pytest.raises(OSError, match="No space"):
        write_atomic(folder.path / "x", b"half")
    with pytest.raises(InputError, match="No space left on device"):
        evaluate(TWO, Squares(), tmp_path / "full")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "file"]


@pytest.mark.parametrize(("late", "free"), [(-86400, True), (-300, False), (300, False), (86400, True)])
def test_a_heartbeat_by_another_clock(late, free, tmp_path):
    folder = RunFolder.open(tmp_path, "squares", "a", {}, {})
    lock = folder.path / "video.lock"
    lock.write_text(json.dumps({"host": "elsewhere", "pid": 1, "token": "x"}))
    os.utime(lock, (time.time() + late,) * 2)
    assert (folder.claim("video") is not None) == free


def test_a_full_disk_leaves_no_lock_without_an_owner(tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, content):
            raise OSError(errno.ENOSPC, "No space left on device")

    folder = RunFolder.open(tmp_path, "squares", "a", {}, {})
    with monkeypatch.context() as patch:
        patch.setattr(results.os, "fdopen", lambda handle, flags: os.close(handle) or Full())
        with pytest.raises(InputError, match=r"No space left on device\): make room or choose another output="):
            folder.claim("video")
    assert [path.name for path in folder.path.iterdir()] == ["run.json"]
    assert folder.claim("video") is not None


def test_records_and_masks_survive_the_file(tmp_path):
    record = evaluate(TWO, Squares(), tmp_path).runs[0].folder.load("beta")
    assert from_json(json.loads(json.dumps(to_json(record)))) == record
    mask = np.random.default_rng(0).random((9, 13)) > 0.5
    assert np.array_equal(decode_mask(encode_mask(mask), (9, 13)), mask)
    assert mask_box(np.zeros((4, 4), dtype=bool)) is None


@pytest.mark.parametrize("ahead", [-86400, 86400])
def test_what_failed_before_is_tried_again_whatever_the_clock_says(ahead, tmp_path):
    folders = {"a": RunFolder.open(tmp_path, "squares", "a", {}, {})}
    folders["a"].fail("old", "broke", "trace")
    os.utime(folders["a"].trace("old"), (time.time() + ahead,) * 2)
    failures = _Failures({"a": "a"}, folders, ["old", "new", "done"], True)
    folders["a"].fail("new", "broke too", "trace")
    os.utime(folders["a"].trace("new"), (time.time() + ahead,) * 2)
    assert [failures.reason("a", name) for name in ("old", "new", "done")] == [None, "broke too", None]
    folders["a"].fail("old", "broke again", "trace")
    assert failures.reason("a", "old") == "broke again"


def test_results_of_two_machines_copied_together_are_all_found(tmp_path, monkeypatch):
    """Of one version they complete each other; those of another version lie beside them."""
    halves = [replace(Squares(), videos=videos) for videos in (Squares().videos[:2], Squares().videos[1:])]
    for name, half in zip(("here", "there"), halves, strict=True):
        monkeypatch.setattr(results.socket, "gethostname", lambda name=name: name)
        evaluate(TWO, half, tmp_path / name)
    with monkeypatch.context() as patch:
        patch.setattr(identity, "code_digest", lambda *parts: "another")
        evaluate(TWO, Squares(), tmp_path / "other")
    for name in ("here", "there", "other"):
        shutil.copytree(tmp_path / name, tmp_path / "all", dirs_exist_ok=True)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "all").glob("*/*/*.json.gz")}
    assert len(kept) == 2 * 3 * len(TWO)
    assert evaluate(TWO, Squares(), tmp_path / "all").sequences == ["alpha", "beta", "gamma"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "all").glob("*/*/*.json.gz")} == kept


WRONG = {
    "text for a number": lambda columns: {**columns, "iou": ["0.5" for _ in columns["iou"]]},
    "a truth for a number": lambda columns: {**columns, "area": [True for _ in columns["area"]]},
    "a number for a truth": lambda columns: {**columns, "visible": [1 for _ in columns["visible"]]},
    "a column too short": lambda columns: {**columns, "presence": columns["presence"][:-1]},
    "no column": lambda columns: {**columns, "choice": 3},
    "three edges": lambda columns: {**columns, "box": [[1.0, 2.0, 3.0] for _ in columns["box"]]},
    "an unknown column": lambda columns: {**columns, "IoU": columns["iou"]},
}


@pytest.mark.parametrize("case", WRONG)
def test_every_column_of_a_record_is_checked(case, tmp_path):
    folder = evaluate(TWO, Squares(), tmp_path).runs[0].folder
    path = folder.path / "beta.json.gz"
    record = json.loads(gzip.decompress(path.read_bytes()))
    record["objects"] = {key: WRONG[case](columns) for key, columns in record["objects"].items()}
    path.write_bytes(gzip.compress(json.dumps(record).encode()))
    with pytest.raises(InputError, match=r"beta.json.gz is damaged or of another version: remove it and run again"):
        folder.load("beta")
