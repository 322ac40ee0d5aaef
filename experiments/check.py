"""Checks a plug-in against the contract of its kind: `engram check policies/mine.py`, or `mine.sure.Sure iou=0.6`.

`iou=0.6` and the like are options of the constructor. A file's plug-ins are all checked.
"""

import sys

import yaml
from omegaconf import OmegaConf

from framework.config.checks import build
from framework.config.error_lines import explain
from framework.config.plug_ins import plug_ins
from framework.diagnostics.contract import ContractError, clauses_of
from framework.errors import InputError, PlugInFault, reason


def check(where: str, options: list[str]) -> bool:
    """Prints what was checked and how it went, by plug-in; returns whether all of it held."""
    given = {}
    for option in options:
        key, sign, value = option.partition("=")
        if not sign:
            raise InputError(f"{option} is no option: write name=value after the file")
        given[key] = yaml.safe_load(value)
    failed = False
    for target in plug_ins(where):
        plug_in = build(OmegaConf.create({"_target_": target, **given}))
        print(target)
        for says, clause in clauses_of(plug_in).items():
            try:
                clause(plug_in)
            except ContractError as error:
                failed = True
                print(f"  broken  {says}: {error}")
            except Exception as error:
                failed = True
                print(f"  failed  {says}: {reason(error)}")
                if PlugInFault.of(error) is None and not isinstance(error, InputError):
                    raise
            else:
                print(f"  holds   {says}")
    return not failed


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(f"usage: engram check FILE.py|module.Name [option=value ...]\n\n{__doc__}")
        return
    try:
        held = check(sys.argv[1], sys.argv[2:])
    except (InputError, OSError) as error:
        print(explain(error), file=sys.stderr)
        raise SystemExit(2) from None
    raise SystemExit(0 if held else 1)


if __name__ == "__main__":
    main()
