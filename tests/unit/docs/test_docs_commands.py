"""Every command in the documentation names an experiment, its options compose, and its variants can be made."""

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import DictConfig

from framework.config.checks import build
from framework.config.variants import expand_sweep, variants
from framework.evaluation.best_of import check_rows
from framework.interfaces import MemoryPolicy, MotionModel
from tests.documentation import FRONT, PAGES, PROJECT, RESULTS, render_results

TO_WRITE = ("sure", "inside", "stay")
"""Plug-ins that pages have a reader write; tests/unit/test_adding_a_policy.py follows those."""


def commands() -> Iterator[str]:
    for page in (*FRONT, *PAGES):
        for block in re.findall(r"^```console\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL):
            yield from block.replace("\\\n", " ").splitlines()
    for path in RESULTS:
        for command in render_results.read(path).commands:
            yield from command.split(" && ")


COMMANDS = sorted({line for line in commands() if line.startswith("engram ")})


def _first(option: Override) -> str:
    """Of what an option is swept over; of an interval its lower end."""
    value = option.value()
    return str(value.start) if isinstance(value, IntervalSweep) else next(iter(option.sweep_string_iterator()))


def job(line: str) -> tuple[str, list[str]]:
    """Experiment and options, of a sweep those of its first job; three random policies stand for 64."""
    line = line.replace("range(1,65)", "range(1,4)").replace("<run>", "0123456789abcdef")
    _, name, *options = shlex.split(line, comments=True)
    if "-m" not in options:
        return name, options
    parsed = OverridesParser.create().parse_overrides([option for option in options if option != "-m"])
    return name, [
        f"{option.get_key_element()}={_first(option)}" if option.is_sweep_override() else str(option.input_line)
        for option in parsed
    ]


TO_FOLLOW = [line for line in COMMANDS if not any(name in line for name in TO_WRITE)]


@contextmanager
def composed(entry: str, options: list[str]) -> Iterator[DictConfig]:
    """A configuration as its entry point sees it."""
    GlobalHydra.instance().clear()  # importing sam2 leaves it initialised
    with initialize_config_module(config_module="conf", version_base="1.3"):
        HydraConfig.instance().set_config(compose(entry, overrides=options, return_hydra_config=True))
        yield compose(entry, overrides=options)


def listed(config: DictConfig) -> list[str]:
    """Names of the variants."""
    return [text for item in config.get("variants") or () for text in expand_sweep(item)]


@pytest.mark.parametrize("line", TO_FOLLOW)
def test_a_command(line: str) -> None:
    name, options = job(line)
    assert (PROJECT / f"experiments/{name}.py").exists()
    with composed("ablate" if name == "status" else name, options) as config:
        if "best_of" in config and "paper" not in config:
            names, best_of, means = listed(config), config.best_of or {}, config.means or {}
            check_rows("best_of", best_of, names)
            check_rows("means", means, names)
            assert config.oracle is None or config.oracle in (*names, *best_of, *means)


def test_the_variants_of_the_commands_can_be_made() -> None:
    """Those of `+experiment=...` and `+paper=...` are made in tests/conf. What a command trains is not there yet."""
    texts: set[str] = set()
    for line in TO_FOLLOW:
        name, options = job(line)
        if name in ("ablate", "status", "bench") and not any(option[0] == "+" for option in options):
            with composed("bench" if name == "bench" else "ablate", options) as config:
                texts |= {re.sub(r" (policy|motion)\.checkpoint=outputs/\S+", "", text) for text in listed(config)}
    assert len(texts) > 20
    asked = ",".join(f"'{text}'" for text in sorted(texts))
    with composed("ablate", [f"variants=[{asked}]"]) as config:
        for variant in variants(config):
            assert isinstance(build(variant.config.policy), MemoryPolicy)
            assert isinstance(build(variant.config.motion), MotionModel)


def test_the_commands_were_found() -> None:
    assert {line.split()[1] for line in COMMANDS} >= {"ablate", "track", "train", "evaluate", "status", "bench"}
