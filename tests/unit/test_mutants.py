"""The report of mutation testing: shares by package, intervals, survivors; by hand."""

import pytest

from tests.mutants import drops_a_safeguard, report, wilson

VERDICTS = {
    "policies.sam2.x_a__mutmut_1": "killed",
    "policies.sam2.x_a__mutmut_2": "survived",
    "framework.types.x_b__mutmut_1": "timeout",
    "framework.learning.pretraining.clips.x_c__mutmut_1": "no tests",
}


def test_shares_are_by_package_and_survivors_are_named():
    untested, survivor, *shares = report(VERDICTS, sampled=False).splitlines()
    assert survivor == "survived: policies.sam2.x_a__mutmut_2"
    assert untested == "no tests: framework.learning.pretraining.clips.x_c__mutmut_1"
    assert [" ".join(line.split()) for line in shares] == [
        "framework.learning.pretraining 0 of 1 killed 0.0 %",
        "framework 1 of 1 killed 100.0 %",
        "policies 1 of 2 killed 50.0 %",
        "all 2 of 4 killed 50.0 %",
    ]


def test_an_interrupted_run_says_what_is_not_judged():
    lines = report({**VERDICTS, "motion.kalman.x_d__mutmut_1": "not checked"}, sampled=False).splitlines()
    assert lines[:-1] == report(VERDICTS, sampled=False).splitlines()
    assert lines[-1] == "1 are not judged yet: the shares are of the others, the quickest"
    assert report({"motion.kalman.x_d__mutmut_1": "not checked"}, sampled=False).startswith("1 are not judged yet")


def test_a_sample_has_its_interval():
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # .7167 -+ 1.96 sqrt(.0256) / 1.3842
    assert report(VERDICTS, sampled=True).splitlines()[-1].endswith("[15.0, 85.0]")


@pytest.mark.parametrize("changed", ["zip(a, b, strict=False)", "zip(a, b, strict=None)", "zip(a, b, )"])
def test_what_only_lets_go_of_a_safeguard_is_not_judged(changed):
    diff = f"--- x.py\n+++ x.py\n@@ -1 +1 @@\n def f():\n-    return zip(a, b, strict=True)\n+    return {changed}"
    assert drops_a_safeguard(diff)
    assert not drops_a_safeguard(diff.replace(changed, "zip(a, None, strict=True)"))
