"""Options that are text arrive as they were written."""

from pathlib import Path
from typing import Literal

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from framework.config.quoting import quoted
from framework.config.texts import as_written, by_constructors
from framework.errors import InputError

OPTIONS = {"source": str | int, "output": str | None, "frames": int | None, "data.root": str | Path | None}
OPTIONS |= {"data.only": list[str], "box": list[float] | None, "columns": bool | str | list[str], "path": Path}
OPTIONS |= {"edition": Literal["1_0", "2_0"]}
SPECIAL = st.sampled_from("${}\\'\"=,[]() #&?:~+@.-_0123456789eEnulltruefalse\tж中é")
TEXT = st.text(SPECIAL | st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\r"))
TEXT = TEXT.filter(lambda text: text != "???")  # OmegaConf's mark of a value that is missing, quoted or not


def jobs(*overrides, sweep=False):
    """What every job of a command line is given, as names and values."""
    written = as_written(overrides, by_constructors(OPTIONS, overrides, OmegaConf.from_dotlist), sweep)
    parse = OverridesParser.create().parse_overrides
    (batch,) = BasicSweeper.split_arguments(parse(written), None) if sweep else ([written],)
    return [{o.key_or_group: OmegaConf.create([o.value()])[0] for o in parse(job)} for job in batch]


@settings(deadline=None, max_examples=50)
@given(TEXT, TEXT)
@example("1_2", "2024_01_15")
@example("\\", "\\${a}")
@example("it's", '"')
def test_a_quoted_text_arrives(one, other):
    for name in ("source", "output", "data.root"):
        assert jobs(f"{name}={quoted(one)}") == [{name: one}]
        both = f"{name}={quoted(one)},{quoted(other)}"
        assert jobs(both, sweep=True) == [{name: one}, {name: other}]
        assert jobs(f"{name}=choice({quoted(one)}, {quoted(other)})", sweep=True) == [{name: one}, {name: other}]
    (job,) = jobs(f"data.only=[{quoted(one)}, {quoted(other)}]")
    assert list(job["data.only"]) == [one, other]
    swept = jobs(f"data.only=[{quoted(one)}],[{quoted(other)},a]", sweep=True)
    assert [list(job["data.only"]) for job in swept] == [[one], [other, "a"]]


def means_something_else(text):
    """null, a value in quotes, an interpolation, and an option that is left empty."""
    if "${" in text or not text:
        return True
    try:
        value = OverridesParser.create().parse_override(f"key={text}")._value
    except HydraException:
        return False
    return value is None or type(value).__name__ == "QuotedString"


@settings(deadline=None, max_examples=50)
@given(TEXT.filter(lambda text: not means_something_else(text)))
@example("1_2")
@example("clip (1).mp4")
@example(" a,b ")
@example("a\\")
def test_a_plain_text_arrives(text):
    assert jobs(f"output={text}") == [{"output": text}]
    if "," not in text:
        assert jobs(f"output={text}", sweep=True) == [{"output": text.strip()}]
    assert jobs(f"+output={text}") == [{"output": text}]
    (job,) = jobs(f"source={text}")
    assert str(job["source"]) == text


@settings(deadline=None, max_examples=50)
@given(st.lists(TEXT.filter(lambda text: not {*"'\"[](),"} & {*text} and text.strip() == text), min_size=2))
@example(["0", "\\"])
@example(["1_2", "0x1", "1e3", "2024.01.15"])
def test_plain_texts_of_a_list_and_of_a_sweep_arrive(texts):
    texts = [text for text in texts if not means_something_else(text)]
    if len(texts) < 2:
        return
    (job,) = jobs(f"data.only=[{','.join(texts)}]")
    assert list(job["data.only"]) == texts
    assert [job["output"] for job in jobs(f"output={','.join(texts)}", sweep=True)] == texts


AS_THEY_ARE = {
    "source=0": 0,
    "source=007": "007",
    "output=null": None,
    "output='1_2'": "1_2",
    'output="a, b"': "a, b",
    "output=": "",
    "output=out/${x}": "out/${x}",
    "output=${x} (1)": "${x} (1)",
    "frames=1_0": 10,
    "frames=null": None,
    "box=[1,2e1]": [1, 20.0],
    "columns=true": True,
    "columns=TRUE": "TRUE",
    "columns=1_2": "1_2",
    "columns=[1_2,'a,b',null,it's,[a]": ["1_2", "a,b", None, "it's", "[a"],
    "columns=[]": [],
    "data.only=[ 1_2 , b c ]": ["1_2", "b c"],
    "path=1_2": "1_2",
    "edition=2_0": "2_0",
}


@pytest.mark.parametrize("override", AS_THEY_ARE)
def test_what_an_option_is(override):
    written = as_written([override], OPTIONS.get, sweep=False)
    assert OverridesParser.create().parse_overrides(written)[0].value() == AS_THEY_ARE[override]


SWEPT = {
    "output=1_2,null,'a,b',clip (1)": ["1_2", None, "a,b", "clip (1)"],
    "output=choice(1_2,1e3)": ["1_2", "1e3"],
    "output=choice(1_2)": ["1_2"],
    "output=sort(b,a,reverse=true)": ["b", "a"],
    "source=range(3)": [0, 1, 2],
    "source=0,1_2": [0, "1_2"],
    "output=clip(1,2)": ["clip(1,2)"],
    "data.only=[1_2],[b,1_3]": [["1_2"], ["b", "1_3"]],
    "frames=1_0,2": [10, 2],
}


@pytest.mark.parametrize("override", SWEPT)
def test_what_a_sweep_is(override):
    (name,) = jobs(override, sweep=True)[0]
    assert [job[name] for job in jobs(override, sweep=True)] == SWEPT[override]


def test_a_function_that_forgets_quotes_is_refused():
    with pytest.raises(InputError, match=r"^sort\(2_0,1_0\): sort is for numbers: give texts in their order, "):
        jobs("output=sort(2_0,1_0)", sweep=True)


def test_what_is_no_text_is_left():
    given = ["~policy", "policy@other=1_2", "nowhere=1_2", "data.nowhere=1_2", "box=[1,2", "overwrite", "=1_2"]
    assert as_written(given, by_constructors(OPTIONS, given, OmegaConf.from_dotlist), sweep=False) == given


def test_a_constructor_says_which_of_its_options_are_text():
    reader = {"_target_": "framework.data.readers.folder.AnyFolder"}
    config = OmegaConf.create({"data": reader, "inner": {"data": reader}})
    given = ["data.version=1", "+inner.data.only=[1_2]", "data.limit=1_0", "data._target_=1_2"]
    written = as_written(given, by_constructors({}, given, lambda *_: config), sweep=False)
    assert written == ["data.version='1'", "+inner.data.only=['1_2']", "data.limit=1_0", "data._target_=1_2"]
