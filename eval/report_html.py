"""What all parts of the page share."""

PLOTTED = ("psnr", "ssim", "delta_e", "wrong_regions", "lpips")
"""Scores of frames that pictures and plots go by, those that were measured."""


def section(title: str, hint: str, body: str) -> str:
    """A part of the page."""
    return f'<section><h2>{title}</h2><p class="hint">{hint}</p>{body}</section>'


def dot(number: int) -> str:
    """The color of a method."""
    return f'<i class="dot" style="--c:var(--m{number % 8})"></i>'
