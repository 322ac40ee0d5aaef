"""A random generator that draws what it is told to."""

import numpy as np


class ScriptedDraws(np.random.Generator):
    """Gives its draws in turn, whatever is asked for, and keeps what was asked."""

    def __init__(self, *draws) -> None:
        super().__init__(np.random.PCG64(0))
        self.draws, self.asked = list(draws), []

    def _next(self, *asked):
        self.asked.append(asked)
        found = self.draws.pop(0)
        return np.array(found) if isinstance(found, list) else found

    def random(self, *size):
        return self._next("random", *size)

    def integers(self, *bounds):
        return self._next("integers", *bounds)

    def uniform(self, low, high):
        return self._next("uniform", low, high)

    def normal(self, mean, deviation, size):
        return self._next("normal", mean, deviation, size)

    def choice(self, options, *size, **how):
        return self._next("choice", *(options if np.ndim(options) else [options]), *size, *how.values())
