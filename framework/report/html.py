"""The whole comparison in one file that opens without a network."""

import base64
import html
from collections.abc import Mapping, Sequence

from framework.benchmarks.papers import Reproduction
from framework.evaluation.comparison import Comparison
from framework.metrics.tracking import HIT, LOST
from framework.report import paper
from framework.report.losses import MEANINGS, Loss, lines
from framework.report.table import COLUMNS, METRICS, TableLayout, TableRow, caption, cells, header, meanings, number
from framework.report.tuning import TuningTable

FEW = 6
"""Variants that a title names one by one."""
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 1200px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; margin: 1em 0; font-variant-numeric: tabular-nums }
th, td { padding: .25em .8em; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 12em } th { white-space: normal }
th[title] { text-decoration: underline dotted #999; text-underline-offset: .25em; cursor: help }
td.clear { font-weight: 600 } .wide { overflow-x: auto } nav li { display: inline-block; margin-right: 1.5em }
nav ul { padding: 0 } p, figcaption { color: #555 } .notes p { margin: .3em 0 } figure { margin: 1.5em 0 }
pre { background: #f6f6f6; padding: 1em; overflow-x: auto }
label.picture { display: block; cursor: zoom-in } label.picture img { max-width: 100% }
label.picture input { position: absolute; opacity: 0 } label.picture:has(:focus-visible) { outline: 2px solid #06c }
label.picture:has(:checked) { position: fixed; inset: 0; overflow: auto; background: #fff }
label.picture:has(:checked) { cursor: zoom-out; z-index: 1 }
label.picture:has(:checked) img { max-width: none; min-width: 100% }
"""


def page(
    comparison: Comparison,
    table: Sequence[TableRow],
    layout: TableLayout,
    figures: Mapping[str, bytes],
    pictures: Mapping[str, bytes],
    configuration: str,
    losses: Sequence[Loss] = (),
    by_attribute: Sequence[Sequence[str]] = (),
    reproduction: Reproduction | None = None,
    tuning: TuningTable | None = None,
) -> str:
    """Tables, then figures (title -> PNG) and overlay pictures (sequence -> JPEG), failures and configuration."""
    names = [row.variant for row in table]
    shown = names if len(names) <= FEW else [names[0], f"{len(names) - 1} others"]
    title = f"{' · '.join(shown)} on {comparison.data}"
    contents = {
        "Comparison": _comparison_table(table, layout) + _notes(caption(comparison, table, layout)),
        "Beside the published table": _published(reproduction),
        "Tuning": _tuning(tuning),
        "What the options decide": _importances(tuning),
        "By attribute": _attributes_table(by_attribute, table[0].variant),
        "All scores": _scores_table(table),
        f"{layout.metric} per sequence": _sequences_table(comparison, layout.metric),
        "Where objects were lost": _losses_table(losses),
        "Failed": _failures(comparison),
        **{name: _figure(name, png) for name, png in figures.items()},
        "Where variants differ most": "\n".join(_drawn(name, jpeg) for name, jpeg in pictures.items()),
        "Configuration": f"<pre>{html.escape(configuration)}</pre>",
    }
    sections = [(f"section-{number}", name, text) for number, (name, text) in enumerate(contents.items()) if text]
    listed = "".join(f'<li><a href="#{key}">{html.escape(name)}</a></li>' for key, name, _ in sections)
    parts = [f'<h2 id="{key}">{html.escape(name)}</h2>\n{text}' for key, name, text in sections]
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    body = "\n".join([f"<h1>{html.escape(title)}</h1>", f"<nav><ul>{listed}</ul></nav>", *parts])
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _table(
    titles: Sequence[str],
    lines: Sequence[Sequence[str]],
    clear: Sequence[bool] = (),
    meaning: Mapping[str, str] | None = None,
) -> str:
    """`clear`: rows whose difference is bold; `meaning`: what a title says when it is pointed at."""
    about = {title: html.escape((meaning or {}).get(title, ""), quote=True) for title in titles}
    tips = [f' title="{about[title]}"' if about[title] else "" for title in titles]
    head = "".join(f"<th{tip}>{html.escape(title)}</th>" for tip, title in zip(tips, titles, strict=True))
    body = []
    for index, line in enumerate(lines):
        bold = index < len(clear) and clear[index]
        marks = [' class="clear"' if bold and column == 2 else "" for column in range(len(line))]
        body.append("".join(f"<td{mark}>{html.escape(text)}</td>" for mark, text in zip(marks, line, strict=True)))
    rows = "\n".join(f"<tr>{line}</tr>" for line in body)
    return f'<div class="wide"><table><tr>{head}</tr>\n{rows}\n</table></div>'


def _notes(lines: Sequence[str]) -> str:
    return f'<div class="notes">{"".join(f"<p>{html.escape(line)}</p>" for line in lines)}</div>'


def _comparison_table(table: Sequence[TableRow], layout: TableLayout) -> str:
    clear = [row.difference is not None and row.difference.clear for row in table]
    baseline, lines = table[0].variant, [cells(row, layout) for row in table]
    return _table(header(baseline, layout), lines, clear, meanings(baseline, layout))


def _published(reproduction: Reproduction | None) -> str:
    if reproduction is None:
        return ""
    table = _table(paper.TITLES, [paper.cells(number) for number in reproduction.numbers])
    return table + _notes(paper.caption(reproduction))


def _tuning(tuning: TuningTable | None) -> str:
    return "" if tuning is None else _table(*tuning.table()) + _notes(tuning.caption())


def _importances(tuning: TuningTable | None) -> str:
    return "" if tuning is None else _table(*tuning.importances()) + _notes([tuning.about_importance])


def _scores_table(table: Sequence[TableRow]) -> str:
    lines = [[row.title, *(number(getattr(row.scores, name)) for name in METRICS)] for row in table]
    notes = [f"{name}: {COLUMNS[name]}" for name in METRICS]
    return _table(["variant", *METRICS], lines, meaning=COLUMNS) + _notes(notes)


def _sequences_table(comparison: Comparison, metric: str) -> str:
    names = comparison.sequences
    columns = [run.values(metric, names) for run in comparison.runs]
    lines = [[name, *(number(float(values[index])) for values in columns)] for index, name in enumerate(names)]
    return _table(["sequence", *(run.name for run in comparison.runs)], lines)


def _attributes_table(lines: Sequence[Sequence[str]], baseline: str) -> str:
    if not lines:
        return ""
    note = f"jaccard on the frames that have an attribute (and videos that do), minus {baseline} [95 %]"
    return _notes([note]) + _table(lines[0], lines[1:])


def _losses_table(found: Sequence[Loss]) -> str:
    if not found:
        return ""
    titles, *rows = lines(found)
    note = (
        f"Lost: IoU is at most {LOST}, or the object is absent. Found again: it is in view with an IoU above {HIT}. "
        f"{len(rows)} of {len(found)}, those that missed it on most frames first; losses.csv has all."
    )
    return _notes([note]) + _table(titles, rows, meaning=MEANINGS)


def _failures(comparison: Comparison) -> str:
    if not comparison.failures:
        return ""
    lines = [[run.name, name, reason] for run in comparison.runs for name, reason in run.failures.items()]
    return _table(["variant", "sequence", "reason"], lines)


def _drawn(name: str, jpeg: bytes) -> str:
    return _figure(name, jpeg, f"{name}: the white contour is the truth, numbers are IoU")


def _figure(title: str, image: bytes, caption_: str = "") -> str:
    """A picture that opens over the whole window when it is clicked, and closes when it is clicked again."""
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    data = base64.b64encode(image).decode("ascii")
    drawn = f'<img src="data:image/{kind};base64,{data}" alt="{html.escape(title, quote=True)}">'
    below = f"<figcaption>{html.escape(caption_)}</figcaption>" if caption_ else ""
    return f'<figure><label class="picture"><input type="checkbox">{drawn}</label>{below}</figure>'
