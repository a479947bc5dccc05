"""Scores as inline SVG: text that scales with the page, colors from its style sheet, a tooltip on each point."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from columns import COLUMNS

WIDTH, HEIGHT = 480, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 12, 38

Points = Sequence[tuple[float, float, str]]
"""Each (x, y, tooltip)."""


def draw_plot(
    series: Mapping[int, Points],
    *,
    score: str,
    x_title: str,
    x_labels: Mapping[float, str] | None = None,
    is_curve: bool = True,
    marks: Sequence[float] = (),
) -> str:
    """One plot of a score: a series for each method, by its number. `marks` are the x of keyframes."""
    column = COLUMNS[score]
    xs = [x for points in series.values() for x, _, _ in points] + list(marks)
    ys = [y * column.scale for points in series.values() for _, y, _ in points]
    if not ys:
        return ""
    whole = [tick for tick in ticks(min(xs), max(xs), 8) if tick == int(tick) and min(xs) <= tick <= max(xs)]
    x_ticks = sorted(x_labels) if x_labels else whole
    y_ticks = ticks(min(ys), max(ys), 5)
    place = Axes(min(xs), max(xs), min(y_ticks[0], *ys), max(y_ticks[-1], *ys))
    names = x_labels or {tick: f"{tick:g}" for tick in x_ticks}
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(column.title)} by {escape(x_title)}">'
    ]
    for tick in y_ticks:
        y = place.y(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        x = place.x(tick)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{escape(names[tick])}</text>')
    for mark in marks:
        x = place.x(mark)
        parts.append(f'<line class="key" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="axis" x="{middle}" y="{HEIGHT - 5}" text-anchor="middle">{escape(x_title)}</text>')
    # The first method is drawn last, on top.
    for number in sorted(series, reverse=True):
        parts.append(draw_series(number, series[number], place, column.scale, is_curve))
    return "".join(parts) + "</svg>"


class Axes:
    """From values to pixels."""

    def __init__(self, x_low: float, x_high: float, y_low: float, y_high: float):
        self.x_low, self.x_span = x_low, (x_high - x_low) or 1
        self.y_low, self.y_span = y_low, (y_high - y_low) or 1

    def x(self, value: float) -> float:
        """Pixels from the left."""
        return LEFT + 8 + (value - self.x_low) / self.x_span * (WIDTH - LEFT - RIGHT - 16)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        return TOP + (1 - (value - self.y_low) / self.y_span) * (HEIGHT - TOP - BOTTOM)


def draw_series(number: int, points: Points, place: Axes, scale: float, is_curve: bool) -> str:
    """A method's points, joined where neighbors belong together."""
    placed = [(place.x(x), place.y(y * scale), text) for x, y, text in sorted(points)]
    parts = [f'<g class="series" data-method="{number}" style="--c:var(--m{number % 8})">']
    if is_curve and len(placed) > 1:
        dash = ' stroke-dasharray="5 4"' if number >= 8 else ""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in placed)
        parts.append(f'<polyline points="{path}"{dash}/>')
    radius = 4 if len(placed) <= 40 else 2.5
    parts += [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}"><title>{escape(text)}</title></circle>'
        for x, y, text in placed
    ]
    return "".join(parts) + "</g>"


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from below `low` to above `high`, about so many."""
    span = (high - low) or abs(high) or 1
    power = 10 ** math.floor(math.log10(span / about))
    step = min((1, 2, 5, 10), key=lambda factor: abs(span / (factor * power) - about)) * power
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(step * i, 10) for i in range(first, max(last, first + 1) + 1)]
