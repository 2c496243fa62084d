"""The parts of a report's page: style, tables, figures, cards. Everything that somebody else wrote is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from controller.finished.screen import plain

# No script, and nothing is fetched: the page says so to the browser itself.
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

KEY_MAX: Final = 12  # own choice: characters that fit beside anything

STYLE: Final = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #f3f4f5; color: #1d1f21; }
body { font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", Arial, sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 0 28px 48px; background: #fff; }
.banner { padding: 10px 28px; font-weight: 700; letter-spacing: .04em; text-align: center; }
.simulated { background: #f7d774; color: #2b2200; }
.real { background: #a32900; color: #fff; }
header { padding: 22px 0 4px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 36px 0 8px; padding-top: 14px; border-top: 1px solid #d9dcde; }
p { margin: 6px 0; max-width: 78ch; }
.facts { color: #454a4e; }
.statement { border-left: 4px solid #454a4e; padding: 4px 12px; margin: 14px 0; }
.cards { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 12px; margin: 18px 0; }
.card { border: 1px solid #c9cdd0; border-radius: 6px; padding: 10px 14px; }
.card .what { font-size: 14px; color: #454a4e; }
.card .value { font-size: 25px; font-weight: 650; line-height: 1.25; overflow-wrap: anywhere; }
.card .more { font-size: 14px; color: #454a4e; overflow-wrap: anywhere; }
.card.good { border-left: 6px solid #00734f; }
.card.poor { border-left: 6px solid #b37800; }
.card.bad { border-left: 6px solid #a32900; }
.notes { background: #fff6df; border: 1px solid #b37800; border-radius: 6px; padding: 8px 16px; margin: 14px 0; }
.notes ul { margin: 4px 0; padding-left: 20px; }
figure { margin: 10px 0 22px; break-inside: avoid; }
figure svg { width: 100%; height: auto; display: block; }
figcaption, caption { font-size: 14.5px; color: #454a4e; text-align: left; padding: 4px 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: 6px 0 18px; font-size: 14.5px; }
th, td { text-align: left; vertical-align: top; padding: 5px 12px 5px 0; border-bottom: 1px solid #e3e5e7; }
thead th { border-bottom: 2px solid #8a8f93; vertical-align: bottom; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.n, tbody th.n { white-space: nowrap; }
tbody th { font-weight: 600; }
tbody th.k { white-space: nowrap; }
.digests th { width: 34%; }
.digests code { font-size: 13px; }
code { font: 13.5px/1.4 ui-monospace, "DejaVu Sans Mono", Menlo, monospace; overflow-wrap: anywhere; }
.lines th { width: 34%; }
.lines td { border-bottom: 1px solid #1d1f21; height: 38px; }
.lines td.tall { height: 76px; }
.empty { color: #454a4e; font-style: italic; }
footer { margin-top: 40px; border-top: 1px solid #d9dcde; padding-top: 10px; font-size: 14px; color: #454a4e; }
@media screen and (max-width: 860px) {
  .cards { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  main { padding: 0 14px 32px; }
}
@media print {
  body { background: #fff; font-size: 9.5pt; line-height: 1.35; }
  main { max-width: none; padding: 0; }
  .banner { border: 1.5pt solid #000; color: #000; background: #fff; padding: 3pt; }
  header { padding: 8pt 0 0; }
  h1 { font-size: 15pt; }
  h2 { font-size: 11.5pt; margin: 9pt 0 2pt; padding-top: 4pt; break-after: avoid; }
  p { max-width: none; }
  table { font-size: 8pt; margin: 3pt 0 8pt; }
  th, td { padding: 2pt 6pt 2pt 0; overflow-wrap: break-word; }
  td.n, th.n { white-space: normal; }
  thead { display: table-header-group; }
  ul { margin: 2pt 0; padding-left: 14pt; font-size: 8pt; }
  figcaption, caption, .card .what, .card .more { font-size: 8pt; }
  .cards { gap: 6pt; margin: 8pt 0; }
  .card { padding: 4pt 8pt; }
  .card .value { font-size: 13pt; }
  .digests code, code { font-size: 7.5pt; }
  .scroll { overflow: visible; }
  figure { margin: 4pt 0 8pt; }
  .lines td { height: 8mm; }
  .lines td.tall { height: 14mm; }
  caption, thead { break-after: avoid; }
  tr, .card, .sign { break-inside: avoid; }
  .sheet { break-after: page; }
}
@page { size: A4; margin: 14mm 14mm 16mm; }
"""


def text(value: str) -> str:
    """Text of anybody, safe inside an element or an attribute."""
    return escape(plain(value))


def page(title: str, banner: str, *, simulated: bool, body: Sequence[str], foot: str = "") -> str:
    """The whole document. `foot` stands at the foot of every printed page, which has its number beside it: words
    without quotes, backslashes or angle brackets."""
    kind = "simulated" if simulated else "real"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}{_foot(foot)}</style>\n</head>\n<body>\n"
        f'<div class="banner {kind}" role="note">{text(banner)}</div>\n<main>\n'
        + "\n".join(part for part in body if part)
        + f'\n</main>\n<div class="banner {kind}" role="note">{text(banner)}</div>\n</body>\n</html>\n'
    )


def _foot(foot: str) -> str:
    said = "".join(c for c in plain(foot) if c not in '"\\<>')
    number = '@bottom-right { font-size: 7pt; content: "page " counter(page) " of " counter(pages); }'
    return f'@page {{ @bottom-left {{ font-size: 7pt; content: "{said}"; }} {number} }}\n'


def section(title: str, *parts: str) -> str:
    """A heading and what stands under it."""
    return f"<section>\n<h2>{text(title)}</h2>\n" + "\n".join(parts) + "\n</section>"


def paragraph(words: str, kind: str = "") -> str:
    """Plain words."""
    return f'<p class="{kind}">{text(words)}</p>' if kind else f"<p>{text(words)}</p>"


def card(what: str, value: str, more: str = "", kind: str = "") -> str:
    """One figure at a glance; `kind`: good, poor, bad or nothing, which the words say as well."""
    return (
        f'<div class="card {kind}"><div class="what">{text(what)}</div>'
        f'<div class="value">{text(value)}</div><div class="more">{text(more)}</div></div>'
    )


def figure(svg: str, caption: str, nothing: str) -> str:
    """A plot with its caption; without a plot, the reason in words."""
    if not svg:
        return f'<p class="empty">{text(nothing)}</p>'
    return f"<figure>\n{svg}\n<figcaption>{text(caption)}</figcaption>\n</figure>"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str, nothing: str) -> str:
    """A table whose first column names the row. A column that begins with `#` holds numbers."""
    if not rows:
        return f'<p class="empty">{text(nothing)}</p>'
    numeric = [column.startswith("#") for column in columns]
    head = "".join(
        f'<th scope="col"{_n(n)}>{text(column.lstrip("#"))}</th>'
        for column, n in zip(columns, numeric, strict=True)
    )
    body = "\n".join(
        "<tr>"
        + "".join(
            f'<th scope="row"{_key(cell, n)}>{text(cell)}</th>'
            if index == 0
            else f"<td{_n(n)}>{text(cell)}</td>"
            for index, (cell, n) in enumerate(zip(row, numeric, strict=True))
        )
        + "</tr>"
        for row in rows
    )
    said = f"<caption>{text(caption)}</caption>\n" if caption else ""
    return (
        f'<div class="scroll"><table>\n{said}'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def digests(pairs: Sequence[tuple[str, str]]) -> str:
    """Digests under their names, in full: they are there to be compared."""
    rows = "\n".join(
        f'<tr><th scope="row">{text(name)}</th><td><code>{text(value or "not known")}</code></td></tr>'
        for name, value in pairs
    )
    return f'<div class="scroll"><table class="digests">\n<tbody>\n{rows}\n</tbody>\n</table></div>'


def notes(lines: Sequence[str]) -> str:
    """What is missing, torn or at odds; empty without any."""
    if not lines:
        return ""
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f'<div class="notes" role="note"><strong>Not complete, or at odds</strong><ul>{items}</ul></div>'


def _key(cell: str, numeric: bool) -> str:
    """The class of the cell that names its row: what is short, as a code is, stays on one line."""
    names = [*(["n"] if numeric else []), *(["k"] if len(cell) <= KEY_MAX else [])]
    return f' class="{" ".join(names)}"' if names else ""


def _n(numeric: bool) -> str:
    return ' class="n"' if numeric else ""
