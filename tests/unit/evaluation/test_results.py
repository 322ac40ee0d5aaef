"""Results on disk: whole or missing, claimed by one process, of one configuration."""

import errno
import gzip
import io
import json
import os
import time

import numpy as np
import pytest

from framework.errors import InputError
from framework.evaluation import results
from framework.evaluation.evaluate import evaluate, status
from framework.evaluation.protocol import EvaluationProtocol
from framework.evaluation.records import from_json, to_json
from framework.evaluation.results import RunFolder, RunProgress
from framework.metrics.tracking import mask_box
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
