"""What is computed of a value of one frame, remembered for as long as that value lives."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar
from weakref import ref

V = TypeVar("V")
P = ParamSpec("P")
T = TypeVar("T")


def memoised(compute: Callable[Concatenate[V, P], T]) -> Callable[Concatenate[V, P], T]:
    """Computes once for each value, known by its identity, however many plug-ins ask.

    The value must be weakly referable (tensors are) and may not be written to, and neither may the result, which may
    not hold the value: it goes when the value goes. Further arguments must follow from the value.
    """
    results: dict[int, tuple[ref[V], T]] = {}

    @wraps(compute)
    def once(value: V, /, *rest: P.args, **options: P.kwargs) -> T:
        key = id(value)
        if key not in results:
            result = compute(value, *rest, **options)
            results[key] = ref(value, lambda _: results.pop(key, None)), result
        return results[key][1]

    return once
