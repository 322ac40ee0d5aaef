"""The whole comparison in one file that opens without a network."""

import base64
import html
from collections.abc import Mapping, Sequence

from framework.benchmarks.papers import Reproduction
from framework.evaluation.comparison import Comparison
from framework.report import paper
from framework.report.table import METRICS, TITLES, TableLayout, TableRow, caption, cells, header, number

FEW = 6
"""Variants that a title names one by one."""
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 1200px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; margin: 1em 0; font-variant-numeric: tabular-nums }
th, td { padding: .25em .8em; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 12em } th { white-space: normal }
td.clear { font-weight: 600 } img { max-width: 100% } .wide { overflow-x: auto }
p, figcaption { color: #555 } figure { margin: 1.5em 0 } pre { background: #f6f6f6; padding: 1em; overflow-x: auto }
"""


def page(
    comparison: Comparison,
    table: Sequence[TableRow],
    layout: TableLayout,
    figures: Mapping[str, bytes],
    pictures: Mapping[str, bytes],
    configuration: str,
    by_attribute: Sequence[Sequence[str]] = (),
    reproduction: Reproduction | None = None,
) -> str:
    """Tables, figures (title -> PNG), overlay pictures (sequence -> JPEG), all scores, failures and configuration."""
    names = [row.variant for row in table]
    shown = names if len(names) <= FEW else [names[0], f"{len(names) - 1} others"]
    title = f"{' · '.join(shown)} on {comparison.data}"
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        _comparison_table(table, layout),
        *(f"<p>{html.escape(line)}</p>" for line in caption(comparison, table, layout)),
        _published(reproduction),
        _attributes_table(by_attribute, table[0].variant),
        *(_figure(name, png) for name, png in figures.items()),
        "<h2>Where variants differ most</h2>" if pictures else "",
        *(_figure(f"{name}: the white contour is the truth, numbers are IoU", png) for name, png in pictures.items()),
        "<h2>All scores</h2>",
        _scores_table(table),
        f"<h2>{html.escape(TITLES[layout.metric])} per sequence</h2>",
        _sequences_table(comparison, layout.metric),
        _failures(comparison),
        "<h2>Configuration</h2>",
        f"<pre>{html.escape(configuration)}</pre>",
    ]
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    body = "\n".join(part for part in parts if part)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _table(titles: Sequence[str], lines: Sequence[Sequence[str]], clear: Sequence[bool] = ()) -> str:
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    body = []
    for index, line in enumerate(lines):
        bold = index < len(clear) and clear[index]
        marks = [' class="clear"' if bold and column == 2 else "" for column in range(len(line))]
        body.append("".join(f"<td{mark}>{html.escape(text)}</td>" for mark, text in zip(marks, line, strict=True)))
    rows = "\n".join(f"<tr>{line}</tr>" for line in body)
    return f'<div class="wide"><table><tr>{head}</tr>\n{rows}\n</table></div>'


def _comparison_table(table: Sequence[TableRow], layout: TableLayout) -> str:
    clear = [row.difference is not None and row.difference.clear for row in table]
    return _table(header(table[0].variant, layout), [cells(row, layout) for row in table], clear)


def _published(reproduction: Reproduction | None) -> str:
    if reproduction is None:
        return ""
    table = _table(paper.TITLES, [paper.cells(number) for number in reproduction.numbers])
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in paper.caption(reproduction))
    return f"<h2>Beside the published table</h2>{table}{lines}"


def _scores_table(table: Sequence[TableRow]) -> str:
    lines = [[row.title, *(number(getattr(row.scores, name)) for name in METRICS)] for row in table]
    return _table(["variant", *(TITLES[name] for name in METRICS)], lines)


def _sequences_table(comparison: Comparison, metric: str) -> str:
    names = comparison.sequences
    columns = [run.values(metric, names) for run in comparison.runs]
    lines = [[name, *(number(float(values[index])) for values in columns)] for index, name in enumerate(names)]
    return _table(["sequence", *(run.name for run in comparison.runs)], lines)


def _attributes_table(lines: Sequence[Sequence[str]], baseline: str) -> str:
    if not lines:
        return ""
    note = f"Mean IoU on the frames that have an attribute (and videos that do), minus {baseline} [95 %]"
    return f"<h2>By attribute</h2><p>{html.escape(note)}</p>{_table(lines[0], lines[1:])}"


def _failures(comparison: Comparison) -> str:
    if not comparison.failures:
        return ""
    lines = [[run.name, name, reason] for run in comparison.runs for name, reason in run.failures.items()]
    return "<h2>Failed</h2>" + _table(["variant", "sequence", "reason"], lines)


def _figure(title: str, image: bytes) -> str:
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    data = base64.b64encode(image).decode("ascii")
    alt = html.escape(title, quote=True)
    caption_ = f"<figcaption>{html.escape(title)}</figcaption>"
    return f'<figure><img src="data:image/{kind};base64,{data}" alt="{alt}">{caption_}</figure>'
