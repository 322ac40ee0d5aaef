"""Means of float32 numbers in the order in which torch adds them: their last digits, and what is printed, depend on it.

torch adds in blocks of 16, so that rounding errors stay small, over several accumulators at once: eight neighbours of
one row, four rows of columns. Of a table's columns the first multiple of 32 are added as they are.
"""

import numpy as np
from jaxtyping import Float32

BLOCK, LEVELS = 16, 4
LANES, ROWS, COLUMNS = 8, 4, 32

Table = Float32[np.ndarray, "S K"]
Line = Float32[np.ndarray, " K"]


def mean(values: Line) -> np.float32:
    """Mean of one row."""
    whole = len(values) // LANES * LANES
    total = np.float32(0)
    for value in (*values[whole:], *_abreast(values[:whole].reshape(-1, LANES))):
        total += value
    return total / np.float32(len(values))


def column_means(table: Table) -> Line:
    """Mean of every column."""
    bulk = table.shape[1] // COLUMNS * COLUMNS
    return np.concatenate([_cascade(table[:, :bulk]), _abreast(table[:, bulk:])]) / np.float32(len(table))


def _abreast(rows: Table) -> Line:
    """Rows 0, 4, 8 .., rows 1, 5, 9 .. and so on; then their sums, and what is left over to the first."""
    whole = len(rows) // ROWS * ROWS
    first, *others = _cascade(rows[:whole].reshape(-1, ROWS * rows.shape[1])).reshape(ROWS, -1)
    for row in (*rows[whole:], *others):
        first = first + row
    return first


def _cascade(rows: Table) -> Line:
    """Sum of every column: each level adds up to sixteen sums of the level below."""
    sums = [np.zeros(rows.shape[1], np.float32) for _ in range(LEVELS)]
    for done, row in enumerate(rows, start=1):
        sums[0] = sums[0] + row
        for level in range(1, LEVELS):
            if done % BLOCK**level:
                break
            sums[level], sums[level - 1] = sums[level] + sums[level - 1], np.zeros_like(row)
    total = sums[0]
    for above in sums[1:]:
        total = total + above
    return total
