"""A plain run of passes, as `experiments.track` and evaluations make them around outputs and scores."""

from collections.abc import Sequence

from framework.evaluation.passes import Lent, Pass, check, recollect
from framework.state import State
from framework.tracker import Tracker
from framework.types import Frame, Image, Result


def run_passes(tracker: Tracker, plan: Sequence[Pass], images: Sequence[Image]) -> list[Result]:
    """What each pass shows of each frame, pass after pass."""
    check(tracker, plan)
    shown: list[Result] = []
    lent = Lent()
    for passed in plan:
        state, ready = tracker.init(), State()
        if passed.second and passed.reads_first:
            ready = recollect({"": tracker}, plan, {"": lent}, lambda index: Frame(images[index]))[""]
        for index in passed.frames:
            time = passed.mirrored(index)
            state, prompts = passed.enter(state, ready, time)
            features = tracker.network.encode(images[index], time, passed.length)
            state, result = tracker.step(state, features, prompts, passed.removed.get(time, frozenset()))
            lent = lent.add(time, passed.lent(result))
            shown.append(passed.shown(result))
    return shown
