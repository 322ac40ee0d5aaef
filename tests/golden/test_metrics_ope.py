"""Against what pytracking, SAMURAI's, HiM2SAM's and got-10k's evaluators returned for the same boxes."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from framework.errors import InputError
from framework.metrics.ope import EVALUATORS, OpeReport, SequencePrediction

ASSETS = Path(__file__).parents[1] / "assets/metrics/ope"
RENAMED = {"him2sam/lasot+path_rvcot_nfs": "him2sam_enlarged/lasot"}
KEYS = ("auc", "op50", "op75", "prec20", "nprec20")
LASOT_PREDICTIONS = ("noisy_zero", "noisy_neg1", "noisy_empty_from_start", "int_maxmin", "oracle")
OTB_PREDICTIONS = ("exact_len", "short", "long", "long_empty_tail")


def expected(name: str) -> dict:
    return json.loads((ASSETS / f"{name}_expected.json").read_text())


def arrays(name: str) -> Mapping[str, np.ndarray]:
    with np.load(ASSETS / name) as data:
        return dict(data)


def modes(name: str) -> list[str]:
    return [mode for mode in expected(name) if not mode.startswith("_")]


LASOT_INPUTS = arrays("lasot12_inputs.npz")


def lasot_runs(prediction: str, mode: str) -> list[SequencePrediction]:
    runs = []
    for name in expected("lasot12")["_sequences"]:
        truth = LASOT_INPUTS[f"{name}/gt"].astype(np.float64)
        absent = LASOT_INPUTS[f"{name}/absent"] == 1
        if prediction == "oracle":
            boxes = np.where(absent[:, None], 0.0, truth)
        elif prediction == "int_maxmin":
            boxes = LASOT_INPUTS[f"{name}/{prediction}"].astype(np.float64)
        else:
            boxes = LASOT_INPUTS[f"{name}/{prediction}"] / 100
        runs.append(SequencePrediction(name, truth, boxes, None if mode.startswith("got10k_git") else ~absent))
    return runs


def otb_runs(file: str, prediction: str, mode: str) -> list[SequencePrediction]:
    data = arrays(file)
    names = sorted({key.split("/")[0] for key in data})
    return [
        SequencePrediction(
            name, truth, data[f"{name}/{prediction}"], np.ones(len(truth), bool) if "lasot" in mode else None
        )
        for name in names
        for truth in [data[f"{name}/gt"]]
    ]


def check(report: OpeReport, want: dict, where: str) -> None:
    if "printed_2dp" not in want:
        check_got10k(report, want, where)
        return
    points = report.overall.points()
    assert [f"{value:.2f}" for value in points] == want["printed_2dp"], where
    assert points == pytest.approx([want["overall"][key] for key in KEYS], abs=1e-12), where
    for curves in report.sequences:
        here, there = f"{where} {curves.name}", want["per_seq"][curves.name]
        assert curves.frames == there["n"], here
        assert curves.overlap == pytest.approx(there["avg_overlap"], abs=1e-12), here
        got = report.per_sequence[curves.name].points()
        assert got == pytest.approx([there[key] for key in KEYS], abs=2e-5), here


def check_got10k(report: OpeReport, want: dict, where: str) -> None:
    scores = {"overall": report.overall, **report.per_sequence}
    for name, there in {"overall": want["overall"], **want["per_seq"]}.items():
        values = {
            "success_score": scores[name].auc,
            "precision_score": scores[name].precision,
            "normalized_precision_score": scores[name].normalised_auc,
            "success_rate": scores[name].op50,
        }
        for key, value in there.items():
            assert float(values[key]) == pytest.approx(value, abs=1e-12), f"{where} {name} {key}"


def check_counts(report: OpeReport, counts: Mapping[str, np.ndarray], prefix: str) -> None:
    for kind, field in (("succ", "success"), ("prec", "precision"), ("nprec", "normalised")):
        key = f"{prefix}|{kind}"
        if key in counts:
            got = np.stack([getattr(curves, field) for curves in report.sequences])
            np.testing.assert_array_equal(got, counts[key], err_msg=key)


@pytest.mark.parametrize("mode", modes("lasot12"))
def test_lasot(mode):
    counts = arrays("lasot12_counts.npz")
    for prediction in LASOT_PREDICTIONS:
        want = expected("lasot12")[mode][prediction]
        runs, evaluator = lasot_runs(prediction, mode), EVALUATORS[RENAMED.get(mode, mode)]
        if "error" in want:
            with pytest.raises(InputError, match="negative"):
                evaluator.evaluate(runs)
            continue
        report = evaluator.evaluate(runs)
        check(report, want, f"{mode} {prediction}")
        check_counts(report, counts, f"{mode}|{prediction}")


@pytest.mark.parametrize("mode", modes("otb8"))
def test_otb(mode):
    counts = arrays("otb8_counts.npz")
    for prediction in OTB_PREDICTIONS:
        want = expected("otb8")[mode][prediction]
        runs, evaluator = otb_runs("otb8_inputs.npz", prediction, mode), EVALUATORS[mode]
        if "error" in want:
            with pytest.raises(InputError, match=r"write one row per frame|after the last frame"):
                evaluator.evaluate(runs)
            continue
        report = evaluator.evaluate(runs)
        check(report, want, f"{mode} {prediction}")
        check_counts(report, counts, f"{mode}|{prediction}")


@pytest.mark.parametrize("mode", modes("uav4"))
def test_unknown_truth(mode):
    want, runs = expected("uav4")[mode], otb_runs("uav4_inputs.npz", "pred", mode)
    if "error" in want:
        with pytest.raises(InputError, match="NaN"):
            EVALUATORS[mode].evaluate(runs)
        return
    report = EVALUATORS[mode].evaluate(runs)
    check(report, want, mode)
    check_counts(report, arrays("uav4_counts.npz"), mode)


@pytest.mark.parametrize("mode", modes("ties"))
def test_exact_threshold_hits(mode):
    data, want = arrays("ties_inputs.npz"), expected("ties")[mode]
    report = EVALUATORS[mode].evaluate(
        [SequencePrediction("ties", data["gt"], data["pred"], np.ones(len(data["gt"]), bool))]
    )
    check(report, want, mode)
    for kind, field in (("succ", "success"), ("prec", "precision"), ("nprec", "normalised")):
        if "counts" in want:
            assert getattr(report.sequences[0], field).tolist() == want["counts"][kind], f"{mode} {kind}"
    if "thresholds_overlap" in want:
        assert EVALUATORS[mode].success_thresholds.tolist() == want["thresholds_overlap"]


def test_official_lasot_agrees_with_pytracking_where_their_rules_do():
    runs = lasot_runs("noisy_zero", "official/lasot")
    official, pytracking = (EVALUATORS[name].evaluate(runs) for name in ("official/lasot", "pytracking/lasot"))
    for ours, theirs in zip(official.sequences, pytracking.sequences, strict=True):
        np.testing.assert_array_equal(ours.success, theirs.success)
        np.testing.assert_array_equal(ours.precision, theirs.precision)
        np.testing.assert_array_equal(ours.normalised, theirs.normalised)
    refused = EVALUATORS["official/lasot"].evaluate(lasot_runs("noisy_neg1", "official/lasot"))
    assert refused.overall.points() == official.overall.points()


def test_strict_gives_an_oracle_everything():
    overall = EVALUATORS["strict"].evaluate(lasot_runs("oracle", "strict")).overall
    assert overall.points() == pytest.approx((2000 / 21, 100.0, 100.0, 100.0, 100.0))
