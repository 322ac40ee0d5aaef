"""Mutation testing: how many small faults put into the code do its tests find?

    python tests/mutants.py                          # every mutant, hours; goes on where it was interrupted
    python tests/mutants.py --sample 400 --seed 0    # a random sample of them

pyproject.toml's [tool.mutmut] says which files are mutated and which tests judge. Prints the share killed by package,
with its 95 % interval where it is of a sample, and every survivor; `mutmut show NAME` shows what one changes.
"""

import argparse
import random
import re
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from math import sqrt

PACKAGES = ("framework.learning.pretraining", "framework", "policies", "motion")
"""What a share is reported of; a module belongs to the first that it is in."""

FOUND = {"killed", "timeout", "segfault"}
"""Verdicts of a mutant that the tests do not pass with."""
NOT_YET = "not checked"

STRICT = re.compile(r",\s*(strict=\w+)?\s*\)")


def generated(children: int) -> list[str]:
    """Writes the mutants of the sources as they are now, into mutants/; their names, in order."""
    from mutmut import __main__ as tool

    tool.makedirs("mutants", exist_ok=True)
    tool.set_mutant_under_test("mutant_generation")
    tool.copy_src_dir()
    tool.create_mutants(children)
    mutants, _ = tool.collect_source_file_mutation_data(mutant_names=())
    return sorted(name for _, name, _ in mutants)


def verdicts(names: Collection[str]) -> dict[str, str]:
    """What is known of each of `names` that can be judged."""
    from mutmut import __main__ as tool
    from mutmut.mutation.diff_apply import get_diff_for_mutant
    from mutmut.stats import status_by_exit_code

    mutants, _ = tool.collect_source_file_mutation_data(mutant_names=())
    return {
        name: status_by_exit_code[code]
        for file, name, code in mutants
        if name in names and not drops_a_safeguard(get_diff_for_mutant(name, path=file.path))
    }


def drops_a_safeguard(diff: str) -> bool:
    """Whether a change is of nothing but ``strict=True``, on which no result depends."""
    before, after = (
        [STRICT.sub(")", line[1:]) for line in diff.splitlines() if line.startswith(sign) and line[:3] != 3 * sign]
        for sign in "-+"
    )
    return before == after


def wilson(found: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (Wilson 1927), of `count` > 0 independent draws."""
    share, spread = found / count, z * z / count
    middle, half = share + spread / 2, z * sqrt(share * (1 - share) / count + spread / (4 * count))
    return (middle - half) / (1 + spread), (middle + half) / (1 + spread)


def share(name: str, counts: Counter[str], sampled: bool) -> str:
    """One line of the report."""
    found, count = sum(counts[verdict] for verdict in FOUND), counts.total()
    low, high = wilson(found, count)
    interval = f" [{100 * low:.1f}, {100 * high:.1f}]" if sampled else ""
    return f"{name:<32}{found:>6} of {count:>5} killed{100 * found / count:7.1f} %{interval}"


def report(verdict: Mapping[str, str], sampled: bool) -> str:
    """The survivors by name, then the shares of what was judged; an interrupted run has judged the quickest."""
    judged = {name: each for name, each in verdict.items() if each != NOT_YET}
    by_package: dict[str, Counter[str]] = {package: Counter() for package in PACKAGES}
    for name, each in judged.items():
        by_package[next(package for package in PACKAGES if name.startswith(f"{package}."))][each] += 1
    lines = [f"{each}: {name}" for name, each in sorted(judged.items()) if each not in FOUND]
    lines += [share(package, counts, sampled) for package, counts in by_package.items() if counts]
    if judged:
        lines.append(share("all", sum(by_package.values(), Counter()), sampled))
    if len(judged) < len(verdict):
        lines.append(f"{len(verdict) - len(judged)} are not judged yet: the shares are of the others, the quickest")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Mutation testing.")
    parser.add_argument("--sample", type=int, help="so many mutants, drawn at random; all of them without")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--children", type=int, default=1, help="mutants judged at a time")
    options = parser.parse_args(arguments)
    from mutmut import __main__ as tool

    names = generated(options.children)
    sampled = options.sample is not None and options.sample < len(names)
    chosen = sorted(random.Random(options.seed).sample(names, options.sample)) if sampled else names
    tool._run(chosen if sampled else [], options.children)
    print(report(verdicts(set(chosen)), sampled))


if __name__ == "__main__":
    main(sys.argv[1:])
