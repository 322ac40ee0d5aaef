"""All results below a folder on one page: data sets with their variants and tables, interactive pages, what failed."""

import html
import json
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

STYLE = """
:root { color-scheme: light dark } body { font: 15px/1.45 system-ui, sans-serif; max-width: 1100px; margin: 2em auto }
body { padding: 0 1em } pre { overflow-x: auto; font-size: 13px } h2 { margin-top: 2em } li { margin: .2em 0 }
"""


def catalogue(folder: Path) -> str:
    """The page, with links relative to the folder. Pages that hold no result say so."""
    parts = [*_comparisons(folder), *_tracks(folder)] or ["<p>There are no results below this folder.</p>"]
    title = html.escape(str(folder))
    head = f'<meta charset="utf-8"><title>{title}</title><link rel="icon" href="data:,"><style>{STYLE}</style>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head><body><h1>{title}</h1>\n{"".join(parts)}</body></html>\n'
    )


def _comparisons(folder: Path) -> Iterator[str]:
    """A section for each data set."""
    runs = {path.parent: _about(path) for path in sorted(folder.rglob("run.json"))}
    runs = {path: about for path, about in runs.items() if "identity" in about}
    for place in sorted({path.parent for path in runs}):
        own = {path: about for path, about in runs.items() if path.parent == place}
        yield f"<h2>{html.escape(str(place.relative_to(folder)))}</h2>\n"
        for table in sorted(place.glob("reports/*/table.md"), key=lambda path: -path.stat().st_mtime):
            links = [_link(folder, table.with_name("viewer") / "index.html", "interactive page")]
            links.append(_link(folder, table.with_name("report.html"), "report"))
            text = html.escape(table.read_text(encoding="utf-8", errors="replace"))
            yield f"<p>{' · '.join(filter(None, links))}</p><pre>{text}</pre>\n"
        names = {path: str(about.get("notes", {}).get("name", path.name)) for path, about in own.items()}
        listed = ", ".join(html.escape(f"{name} ({path.name})") for path, name in sorted(names.items(), key=str))
        yield f"<p>variants: {listed}</p>\n"
        failed = [(path, name) for path, name in names.items() for path in sorted(path.glob("*.failed.txt"))]
        if failed:
            yield f"<p>failed:</p><ul>{''.join(_failure(folder, path, name) for path, name in failed)}</ul>\n"


def _failure(folder: Path, path: Path, name: str) -> str:
    sequence = path.name.removesuffix(".failed.txt")
    why = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    return f"<li>{html.escape(name)} on {_link(folder, path, sequence)}: {html.escape(why)}</li>"


def _tracks(folder: Path) -> Iterator[str]:
    """What `track` wrote."""
    found = [_link(folder, path, str(path.parent.parent.relative_to(folder))) for path in _tracked_pages(folder)]
    if found:
        yield f"<h2>tracked videos</h2><ul>{''.join(f'<li>{link}</li>' for link in found)}</ul>\n"


def _tracked_pages(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("viewer/index.html")):
        if "configuration" in _about(path.parent.parent / "run.json"):
            yield path


def _about(path: Path) -> dict[str, Any]:
    """What a run says of itself; nothing where it cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _link(folder: Path, path: Path, text: str) -> str:
    """Empty where there is no such file."""
    if not path.exists():
        return ""
    return f'<a href="{quote(path.relative_to(folder).as_posix())}">{html.escape(text)}</a>'


class _Requests(SimpleHTTPRequestHandler):
    """Files below the folder, and for the folder itself the catalogue of this moment."""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] not in ("/", "/index.html"):
            super().do_GET()
            return
        content = catalogue(Path(self.directory)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not told."""


def server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """Serves a folder to this machine alone; 0 takes any free port. Raises OSError where the port is taken."""
    return ThreadingHTTPServer(("127.0.0.1", port), partial(_Requests, directory=str(folder.resolve())))
