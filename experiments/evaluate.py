"""Tracks and scores a data set with one variant: `python -m experiments.evaluate policy=skip_absent`."""

from omegaconf import DictConfig

from experiments.ablate import OPTIONS, compare
from framework.config.cli import command
from framework.report.sweep import Compared, conclude


@command("evaluate", conclude, **OPTIONS)
def main(config: DictConfig) -> Compared:
    return compare(config)


if __name__ == "__main__":
    main()
