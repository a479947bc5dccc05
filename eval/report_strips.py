"""The page's pictures: a slider, a clip in motion, and the worst frames side by side with their errors."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from columns import COLUMNS
from protocols import Task
from report_html import PLOTTED, dot, section
from report_images import DELTA_E_SHOWN, Strip, make_film, worst_frames

FILM_FPS = 8
LONGEST_FILM = 48
"""Frames; longer clips are not shown in motion."""


def find_worst(report: Mapping, tasks: Sequence[Task]) -> list[tuple[Task, int]]:
    """The frames to look at first, by the first score that frames have."""
    score = next((name for name in PLOTTED if name in report["scores"]), None)
    return worst_frames(report, tasks, score, higher_is_better=COLUMNS[score].better == "higher") if score else []


def viewer_section(strips: Sequence[Strip]) -> str:
    """Two pictures of a frame beneath a slider."""
    if not strips:
        return ""
    layers = list(dict.fromkeys(name for strip in strips for name in (*strip.painted, *strip.given)))
    frames = "".join(f'<option value="strip{n}">{escape(strip.name)}</option>' for n, strip in enumerate(strips))
    left, right = (options(layers, chosen) for chosen in (layers[0], "true frame"))
    body = f"""<div class="viewer card">
<div class="controls"><label>frame <select>{frames}</select></label>
<label>left <select>{left}</select></label><label>right <select>{right}</select></label></div>
<div class="stage" style="--at:50%"><img alt="" src="{strips[0].given["true frame"]}">
<img class="over" alt="" src="{strips[0].painted[layers[0]]}"><div class="edge"></div>
<input type="range" min="0" max="100" step="0.2" value="50" aria-label="where left and right meet"></div>
<div class="sides"><span>{escape(layers[0])}</span><span>true frame</span></div></div>"""
    return section(
        "Look closer", "Drag across the picture. Pictures on this page are compressed; scores are of the files.", body
    )


def options(names: Sequence[str], chosen: str) -> str:
    """Of a menu."""
    return "".join(f"<option{' selected' * (name == chosen)}>{escape(name)}</option>" for name in names)


def film_section(strips: Sequence[Strip], folders: Mapping[str, Path]) -> str:
    """The clip of the worst frame in motion, where flicker shows that no single frame has."""
    strip = next((strip for strip in strips if 4 < len(strip.task.clip) <= LONGEST_FILM), None)
    if strip is None:
        return ""
    film, start = make_film(strip.task, folders), strip.frame
    figures = "".join(
        f'<figure><img alt="{escape(name)}" src="{pictures[start]}"><figcaption>{escape(name)}</figcaption></figure>'
        for name, pictures in film.layers.items()
    )
    last = len(film.task.clip) - 1
    body = f"""<div class="film card" data-fps="{FILM_FPS}"><div class="controls"><button type="button">▶ play</button>
<input type="range" min="0" max="{last}" value="{start}" aria-label="frame">
<span class="hint">{escape(film.task.name)}</span></div><div class="films">{figures}</div>
<script type="application/json">{json.dumps(list(film.layers.values()))}</script></div>"""
    return section("In motion", "The clip of the worst frame, with its keyframes.", body)


def strip_section(report: Mapping, strips: Sequence[Strip]) -> str:
    """Side by side, the worst first."""
    if not strips:
        return ""
    first = next(iter(report["methods"]))
    hint = (
        f"By the first score of {escape(first)}: of each clip its worst frame, then of each its second. Beneath each "
        f'picture its error, ΔE2000: <span class="scale">0 <i></i> {DELTA_E_SHOWN}</span>; above 5 anyone sees it.'
    )
    return section(
        "The worst frames first", hint, "".join(strip_card(report, n, strip) for n, strip in enumerate(strips))
    )


def strip_card(report: Mapping, number: int, strip: Strip) -> str:
    """One frame: what was given, then what each method made of it."""
    given = "".join(
        f'<figure><img loading="lazy" alt="{escape(name)}" data-layer="{escape(name)}" src="{uri}">'
        f"<figcaption>{escape(strip.caption(name))}</figcaption></figure>"
        for name, uri in strip.given.items()
    )
    painted = "".join(
        f'<figure><img loading="lazy" alt="{escape(label)}" data-layer="{escape(label)}" src="{uri}">'
        f'<img class="error" loading="lazy" alt="error of {escape(label)}" src="{strip.errors[label]}">'
        f"<figcaption>{dot(n)}<b>{escape(label)}</b><br>{frame_scores(report, label, strip)}</figcaption></figure>"
        for n, (label, uri) in enumerate(strip.painted.items())
    )
    return (
        f'<article class="strip card" id="strip{number}"><header><h3>{escape(strip.name)}</h3>'
        f'<button type="button" data-view="strip{number}">look closer</button></header>'
        f'<div class="row">{given}</div><div class="row">{painted}</div></article>'
    )


def frame_scores(report: Mapping, label: str, strip: Strip) -> str:
    """The plotted scores of one frame."""
    scores = report["methods"][label]["clips"][strip.task.name]["frames"][strip.stem]
    known = [(name, scores[name]) for name in PLOTTED[:3] if scores.get(name) is not None]
    return " · ".join(f"{COLUMNS[n].title} {COLUMNS[n].show(v)}" for n, v in known)
