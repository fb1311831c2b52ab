"""The network as an image: a graph of its bricks with the shapes that go between them, as one SVG file.

The image is plain text, needs nothing else, follows the reader's light or dark theme, and is the same for
the same network.
"""

from collections import Counter
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from modules.shapes.diagram_layout import NOTE_PX, Box, Layout, Point, lay_out, width_of
from modules.shapes.shape_check import ShapeReport

_MARGIN = 24
_STYLE = """
.network { --ink: #1c2530; --faint: #64707d; --line: #98a3b0; --paper: #ffffff; --plain: #f3f5f8;
  --trained: #e6effc; --trained-edge: #4a7fd0; --field: #e5f4ea; --field-edge: #4c9c6b; --join: #fdf0dc;
  --join-edge: #c98a2b; font-family: system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
@media (prefers-color-scheme: dark) { .network { --ink: #e8edf3; --faint: #9aa7b5; --line: #64717f;
  --paper: #14191f; --plain: #222a33; --trained: #1b2f4d; --trained-edge: #6d9fe8; --field: #18352a;
  --field-edge: #5fb583; --join: #3d2f17; --join-edge: #dca34a; } }
.network .paper { fill: var(--paper); }
.network .box { fill: var(--plain); stroke: var(--line); }
.network .trained { fill: var(--trained); stroke: var(--trained-edge); }
.network .field { fill: var(--field); stroke: var(--field-edge); }
.network .join { fill: var(--join); stroke: var(--join-edge); }
.network .flow { fill: none; stroke: var(--line); stroke-width: 1.6; }
.network .tip { fill: var(--line); }
.network text { fill: var(--ink); font-size: 15px; text-anchor: middle; dominant-baseline: central; }
.network .title { font-weight: 600; }
.network .note { fill: var(--faint); font-size: 13px; }
.network .shape { fill: var(--faint); font-size: 13px; stroke: var(--paper); stroke-width: 4px;
  stroke-linejoin: round; paint-order: stroke; }
.network .start { text-anchor: start; }
.network .end { text-anchor: end; }
"""


@dataclass(frozen=True)
class Note:
    """A text beside a line."""

    text: str
    x: float
    y: float
    anchor: str

    @property
    def span(self) -> Point:
        """Its left and right end."""
        width = width_of(self.text, NOTE_PX)
        start = self.x - {"start": 0, "middle": width / 2, "end": width}[self.anchor]
        return start, start + width


def network_svg(report: ShapeReport) -> str:
    """Draws the network of a report.

    Returns:
        A whole SVG document.
    """
    layout = lay_out(report)
    notes = _place_notes(layout)
    xs = [box.xy[0] + side * box.w / 2 for box in layout.boxes for side in (-1, 1)]
    xs += [x for bend in layout.bends.values() for x, _ in bend] + [x for note in notes for x in note.span]
    ys = [box.xy[1] + side * box.h / 2 for box in layout.boxes for side in (-1, 1)]
    left, top = min(xs) - _MARGIN, min(ys) - _MARGIN
    width, height = max(xs) + _MARGIN - left, max(ys) + _MARGIN - top
    title = f"The network of {report.name}" if report.name else "The network"
    tip = (
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'markerUnits="userSpaceOnUse" orient="auto"><path class="tip" d="M0,0.5 L8,4 L0,7.5 z"/></marker>'
    )
    return "\n".join(
        [
            f'<svg class="network" xmlns="http://www.w3.org/2000/svg" role="img" width="{width:.0f}" '
            f'height="{height:.0f}" viewBox="{left:.1f} {top:.1f} {width:.1f} {height:.1f}">'
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style><defs>{tip}</defs>",
            f'<rect class="paper" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"/>',
            *(
                f'<path class="flow" d="{_path(bend)}" marker-end="url(#tip)"/>'
                for bend in layout.bends.values()
            ),
            *map(_drawn, layout.boxes),
            *(
                f'<text class="shape {n.anchor}" x="{n.x:.1f}" y="{n.y:.1f}">{escape(n.text)}</text>'
                for n in notes
            ),
            "</svg>\n",
        ]
    )


def _path(stops: list[Point]) -> str:
    path = f"M{stops[0][0]:.1f},{stops[0][1]:.1f}"
    for (x0, y0), (x1, y1) in pairwise(stops):
        middle = (y0 + y1) / 2
        path += f" C{x0:.1f},{middle:.1f} {x1:.1f},{middle:.1f} {x1:.1f},{y1:.1f}"
    return path


def _place_notes(layout: Layout) -> list[Note]:
    """Puts each shape where no line crosses it: inside a fork, else outside the bend."""
    bends, texts = layout.bends, layout.texts
    num_arriving = Counter(target for _, target in bends)
    notes: list[Note] = []
    for source in dict.fromkeys(source for source, _ in bends):
        own = {ends: bend for ends, bend in bends.items() if ends[0] is source}
        if len(own) > 1 and len({texts[ends] for ends in own}) == 1:
            (x, y), (_, y1) = next(iter(own.values()))[:2]
            straight = any(abs(bend[1][0] - x) < 1 for bend in own.values())
            text = texts[next(iter(own))]
            y += 0.7 * (y1 - y)
            notes.append(Note(text, x + 8, y, "start") if straight else Note(text, x, y, "middle"))
            continue
        for ends, ((x, y), (x1, y1), *_) in own.items():
            if y == y1:
                notes.append(Note(texts[ends], (x + x1) / 2 - 3, y - 11, "middle"))
            elif len(own) > 1:
                notes.append(Note(texts[ends], x1 + 8, y + 0.75 * (y1 - y), "start"))
            elif x1 > x + 1:
                notes.append(Note(texts[ends], x - 8, y + 0.3 * (y1 - y), "end"))
            else:
                share = 0.45 if abs(x1 - x) < 1 and num_arriving[ends[1]] == 1 else 0.3
                notes.append(Note(texts[ends], x + 8, y + share * (y1 - y), "start"))
    return notes


def _drawn(box: Box) -> str:
    (x, y), rounding = box.xy, 8 if box.note else box.h / 2
    lines = [
        f'<rect class="{box.style}" x="{x - box.w / 2:.1f}" y="{y - box.h / 2:.1f}" width="{box.w:.1f}" '
        f'height="{box.h:.1f}" rx="{rounding:g}"/>'
    ]
    title_y = y - 9 if box.note else y
    lines.append(f'<text class="title" x="{x:.1f}" y="{title_y:.1f}">{escape(box.title)}</text>')
    if box.note:
        lines.append(f'<text class="note" x="{x:.1f}" y="{y + 11:.1f}">{escape(box.note)}</text>')
    return "".join(lines)
