"""Names of earlier versions: what replaces each exists, and the old one does not."""

from pathlib import Path

import pytest
from hydra._internal.utils import _locate

from engram import COMMANDS
from framework.config import renamed
from framework.errors import InputError
from framework.report import table
from framework.report.report import Reporter

CONF = Path(__file__).parents[3] / "conf"


@pytest.mark.parametrize("old", renamed.CHOICES)
def test_choices(old):
    (group, choice), (new_group, new_choice) = old.split("="), renamed.CHOICES[old].split("=")
    assert (CONF / new_group / f"{new_choice}.yaml").exists()
    assert not (CONF / group / f"{choice}.yaml").exists()
    assert renamed.renamed_choice(group, choice) == f"{old} is called {renamed.CHOICES[old]} now"
    assert renamed.renamed_choice(new_group, new_choice) is None


def test_options():
    assert renamed.renamed_option("bests") == "bests is called best_of now"
    assert renamed.renamed_option("report.bests") == "report.bests is called report.best_of now"
    assert renamed.renamed_option("report.best_of") is None


def test_columns():
    assert renamed.renamed_column("milliseconds") == "columns=[milliseconds] is called columns=[ms] now"
    assert renamed.renamed_column("ms") is None
    assert set(renamed.COLUMNS.values()) <= set(table.COLUMNS) and not set(renamed.COLUMNS) & set(table.COLUMNS)
    with pytest.raises(InputError, match=r"^columns=\[milliseconds\] is called columns=\[ms\] now$"):
        Reporter(columns=["milliseconds"])


def test_commands():
    assert renamed.renamed_command("examine") == "engram examine is called engram diagnose now"
    assert set(renamed.COMMANDS.values()) <= set(COMMANDS) and not set(renamed.COMMANDS) & set(COMMANDS)


@pytest.mark.parametrize("old", renamed.TARGETS)
def test_targets(old):
    found = _locate(renamed.TARGETS[old])
    assert renamed.TARGETS[old] in (found.__name__, f"{getattr(found, '__module__', '')}.{found.__name__}")
    with pytest.raises(ImportError):
        _locate(old)


def test_targets_by_their_module():
    now = "is called _target_=framework.data.readers.boxes.Lasot now"
    assert renamed.renamed_target("framework.data.boxes.Lasot") == f"_target_=framework.data.boxes.Lasot {now}"
    assert renamed.renamed_target("policies.beam.Beam") == (
        "_target_=policies.beam.Beam is called _target_=policies.sam2long_beam.Beam now"
    )
    assert renamed.renamed_target("policies.sam2.Sam2") is None
