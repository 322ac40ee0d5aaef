"""Entry points: Hydra from the command line, and one line for whatever a user can fix.

    @command("track", source=str | int, frames=int | None)
    def main(config: DictConfig) -> None: ...

is `@hydra.main` on `conf/track.yaml` with exit code 2 and one line on stderr for bad input, full disks, unknown choices
and unknown options. HYDRA_FULL_ERROR=1 shows the whole trace instead. What the plain options take is declared: they are
checked, and those that are text arrive as they were written.
"""

import functools
import os
import sys
import traceback
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from cProfile import Profile
from pathlib import Path
from pstats import Stats
from typing import Any, NoReturn, cast

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import RunMode
from omegaconf import DictConfig

from framework.config.checks import check
from framework.config.error_lines import explain
from framework.config.texts import as_written, by_constructors
from framework.errors import InputError

TRACE = "HYDRA_FULL_ERROR"
CONF = "pkg://conf"


class _JobError(Exception):
    """A job of a sweep came to an end with this exit code; Hydra goes on with the others."""


def command(config_name: str, **options: Any) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """`@hydra.main` on `conf/<config_name>.yaml`, with one line and exit code 2 for what a user can fix.

    `options` are the plain options with their annotations, as `framework.config.checks.check` takes them.
    """

    def decorate(task: Callable[[DictConfig], None]) -> Callable[[], None]:
        @functools.wraps(task)
        def main() -> None:
            failures: list[Exception] = []
            traced = TRACE in os.environ

            @functools.wraps(task)
            def job(config: DictConfig) -> None:
                nonlocal traced
                traced = traced or config.get("full_traces") is True
                try:
                    check(config, **options)
                    with Profile() if config.get("profile") else nullcontext() as profile:
                        task(config)
                    if profile is not None:
                        Stats(profile).sort_stats("cumulative").print_stats(40)
                except Exception as error:
                    # Hydra adds a line of its own, which a sweep needs (it names the job) and a single run does not.
                    if HydraConfig.get().mode == RunMode.MULTIRUN:
                        raise
                    failures.append(error)
                except SystemExit as end:
                    if isinstance(end.__context__, KeyboardInterrupt):  # how Lightning ends
                        raise KeyboardInterrupt from None
                    if HydraConfig.get().mode == RunMode.MULTIRUN:
                        raise _JobError(end.code) from None
                    raise

            before, arguments = os.environ.get(TRACE), sys.argv
            os.environ[TRACE] = "1"  # makes Hydra raise instead of printing and exiting
            try:
                sys.argv = _arguments(config_name, options)
                GlobalHydra.instance().clear()  # importing sam2 leaves it initialised
                hydra.main(version_base="1.3", config_path=CONF, config_name=config_name)(job)()
                if failures:
                    raise failures[0]
            except KeyboardInterrupt as stop:
                print(str(stop) or "interrupted", file=sys.stderr)
                raise SystemExit(130) from None
            except Exception as error:
                if (traced and not isinstance(error, _JobError)) or (code := _explained(error)) is None:
                    raise
                raise SystemExit(code) from None
            finally:
                sys.argv = arguments
                os.environ.pop(TRACE)
                if before is not None:
                    os.environ[TRACE] = before

        return main

    return decorate


def _explained(error: Exception) -> int | str | None:
    """The exit code, after a line for every job of a sweep that failed; None where one of them deserves its trace."""
    code: int | str = 0
    for later, (overrides, failure) in enumerate(_failures(error)):
        if later and overrides:
            print(f"Error executing job with overrides: {overrides}", file=sys.stderr)  # as Hydra names the first
        if isinstance(failure, _JobError):
            code = code or failure.args[0] or 0
        elif line := explain(failure):
            print(line, file=sys.stderr)
            code = 2
        else:
            return None
    return code


def _failures(error: Exception) -> list[tuple[Sequence[str], Exception]]:
    """The error and, where it ended a sweep, those of all other jobs: Hydra raises the first and drops the others.

    Jobs that cannot be composed, of which Hydra starts none, come without their overrides.
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_qualname != "BasicSweeper.sweep":
            continue
        sweeper, batch, results = (frame.f_locals.get(name) for name in ("self", "batch", "results"))
        failed = [(r.overrides or (), r._return_value) for r in results or () if r.status == JobStatus.FAILED]
        if failed:
            return failed
        refused: dict[str | None, Exception] = {}
        for overrides in batch or ():
            try:
                cast(Sweeper, sweeper).validate_batch_is_legal([overrides])
            except Exception as failure:
                refused.setdefault(explain(failure), failure)
        return [((), failure) for failure in refused.values()] or [((), error)]
    return [((), error)]


def _arguments(config_name: str, options: Mapping[str, Any]) -> list[str]:
    """The command line with options that are text as they were written. Raises InputError for one that is none."""
    given = _checked_arguments()
    config_name = given.config_name or config_name
    path = create_config_search_path(f"file://{Path(given.config_path).absolute()}" if given.config_path else CONF)
    if given.config_dir:
        path.prepend("command-line", f"file://{Path(given.config_dir).absolute()}", SearchPathQuery(provider="schema"))

    def compose(*overrides: str) -> DictConfig:
        return ConfigLoaderImpl(path).load_configuration(config_name, list(overrides), RunMode.RUN, False, False)

    sweep = given.multirun or "hydra.mode=MULTIRUN" in given.overrides
    written = as_written(given.overrides, by_constructors(options, given.overrides, compose), sweep)
    replaced = dict(zip(given.overrides, written, strict=True))
    return [sys.argv[0], *(replaced.get(argument, argument) for argument in sys.argv[1:])]


def _checked_arguments() -> Namespace:
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
    return given
