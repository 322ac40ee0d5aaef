"""The command line of tuning: search spaces, one line for what is wrong with them, what is printed and written."""

import csv
from pathlib import Path

import optuna
import pytest
from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.errors import MissingConfigException
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from experiments import evaluate, tune
from framework.config.error_lines import explain
from framework.config.search_space import tuned_methods
from framework.evaluation.study import contains
from tests.conf.test_ablate import call

CONF = Path(__file__).parents[2] / "conf"
QUICK = ("backbone.checkpoint=random", "data.limit=2", "data.length=4", "logger=none", "threads=1", "pictures=0")
SMALL = (*QUICK, "trials=3", "batch=2", "viewer=0")


def methods(*overrides):
    HydraConfig.instance().set_config(compose("tune", overrides=list(overrides), return_hydra_config=True))
    return tuned_methods(compose("tune", overrides=list(overrides)))


@pytest.mark.usefixtures("composition")
def test_ranges_are_read_by_what_the_options_take():
    ranges = (
        "policy.min_iou:[0.5,0.95],policy.gap:[1,10,int],policy.interval:[1,8],policy.size_change:[0.01,1,log],"
        "policy.last:[true,false],policy.anchors:[1,4,choice]"
    )
    (method,) = methods("policy=dam4sam", f"tune={{{ranges}}}")
    assert method.space == {
        "policy.min_iou": FloatDistribution(0.5, 0.95, step=0.001),
        "policy.gap": IntDistribution(1, 10),
        "policy.interval": IntDistribution(1, 8),
        "policy.size_change": FloatDistribution(0.01, 1, log=True),
        "policy.last": CategoricalDistribution([True, False]),
        "policy.anchors": CategoricalDistribution([1, 4]),
    }
    assert method.own["policy.min_iou"] == 0.8 and method.own["policy.last"] is True
    variant = method.at({"policy.min_iou": 0.83, "policy.last": False})
    assert variant.name == "dam4sam policy.min_iou=0.83 policy.last=false"
    assert (variant.config.policy.min_iou, variant.config.policy.last, variant.config.policy.gap) == (0.83, False, 5)


@pytest.mark.usefixtures("composition")
def test_methods_keep_options_of_their_own():
    held, other = methods("methods=['dam4sam policy.gap=7 motion=kalman',sam2]", "data=hard")
    assert "policy.gap" not in held.space and held.untuned.config.policy.gap == 7
    assert held.untuned.config.motion._target_ == "motion.kalman.Kalman" and other.text == "sam2"
    assert held.untuned.config.data.level == other.untuned.config.data.level == "hard"
    (one,) = methods("method=samurai", "policy.min_iou=0.4", "data=hard")
    assert one.text == "samurai policy.min_iou=0.4" and [*one.space] == ["policy.min_presence", "motion.weight"]


@pytest.mark.usefixtures("composition")
@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("search_space/*.yaml")))
def test_every_search_space_holds_the_setting_of_its_method(name):
    """Then tuning never ends below it, and it is the first of the settings."""
    (method,) = methods(f"methods=[{name}]")
    assert all(contains(among, method.own[key]) for key, among in method.space.items())


BAD = {
    "no such option": ("tune={policy.min_iu:[0,1]}", "unknown option to tune 'policy.min_iu': did you mean min_iou"),
    "no such part": ("tune={polcy.min_iou:[0,1]}", "unknown option to tune 'polcy.min_iou'"),
    "a refused end": ("tune={policy.gap:[true,3,choice]}", "policy.gap=True is of a wrong type: give a whole number"),
    "upside down": ("tune={policy.min_iou:[0.9,0.5]}", "tune.policy.min_iou=[0.9,0.5]: low must be below high"),
    "one end": (
        "tune={policy.min_iou:[0.9]}",
        "tune.policy.min_iou=[0.9] is no range: give [low,high], [low,high,int]",
    ),
    "three numbers": ("tune={policy.gap:[1,2,3]}", "tune.policy.gap=[1,2,3] is no range"),
    "no list": ("tune={policy.gap:3}", "tune.policy.gap=3 is no range"),
    "unknown word": ("tune={policy.gap:[1,10,integer]}", "tune.policy.gap=[1,10,integer] is no range"),
    "logarithm of zero": ("tune={policy.min_iou:[0,1,log]}", "low must be below high, and above 0"),
    "whole numbers": ("tune={policy.gap:[0.5,3]}", "tune.policy.gap=[0.5,3]: whole numbers have whole ends"),
    "a number": ("tune=3", "tune names options: tune={policy.min_iou:[0.5,0.95]}"),
    "no space": ("methods=[random]", "variant 'random' has no search space of its own: give tune={policy.option"),
    "unknown method": ("methods=[sma2]", "unknown variant 'sma2': did you mean sam2"),
    "fixed as well": ("methods=['dam4sam policy.gap=3']", "variant 'dam4sam policy.gap=3': tune has policy.gap too"),
    "tuned on test": ("data.split=test", "is among the videos to tune on and among those to test on"),
    "no such data option": ("test={limits:3}", "data have no option 'limits' to be another for the test"),
    "no trials": ("trials=0", "trials=0 and batch=8 must be 1 or more"),
    "no p-value": ("prune=2.0", "prune=2.0 is no p-value: give one between 0 and 1, or null"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(name, tmp_path, capsys):
    option, line = BAD[name]
    given = ["tune={policy.gap:[1,9]}"] if name in ("fixed as well", "tuned on test") else []
    chosen = [] if "methods" in option else ["policy=dam4sam"]
    code = call(tune.main, *chosen, option, *given, f"output={tmp_path}", *QUICK)
    out, err = capsys.readouterr()
    assert (code, out) == (2, "") and line in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_settings_are_tried_on_validation_and_measured_on_test_videos(tmp_path, capsys):
    options = ("methods=[skip_absent,sam2]", f"output={tmp_path}", *SMALL)
    assert call(tune.main, *options) == 0
    shown = capsys.readouterr().out
    val, test = "procedural-v1-distractors-val-4x128", "procedural-v1-distractors-test-4x128"
    assert {path.name for path in tmp_path.iterdir()} == {val, test}
    (page,) = (tmp_path / test).glob("reports/*/report.html")
    assert str(page) in shown and "cost: 6 settings, 12 videos, 48 frames" in shown
    rows = list(csv.DictReader((page.parent / "tuning.csv").open()))
    assert [row["method"] for row in rows] == ["skip_absent", "sam2"]
    settings = list(csv.DictReader((page.parent / "settings.csv").open()))
    assert [row["setting"] for row in settings if row["number"] == "0"] == [
        "policy.presence=0.0 policy.slots=6",
        "policy.stride=1 policy.slots=6",
    ]
    for row in rows:
        values = [float(one["value"]) for one in settings if one["method"] == row["method"]]
        assert float(row["validation_own"]) == values[0] and float(row["validation_tuned"]) == max(values)
        study = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / val / 'tuning' / row['study']}.db")
        assert len(study.get_trials(states=[TrialState.COMPLETE])) == 3 and study.best_value == max(values)
    text = page.read_text()
    assert ">Tuning</h2>" in text and ">What the options decide</h2>" in text
    assert "Settings tried: skip_absent" in text and "PED-ANOVA" in (page.parent / "tuning.md").read_text()

    # Once more: nothing is tracked again, and the numbers are the same.
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json.gz")}
    assert call(tune.main, *options) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json.gz")} == stamps
    assert list(csv.DictReader((page.parent / "tuning.csv").open())) == rows


def test_hydras_own_sweeper_optimises_the_metric(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = ("hydra/sweeper=optuna", "hydra.sweeper.direction=maximize", "hydra.sweeper.study_name=gap")
    spent = ("hydra.sweeper.storage=sqlite:///gap.db", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=1")
    searched = ("policy=dam4sam", "policy.min_iou=interval(0.5,0.95)", "policy.gap=range(1,10)")
    assert call(evaluate.main, "-m", *study, *spent, *searched, "output=out", *QUICK, "viewer=0") == 0
    assert "the sweep: 3 of 3 jobs" in capsys.readouterr().out
    trials = optuna.load_study(study_name="gap", storage="sqlite:///gap.db").trials
    tables = [list(csv.DictReader(path.open())) for path in Path("out").rglob("table.csv")]
    scores = {table[0]["variant"]: float(table[0]["jaccard"]) for table in tables if len(table) == 1}
    for trial in trials:
        words = " ".join(f"{key}={value}" for key, value in trial.params.items())
        assert trial.value == scores[f"dam4sam {words}"]
    assert len(trials) == 3


def test_a_sweeper_that_is_not_installed_is_one_line():
    line = explain(MissingConfigException("", "hydra/sweeper/optuna", ["basic"]))
    assert line.startswith("the sweeper optuna is not installed: pip install --no-deps hydra-optuna-sweeper==1.3.0")
