"""Where each brick of a network stands in its image, and the way of each line between them.

Layers and crossings after Sugiyama, Tagawa & Toda (1981), *Methods for visual understanding of hierarchical
system structures*, by grandalf.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from grandalf.graphs import Edge as LayoutEdge
from grandalf.graphs import Graph, Vertex
from grandalf.layouts import SugiyamaLayout

from modules.shapes.calls import Node
from modules.shapes.shape_check import Row, ShapeReport

TITLE_PX, NOTE_PX = 15, 13
_LAYER_GAP, _SIDE_GAP, _SIDE_ARROW = 46, 36, 64
_PASSING = 60  # width kept free for a line that passes a layer, and for a shape beside it
_BRICK_HEIGHT, _PILL_HEIGHT, _SYMBOL_SIZE = 50, 30, 30
# Mean width of a letter, as a share of the font size, in the fonts that "system-ui" stands for.
_LETTER = 0.56
_SYMBOLS = {
    **dict.fromkeys(("add", "iadd", "radd"), "+"),
    **dict.fromkeys(("sub", "isub", "rsub"), "−"),
    **dict.fromkeys(("mul", "imul", "rmul"), "×"),
    **dict.fromkeys(("div", "truediv", "itruediv"), "÷"),
    **dict.fromkeys(("cat", "concat", "concatenate"), "concatenate"),
}

Point = tuple[float, float]


@dataclass(eq=False)
class Box:
    """A node as it is plotted.

    Attributes:
        w: its width.
        h: its height.
        xy: its centre.
        room: width kept free at its sides, for boxes beside it.
        taken: how much of that is used, on the left.
    """

    node: Node
    title: str
    note: str
    style: str
    w: float
    h: float
    xy: Point = (0, 0)
    room: float = 0
    taken: float = 0


Ends = tuple[Box, Box]


@dataclass
class _View:
    """A size for `grandalf` to place."""

    w: float
    h: float
    xy: Point = (0, 0)


@dataclass
class _Route:
    """The points that an edge passes; `grandalf` writes them."""

    points: list[Point] = field(default_factory=list)

    def setpath(self, points: list[Point]) -> None:
        self.points = list(points)


@dataclass(frozen=True)
class Layout:
    """A network laid out.

    Attributes:
        boxes: all nodes, placed.
        bends: for each edge the points between which its line stands upright, from its start to its end.
        texts: for each edge the shape on it.
    """

    boxes: list[Box]
    bends: dict[Ends, list[Point]]
    texts: dict[Ends, str]


def lay_out(report: ShapeReport) -> Layout:
    """Places the network of a report."""
    boxes = _boxes(report)
    shapes: dict[Ends, list[str]] = {}
    for edge in report.edges:
        shapes.setdefault((boxes[edge.source], boxes[edge.target]), []).append(edge.shape)
    aside = _aside(shapes)
    for box, target in aside.items():
        target.room += 2 * (box.w + _SIDE_ARROW)
    routes = _place(
        [box for box in boxes.values() if box not in aside], [e for e in shapes if e[0] not in aside]
    )
    for box, target in aside.items():
        box.xy = (target.xy[0] - target.w / 2 - target.taken - _SIDE_ARROW - box.w / 2, target.xy[1])
        target.taken += _SIDE_ARROW + box.w
        routes[box, target] = []
    heights: dict[float, float] = {}
    for box in boxes.values():
        heights[box.xy[1]] = max(heights.get(box.xy[1], 0), box.h)
    outputs = {boxes[node]: row.outputs for row in report.rows for node in boxes if node.path == row.path}
    return Layout(
        list(boxes.values()),
        {ends: _bends(*ends, points, heights) for ends, points in routes.items()},
        {ends: _shape_note(arriving, outputs.get(ends[0], ())) for ends, arriving in shapes.items()},
    )


def width_of(text: str, font_px: float) -> float:
    """About how wide a text is, in pixels."""
    return len(text) * font_px * _LETTER


def _boxes(report: ShapeReport) -> dict[Node, Box]:
    rows = {row.path: row for row in report.rows}
    nodes = dict.fromkeys(node for edge in report.edges for node in (edge.source, edge.target))
    boxes = {node: _box(node, rows.get(node.path)) for node in nodes}
    bricks = [box for box in boxes.values() if box.node.kind == "brick"]
    for box in bricks:
        box.w = max(brick.w for brick in bricks)
    return boxes


def _box(node: Node, row: Row | None) -> Box:
    if node.kind == "brick" and row is not None:
        parts = [row.brick]
        parts += [f"{row.num_parameters:,} parameters"] if row.num_parameters else []
        parts += [f"runs {row.num_calls}×"] if row.num_calls > 1 else []
        title, note = row.path.removeprefix("model."), " · ".join(parts)
        width = max(width_of(title, TITLE_PX), width_of(note, NOTE_PX)) + 32
        return Box(node, title, note, "box trained" if row.num_parameters else "box", width, _BRICK_HEIGHT)
    title = _SYMBOLS.get(node.name, node.name.replace("_", " ")) if node.kind == "join" else node.name
    if len(title) == 1:
        return Box(node, title, "", "box join", _SYMBOL_SIZE, _SYMBOL_SIZE)
    return Box(node, title, "", f"box {node.kind}", width_of(title, TITLE_PX) + 36, _PILL_HEIGHT)


def _aside(labels: Iterable[Ends]) -> dict[Box, Box]:
    """Fields that only join in late, such as the labels of a loss: plotted beside what they join."""
    targets: dict[Box, list[Box]] = {}
    for source, target in labels:
        targets.setdefault(source, []).append(target)
    return {
        source: found[0]
        for source, found in targets.items()
        if source.node.kind == "field" and len(found) == 1 and found[0].node.kind == "join"
    }


class _Vertex(Vertex):
    """By its number in the sets that grandalf goes through: the same image every time."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def __hash__(self) -> int:
        return self.number


class _Edge(LayoutEdge):
    """As `_Vertex`."""

    def __init__(self, number: int, source: Vertex, target: Vertex) -> None:
        super().__init__(source, target)
        self.number = number

    def __hash__(self) -> int:
        return self.number


def _place(boxes: list[Box], ends: list[Ends]) -> dict[Ends, list[Point]]:
    """Places the boxes, and finds the points that each edge passes."""
    # grandalf gives vertices and edges their attribute `view` while it runs.
    vertices: dict[Box, Any] = {box: _Vertex(number) for number, box in enumerate(boxes)}
    edges: dict[Ends, Any] = {
        pair: _Edge(number, vertices[pair[0]], vertices[pair[1]]) for number, pair in enumerate(ends)
    }
    for box, vertex in vertices.items():
        vertex.view = _View(box.w + box.room, box.h)
    for edge in edges.values():
        edge.view = _Route()
    for component in Graph(list(vertices.values()), list(edges.values())).C:
        layout = SugiyamaLayout(component)
        layout.xspace, layout.yspace = _SIDE_GAP, _LAYER_GAP
        layout.dw = _PASSING
        layout.init_all()
        layout.draw(8)
    for box, vertex in vertices.items():
        box.xy = vertex.view.xy
    return {pair: edge.view.points for pair, edge in edges.items()}


def _bends(source: Box, target: Box, points: list[Point], heights: dict[float, float]) -> list[Point]:
    """Where a line from box to box stands upright; it passes other layers beside their boxes."""
    if source.xy[1] == target.xy[1]:
        side = 1 if target.xy[0] > source.xy[0] else -1
        ends = (source.xy[0] + side * source.w / 2, target.xy[0] - side * target.w / 2)
        return [(x, source.xy[1]) for x in ends]
    down = 1 if target.xy[1] > source.xy[1] else -1
    stops = [(source.xy[0], source.xy[1] + down * source.h / 2)]
    for x, y in points[1:-1]:
        half = heights.get(y, 0) / 2
        stops += [(x, y - down * half), (x, y + down * half)]
    return [*stops, (target.xy[0], target.xy[1] - down * target.h / 2)]


def _shape_note(shapes: list[str], given: tuple[str, ...]) -> str:
    """The shape that arrives, and before it the one that left where they differ (a flattening in between)."""
    arriving = ", ".join(shapes)
    return f"{given[0]} → {arriving}" if len(given) == 1 and given[0] != arriving else arriving
