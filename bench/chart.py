"""Line charts as SVG, both axes logarithmic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WIDTH, _HEIGHT = 440, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 30, 34, 44
_COLOURS = ("#0a7d4f", "#c2571a", "#2b5fb3", "#7a3f9d", "#777777")


@dataclass(frozen=True)
class Line:
    """Points (x, y), both above 0. Lines of one name share a colour."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """One chart."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]


def drawing(panels: Sequence[Panel]) -> str:
    """Panels side by side, with one legend below."""
    names = list(dict.fromkeys(line.name for panel in panels for line in panel.lines))
    colours = dict(zip(names, _COLOURS, strict=False))
    width, height = _WIDTH * len(panels), _HEIGHT + 28
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
        '<g font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate({number * _WIDTH} 0)">', *_panel(panel, colours), "</g>"]
    for number, name in enumerate(names):
        x, y = _LEFT + number * 130, _HEIGHT + 10
        parts.append(f'<path d="M{x} {y}h22" stroke="{colours[name]}" stroke-width="2.5"/>')
        parts.append(f'<text x="{x + 28}" y="{y + 4}">{escape(name)}</text>')
    return "\n".join([*parts, "</g></svg>\n"])


def _panel(panel: Panel, colours: dict[str, str]) -> Iterator[str]:
    xs = _Axis([x for line in panel.lines for x, _ in line.points], _LEFT, _WIDTH - _RIGHT)
    ys = _Axis([y for line in panel.lines for _, y in line.points], _HEIGHT - _BOTTOM, _TOP, decades=True)
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    yield f'<text x="{middle}" y="20" text-anchor="middle" font-weight="bold">{escape(panel.title)}</text>'
    yield f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(panel.x_label)}</text>'
    turned = f'transform="translate(14 {(_TOP + _HEIGHT - _BOTTOM) / 2}) rotate(-90)"'
    yield f'<text {turned} text-anchor="middle">{escape(panel.y_label)}</text>'
    yield from _grid(xs, ys)
    for line in panel.lines:
        yield from _drawn(line, xs, ys, colours[line.name])


def _grid(xs: _Axis, ys: _Axis) -> Iterator[str]:
    for tick in ys.ticks:
        y = ys.at(tick)
        yield f'<path d="M{_LEFT} {y}H{_WIDTH - _RIGHT}" stroke="#ddd"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{_plain(tick)}</text>'
    for tick in xs.ticks:
        x = xs.at(tick)
        yield f'<path d="M{x} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#eee"/>'
        yield f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{_plain(tick)}</text>'


def _drawn(line: Line, xs: _Axis, ys: _Axis, colour: str) -> Iterator[str]:
    places = [(round(xs.at(x), 1), round(ys.at(y), 1)) for x, y in line.points]
    points = " ".join(f"{x},{y}" for x, y in places)
    dashes = ' stroke-dasharray="5 4"' if line.dashed else ""
    yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"{dashes}/>'
    yield from (f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in places)


class _Axis:
    """From values to places between `start` and `end`; ticks at the values, or at powers of ten around them."""

    def __init__(self, values: Sequence[float], start: float, end: float, *, decades: bool = False) -> None:
        self.ticks = sorted(set(values))
        if decades:
            lowest, highest = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
            self.ticks = [10.0**power for power in range(lowest, max(highest, lowest + 1) + 1)]
        self._low, self._high = math.log(self.ticks[0]), math.log(self.ticks[-1])
        self._start, self._end = start, end

    def at(self, value: float) -> float:
        """Where a value is."""
        share = (math.log(value) - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
