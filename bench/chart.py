"""The picture: CPU time a request, a bar a peer."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import chain

from bench.roster import GATEWAY
from bench.tables import Results, write_number

_CASES = ("RS256 seen", "ES256 seen", "RS256 unseen", "ES256 unseen")
_WIDTH, _LABELS, _BARS, _LINE, _PANEL_HEAD, _HEAD = 860, 230, 540, 22, 34, 64
# A bar that leaves the picture is cut: FastAPI would press all others into one line.
_CUT_MICROSECONDS = 400.0
_OURS, _OTHERS = "#2563eb", "#94a3b8"


def build_chart(results: Results, machine: str) -> str:
    """Return the picture as SVG."""
    panels = {case: bars for case in _CASES if (bars := _find_bars(results, case))}
    top, drawn = _HEAD, []
    for case, bars in panels.items():
        drawn.append(_draw_panel(case, bars, top))
        top += _PANEL_HEAD + _LINE * len(bars)
    body = "\n".join(chain.from_iterable(drawn))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top + 16}" '
        f'viewBox="0 0 {_WIDTH} {top + 16}" font-family="system-ui, sans-serif" font-size="13">\n'
        '<rect width="100%" height="100%" fill="#ffffff"/>\n'
        '<text x="16" y="28" font-size="17" font-weight="600">CPU time a request, in µs (less is better)</text>\n'
        f'<text x="16" y="48" fill="#64748b">{escape(machine)}</text>\n{body}\n</svg>\n'
    )


def _find_bars(results: Results, case: str) -> list[tuple[str, float]]:
    """Return who is in a panel; who keeps no proofs does the same work for one that it has seen."""
    small = [result for result in results if result["suite"] == "small" and "cpu_microseconds" in result]
    cached = {result["row"] for result in small if result["case"].endswith(" seen")}
    unseen = f"{case.partition(' ')[0]} unseen"
    return [
        (result["row"], result["cpu_microseconds"])
        for result in small
        if result["case"] == case or (result["case"] == unseen and result["row"] not in cached)
    ]


def _draw_panel(case: str, bars: list[tuple[str, float]], top: int) -> Iterator[str]:
    algorithm, _, kind = case.partition(" ")
    yield f'<text x="16" y="{top + 20}" font-weight="600">{algorithm}, proofs {kind}</text>'
    for at, (name, value) in enumerate(bars):
        yield from _draw_bar(name, value, top + _PANEL_HEAD - 6 + at * _LINE)


def _draw_bar(name: str, value: float, top: int) -> Iterator[str]:
    width = min(value / _CUT_MICROSECONDS, 1.0) * _BARS
    colour = _OURS if name.startswith(GATEWAY.title) else _OTHERS
    yield f'<text x="{_LABELS - 8}" y="{top + 13}" text-anchor="end">{escape(name)}</text>'
    yield f'<rect x="{_LABELS}" y="{top + 2}" width="{width:.1f}" height="{_LINE - 7}" fill="{colour}"/>'
    if value > _CUT_MICROSECONDS:
        right = _LABELS + _BARS - 24
        yield f'<path d="M{right} {top + 20}l8 -20h6l-8 20z" fill="#ffffff"/>'
    yield f'<text x="{_LABELS + width + 6:.1f}" y="{top + 13}">{write_number(value)}</text>'
