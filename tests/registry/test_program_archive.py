"""Programs from other people: what torch would run is refused, and what torch would run is shown to be so."""

import contextlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modules.configuration.errors import UserError
from modules.models.feedforward.perceptron import Perceptron
from modules.registry.export import Description, export_program, load_program, save_program
from modules.registry.program_archive import vetted
from modules.tasks.served import Served, ServedInput, ServedOutput

Records = dict[str, bytes]
GRAPH = "program/models/model.json"
WEIGHTS = "program/data/weights/model_weights_config.json"
CONSTANTS = "program/data/constants/model_constants_config.json"
INPUTS = "program/data/sample_inputs/model.pt"
SHAPE = (1, 4, 4)


class Malice:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


SERVED = Served(
    Perceptron(SHAPE, 3, hidden_sizes=[2]),
    (ServedInput("image", "image", SHAPE),),
    (ServedOutput("label", "classes", (3,), ("a", "b", "c")),),
)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("program") / "net.pt2"
    program = export_program(SERVED, [torch.rand(2, *SHAPE)])
    save_program(program, Description("net", "0" * 64, SERVED.inputs, SERVED.outputs), file)
    return file.read_bytes()


def unpacked(data: bytes) -> Records:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(records: Records, compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def torch_save(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def in_graph(change: Callable[[dict], object]) -> Callable[[Records, Path], None]:
    def apply(records: Records, mark: Path) -> None:
        text = records[GRAPH].decode().replace("MARK", str(mark))
        graph = json.loads(text)
        change(graph)
        records[GRAPH] = json.dumps(graph).replace("MARK", str(mark)).encode()

    return apply


def first_size(graph: dict) -> dict:
    body = graph["graph_module"]["graph"]
    images = body["inputs"][-1]["as_tensor"]["name"]
    return body["tensor_values"][images]["sizes"][0]["as_expr"]


def signature(graph: dict) -> dict:
    return next(
        entry["signature"] for entry in graph["graph_module"]["module_call_graph"] if entry["signature"]
    )


def first_node(graph: dict) -> dict:
    return graph["graph_module"]["graph"]["nodes"][0]


TOUCH = "__import__('pathlib').Path('MARK').touch()"


def pickled_inputs(records: Records, mark: Path) -> None:
    records[INPUTS] = torch_save(((Malice(mark),), {}))


def pickled_weight(records: Records, mark: Path) -> None:
    config = json.loads(records[WEIGHTS])
    next(iter(config["config"].values()))["use_pickle"] = True
    records[WEIGHTS] = json.dumps(config).encode()
    records["program/data/weights/weight_0"] = torch_save(Malice(mark))


def opaque_constant(records: Records, mark: Path) -> None:
    entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    records[CONSTANTS] = json.dumps({"config": {"a": entry}}).encode()
    records["program/data/constants/opaque_obj_0"] = pickle.dumps(Malice(mark))


def legacy_weights(records: Records, mark: Path) -> None:
    records["program/data/weights/model.pt"] = torch_save(Malice(mark))


def second_model(records: Records, mark: Path) -> None:
    records["program/models/other.json"] = records[GRAPH]


def library(records: Records, mark: Path) -> None:
    records["program/data/aotinductor/model/a.so"] = b"\x7fELF"


def outside(records: Records, mark: Path) -> None:
    records["program/../../outside.json"] = b"{}"


# These run code in torch.export.load or in the module that it gives.
RUNNING = {
    "pickled inputs": pickled_inputs,
    "pickled weight": pickled_weight,
    "opaque constant": opaque_constant,
    "legacy weights": legacy_weights,
    "symbolic size": in_graph(lambda graph: first_size(graph).update(expr_str=TOUCH)),
    "guard": in_graph(lambda graph: graph.update(guards_code=[TOUCH + " or True"])),
}
CONTEXT = '{"default_factory_module": "this", "default_factory_name": "d", "dict_context": []}'
TREE = json.dumps([1, {"type": "collections.defaultdict", "context": CONTEXT, "children_spec": []}])
REFUSED = RUNNING | {
    "second model": second_model,
    "compiled library": library,
    "path outside": outside,
    "operator of Python": in_graph(lambda graph: first_node(graph).update(target="torch.os.system")),
    "operator of a file": in_graph(
        lambda graph: first_node(graph).update(target="torch.ops.aten.from_file.default")
    ),
    "operator of others": in_graph(
        lambda graph: first_node(graph).update(target="torch.ops.mine.evil.default")
    ),
    "extension": in_graph(lambda graph: first_node(graph).update(target="#pkg:evil")),
    "argument name": in_graph(lambda graph: signature(graph).update(forward_arg_names=["image, x=" + TOUCH])),
    "node name": in_graph(lambda graph: first_node(graph).update(name="a\nimport os")),
    "imported module": in_graph(lambda graph: signature(graph).update(in_spec=TREE)),
    "name of a symbol": in_graph(lambda graph: graph["range_constraints"].update({TOUCH: {}})),
    "attribute in a size": in_graph(
        lambda graph: first_size(graph).update(expr_str="Symbol('s0').__class__")
    ),
    "huge power": in_graph(lambda graph: first_size(graph).update(expr_str="9**9**9**9")),
}


def attacked(good: bytes, attack: Callable[[Records, Path], None], mark: Path) -> bytes:
    records = unpacked(good)
    attack(records, mark)
    return packed(records)


@pytest.mark.parametrize("attack", RUNNING.values(), ids=RUNNING)
@pytest.mark.filterwarnings("ignore")
def test_torch_itself_would_run_it(good: bytes, attack: Callable, tmp_path: Path) -> None:
    data = attacked(good, attack, tmp_path / "mark")
    with contextlib.suppress(Exception):  # it may fail afterwards: the mark is what counts
        torch.export.load(io.BytesIO(data)).module()(torch.rand(2, *SHAPE))
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("attack", REFUSED.values(), ids=REFUSED)
def test_it_is_refused_in_one_line_and_nothing_runs(good: bytes, attack: Callable, tmp_path: Path) -> None:
    file = tmp_path / "evil.pt2"
    file.write_bytes(attacked(good, attack, tmp_path / "mark"))
    with pytest.raises(UserError, match="not a safe exported program") as raised:
        load_program(file)
    assert "\n" not in str(raised.value) and str(file) in str(raised.value)
    assert [left.name for left in tmp_path.iterdir()] == ["evil.pt2"]


def test_vetting_changes_nothing_in_a_good_program(good: bytes) -> None:
    assert unpacked(vetted(good, "net.pt2")) == unpacked(good)


def test_a_few_bytes_cannot_fill_the_memory(good: bytes) -> None:
    records = unpacked(good)
    records["program/data/weights/weight_0"] = bytes(50_000_000)
    with pytest.raises(UserError, match="is compressed"):
        vetted(packed(records, zipfile.ZIP_DEFLATED), "bomb.pt2")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_record_that_is_there_twice_is_refused(good: bytes) -> None:
    buffer = io.BytesIO(good)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(GRAPH, b"{}")
    with pytest.raises(UserError, match="twice"):
        vetted(buffer.getvalue(), "twice.pt2")


@given(st.integers(0, 2**20))
def test_a_truncated_file_is_refused(good: bytes, length: int) -> None:
    with pytest.raises(UserError):
        vetted(good[: length % len(good)], "net.pt2")


def test_a_list_that_reads_as_a_shorter_one_is_refused(good: bytes) -> None:
    last, end = good.rfind(b"PK\x01\x02"), good.rfind(b"PK\x05\x06")
    before = good.rfind(b"PK\x01\x02", 0, last)
    # The comment of the last record but one takes the last one in.
    swallowed = bytearray(good)
    swallowed[before + 32 : before + 34] = (end - last).to_bytes(2, "little")
    with zipfile.ZipFile(io.BytesIO(swallowed)) as archive:
        assert len(archive.namelist()) == len(unpacked(good)) - 1
    with pytest.raises(UserError, match="its list of records is damaged"):
        vetted(bytes(swallowed), "net.pt2")


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(st.integers(0, 2**20), st.integers(0, 7))
def test_a_flipped_bit_is_found_or_harmless(good: bytes, place: int, bit: int) -> None:
    data = bytearray(good)
    data[place % len(data)] ^= 1 << bit
    try:
        found = unpacked(vetted(bytes(data), "net.pt2"))
    except UserError:
        return
    assert found == unpacked(good)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)
                    | st.dictionaries(st.text(), inner), max_leaves=8))  # fmt: skip
def test_any_other_graph_is_one_line(good: bytes, tmp_path: Path, graph: object) -> None:
    records = unpacked(good)
    records[GRAPH] = json.dumps(graph).encode()
    (tmp_path / "odd.pt2").write_bytes(packed(records))
    with pytest.raises(UserError) as raised:
        load_program(tmp_path / "odd.pt2")
    assert "\n" not in str(raised.value)


def test_a_program_of_another_yard_is_no_program_of_ours(tmp_path: Path) -> None:
    program = export_program(SERVED, [torch.rand(2, *SHAPE)])
    torch.export.save(program, tmp_path / "plain.pt2")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_program(tmp_path / "plain.pt2")
    with pytest.raises(UserError, match=r"nowhere\.pt2 cannot be read"):
        load_program(tmp_path / "nowhere.pt2")
    (tmp_path / "text.pt2").write_text("no archive")
    with pytest.raises(UserError, match="damaged"):
        load_program(tmp_path / "text.pt2")
