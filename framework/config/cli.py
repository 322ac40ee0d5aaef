"""Entry points: Hydra from the command line, and one line for whatever a user can fix.

    @command("track")
    def main(config: DictConfig) -> None: ...

is `@hydra.main` on `conf/track.yaml` with exit code 2 and one line on stderr for bad input, full disks, unknown choices
and unknown options. HYDRA_FULL_ERROR=1 shows the whole trace instead.
"""

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from framework.config.error_lines import explain
from framework.errors import InputError

TRACE = "HYDRA_FULL_ERROR"


class _JobError(Exception):
    """A job of a sweep came to an end with this exit code; Hydra goes on with the others."""


def command(config_name: str) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """`@hydra.main` on `conf/<config_name>.yaml`, with one line and exit code 2 for what a user can fix."""

    def decorate(task: Callable[[DictConfig], None]) -> Callable[[], None]:
        @functools.wraps(task)
        def main() -> None:
            failures: list[Exception] = []

            @functools.wraps(task)
            def job(config: DictConfig) -> None:
                try:
                    task(config)
                except Exception as error:
                    # Hydra adds a line of its own, which a sweep needs (it names the job) and a single run does not.
                    if HydraConfig.get().mode == RunMode.MULTIRUN:
                        raise
                    failures.append(error)
                except SystemExit as end:
                    if HydraConfig.get().mode == RunMode.MULTIRUN:
                        raise _JobError(end.code) from None
                    raise

            before = os.environ.get(TRACE)
            os.environ[TRACE] = "1"  # makes Hydra raise instead of printing and exiting
            try:
                _check_arguments()
                GlobalHydra.instance().clear()  # importing sam2 leaves it initialised
                hydra.main(version_base="1.3", config_path="pkg://conf", config_name=config_name)(job)()
                if failures:
                    raise failures[0]
            except KeyboardInterrupt as stop:
                print(str(stop) or "interrupted", file=sys.stderr)
                raise SystemExit(130) from None
            except _JobError as end:
                raise SystemExit(end.args[0]) from None
            except Exception as error:
                line = None if before else explain(error)
                if line is None:
                    raise
                print(line, file=sys.stderr)
                raise SystemExit(2) from None
            finally:
                os.environ.pop(TRACE)
                if before is not None:
                    os.environ[TRACE] = before

        return main

    return decorate


def _check_arguments() -> None:
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        if {"-m", "--multirun"} & {*sys.argv[2:]}:
            message += " (-m stands before all options)"
        raise InputError(f"{message}: options are written key=value, and --help lists them")

    parser.error = refuse  # type: ignore[method-assign]
    given = parser.parse_args()
    for folder in filter(None, (given.config_dir, given.config_path)):
        for path in sorted(Path(folder).rglob("*.yaml")):
            try:
                path.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise InputError(f"{path} is not text in UTF-8: {error}") from error
            except IsADirectoryError as error:
                raise InputError(f"{path} is a folder: a configuration is a file") from error
