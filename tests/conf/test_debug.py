"""The switches for looking at a run: two short videos, whole traces, where the time went."""

import gzip
import json

import pytest

from experiments import ablate
from framework.errors import InputError
from policies import no_memory
from tests.conf.test_ablate import call

TWO = ("variants=[sam2,no_memory]", "backbone.checkpoint=random", "data.length=20", "excerpt.frames=3")


def test_profile_tracks_two_short_videos_and_says_where_the_time_went(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(ablate.main, "+debug=profile", *TWO) == 0
    out = capsys.readouterr().out
    assert "6 encodings for 6 frames" in out and "cumulative time" in out and "evaluate.py" in out
    found = sorted((tmp_path / "outputs/debug").rglob("*.json.gz"))
    assert len(found) == 4 and {json.loads(gzip.decompress(path.read_bytes()))["length"] for path in found} == {3}


@pytest.mark.parametrize("debug", [True, False])
def test_fast_shows_whole_traces(debug, tmp_path, monkeypatch, capsys):
    def failing(policy, state, entry, outcome):
        raise KeyError("x")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(no_memory.NoMemory, "write", failing)
    told = r"no_memory fails on .*: KeyError: 'x' \(NoMemory.write, .*, frame 0, object 1\); the trace is in "
    if debug:
        with pytest.raises(InputError, match=told):
            call(ablate.main, "+debug=fast", *TWO)
    else:
        options = ("data.limit=1", "logger=none", "output=o", *TWO[:-1])
        assert call(ablate.main, *options) == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith("no_memory fails on ")
