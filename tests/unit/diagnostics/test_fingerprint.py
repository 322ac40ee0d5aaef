"""What identifies a backbone whose authors' predictor is not at hand."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments import verify
from framework.diagnostics import fingerprint as module
from framework.diagnostics.fingerprint import MASK_LOGITS, Fingerprint, fingerprint
from framework.errors import InputError
from framework.networks.build import layout, model, network
from policies.keep_first import KeepFirst
from policies.sam2 import Sam2
from tests.conf.test_ablate import call

GOLDENS = Path(__file__).parents[2] / "assets" / "goldens"


@pytest.mark.parametrize("family", MASK_LOGITS)
def test_the_numbers_are_those_of_the_authors_predictor(family: str) -> None:
    member, expected = MASK_LOGITS[family]
    with np.load(GOLDENS / f"{member}.npz") as file:
        for t, numbers in enumerate(expected, start=1):
            np.testing.assert_array_equal(np.float32(numbers), file[f"mask/frame{t}/pred_masks_stats"])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Random weights as the official file has them."""
    torch.manual_seed(0)
    path = tmp_path / "efficienttam_ti.pt"
    torch.save({"model": model("efficienttam_ti", 512).state_dict()}, path)
    return path


def test_a_file_its_layout_and_the_arithmetic(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["backbone=efficienttam_ti", f"backbone.checkpoint={saved}", "backbone.device=cpu", "threads=1"]
    assert call(verify.main, *options, "json=true") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == str(saved) and told["sha256"] == hashlib.sha256(saved.read_bytes()).hexdigest()
    shapes = layout("efficienttam_ti")
    assert told["entries"] == len(shapes) and told["parameters"] == sum(int(np.prod(s)) for s in shapes.values())
    assert told["member"] == "efficienttam_ti_512x512" and told["difference"] <= told["tolerance"] and told["agrees"]


def test_other_arithmetic_is_noticed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A memory that keeps the first frame alone reads less on the second frame after it."""
    built = network("efficienttam_ti_512x512", "random", device="cpu")
    assert not fingerprint(built, "efficienttam_s", "random", KeepFirst()).agrees
    wrong = Fingerprint(None, None, 1, 2, "edgetam", 0.5)
    monkeypatch.setattr("framework.diagnostics.verification.fingerprint", lambda *_: wrong)
    assert call(verify.main, "backbone=edgetam", "backbone.checkpoint=random", "backbone.image_size=256") == 2
    told = capsys.readouterr()
    assert "none: random weights" in told.out
    assert "this engine and its authors' predictor disagree: mask logits within 5.0e-01, 0.01 allowed" in told.err
    assert replace(wrong, difference=module.TOLERANCE).agrees


def test_a_family_whose_numbers_are_not_known_is_refused() -> None:
    with pytest.raises(InputError, match="numbers of sam3's authors to compare with: efficienttam and edgetam have"):
        fingerprint(network("edgetam", "random", 256, device="cpu"), "sam3", "random", Sam2())
