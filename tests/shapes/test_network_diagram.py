import os
import pickle
import subprocess
import sys
from itertools import combinations
from xml.etree import ElementTree

import pytest

from modules.configuration.static_analysis.definitions import ROOT
from modules.shapes.diagram_layout import lay_out
from modules.shapes.network_diagram import network_svg
from modules.shapes.shape_check import check_shapes
from modules.shapes.shape_table import network_text
from tests.shapes.own_networks import own


@pytest.fixture
def residual(configure):
    return check_shapes(configure(own("Residual", num_filters=8, num_shortcut=8, num_classes=10)))


def name(node):
    return node.path.removeprefix("model.") if node.kind == "brick" else node.name


def test_edges_follow_the_tensors(residual):
    edges = {(name(edge.source), name(edge.target)): edge.shape for edge in residual.edges}
    assert edges == {
        ("image", "stem"): "batch×1×28×28",
        ("stem", "shortcut"): "batch×8×28×28",
        ("stem", "first"): "batch×8×28×28",
        ("first", "second"): "batch×8×28×28",
        ("shortcut", "add"): "batch×8×28×28",
        ("second", "add"): "batch×8×28×28",
        ("add", "left"): "batch×8×28×28",
        ("add", "right"): "batch×8×28×28",
        ("left", "cat"): "batch×16×28×28",
        ("right", "cat"): "batch×4×28×28",
        ("cat", "output"): "batch×20",
        ("output", "cross_entropy"): "batch×10",
        ("label", "cross_entropy"): "batch",
    }


def test_a_brick_that_feeds_itself_is_drawn_once(configure):
    report = check_shapes(configure(own("Recurrent", num_classes=10)))
    edges = [(name(edge.source), name(edge.target)) for edge in report.edges]
    assert edges == [
        ("image", "cell"),
        ("cell", "output"),
        ("output", "cross_entropy"),
        ("label", "cross_entropy"),
    ]
    assert "runs 28×" in network_svg(report)


def test_boxes_keep_apart_and_lines_go_down(residual):
    layout = lay_out(residual)
    for one, other in combinations(layout.boxes, 2):
        apart_x = abs(one.xy[0] - other.xy[0]) >= (one.w + other.w) / 2
        apart_y = abs(one.xy[1] - other.xy[1]) >= (one.h + other.h) / 2
        assert apart_x or apart_y, (one.title, other.title)
    for (source, target), bend in layout.bends.items():
        if source.title != "label":
            assert source.xy[1] < target.xy[1]
            assert [y for _, y in bend] == sorted(y for _, y in bend)


def test_the_file_is_whole_and_needs_nothing_else(residual):
    text = network_svg(residual)
    root = ElementTree.fromstring(text)
    left, top, width, height = map(float, root.attrib["viewBox"].split())
    space = "{http://www.w3.org/2000/svg}"
    written = {element.text for element in root.iter(f"{space}text")}
    assert {"stem", "+", "concatenate", "cross entropy", "batch×1×28×28"} <= written
    for element in root.iter(f"{space}text"):
        assert left < float(element.attrib["x"]) < left + width
        assert top < float(element.attrib["y"]) < top + height
    assert text.count("http") == 1  # the name of the format, no address
    assert "prefers-color-scheme: dark" in text


def test_the_same_network_gives_the_same_image(residual, tmp_path):
    """Also in another process, where sets and hashes come in another order."""
    saved = tmp_path / "report.pickle"
    saved.write_bytes(pickle.dumps(residual))
    code = (
        "import pickle, sys; from modules.shapes.network_diagram import network_svg;"
        "sys.stdout.write(network_svg(pickle.load(open(sys.argv[1], 'rb'))))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "12345", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-c", code, str(saved)]
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    assert again.stdout.decode() == network_svg(residual)


def test_a_network_in_lines_follows_each_branch(residual):
    lines = network_text(residual).split("\n")
    assert [line[9:] for line in lines] == [
        "image → stem → shortcut",
        "stem → first",
        "first → second → add",
        "shortcut → add",
        "add → left",
        "add → right",
        "left → cat",
        "right → cat",
        "cat → output → cross entropy",
        "label → cross entropy",
    ]
    assert lines[0].startswith("network ")
    left_out = network_text(residual, most=2).split("\n")[2:]
    assert left_out == [9 * " " + "and 8 more branches; as an image: python -m pipelines.plan --all"]
