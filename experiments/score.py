"""Score finished results as an official evaluator would: run=outputs/<data set>/<run hash> evaluator=davis2017."""

from pathlib import Path

from omegaconf import DictConfig

from framework.benchmarks.export import open_run
from framework.benchmarks.scores import EVALUATORS, predictions
from framework.config.checks import build
from framework.config.cli import command
from framework.errors import unknown


def score(config: DictConfig) -> None:
    """Prints one line per measure."""
    if config.evaluator not in EVALUATORS:
        raise unknown("evaluator", config.evaluator, EVALUATORS)
    data = build(config.data)
    folder, empty = open_run(Path(config.run), data)
    print(f"{config.evaluator} on {len(data)} sequences of {data.name}")
    for name, value in EVALUATORS[config.evaluator](predictions(folder, data), empty).items():
        print(f"{name:12} {'-' if value is None else f'{value:.3f}'}")


@command("score", run=str, evaluator=str)
def main(config: DictConfig) -> None:
    score(config)


if __name__ == "__main__":
    main()
