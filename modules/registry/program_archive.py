"""The file of an exported program (PT2), read so that nothing in it can run.

`torch.export.load` trusts its file: it unpickles weights and sample inputs, evaluates the sympy text of
symbolic sizes, compiles guards and argument names into Python source, imports modules named in a tree spec
and looks operators up anywhere under `torch`. Programs come from other people, so every record is checked
against what an inference graph of ATen operators needs, and what was checked, not the original file, is
handed to torch. Metadata of nodes (stack traces with the author's paths) is no part of the program and is
left out.
"""

import ast
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.configuration.regular_file import read_regular

_MODEL = "models/model.json"
_PAYLOADS = {
    "data/weights/model_weights_config.json": re.compile(r"weight_\d+"),
    "data/constants/model_constants_config.json": re.compile(r"tensor_\d+"),
}
_SAMPLE_INPUTS = "data/sample_inputs/model.pt"
_TEXTS = {
    "archive_format",
    "archive_version",
    "byteorder",
    ".data/version",
    ".data/serialization_id",
    "version",
}
_TEXT = re.compile(rb"[A-Za-z0-9._-]{0,64}\n?")
_EXTRA = re.compile(r"extra/[a-z_]{1,32}\.json")

_PLAIN = re.compile(r"[\w.+\-]{0,256}")
_OPERATORS = re.compile(
    r"torch\.ops\.aten\.(?!from_file\b|save\b|load\b)(?!\w*(sparse|nested|_unsafe_|set_data))\w+\.\w+"
    r"|_operator\.(getitem|add|mul|sub|truediv|floordiv|mod|neg|abs|ge|le|gt|lt|eq|ne|and_|or_|not_)"
    r"|torch\.sym_(int|float|max|min|not|ite|sqrt|sum)|math\.(ceil|floor|trunc)"
)
_TREE_TYPES = {None, "builtins.tuple", "builtins.list", "builtins.dict"}
_SYMBOLIC = {
    *("Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Max", "Min", "Mod", "Equality", "Unequality"),
    *("FloorDiv", "ModularIndexing", "Where", "PythonMod", "CleanDiv", "CeilDiv", "CeilToInt", "FloorToInt"),
    *("FloatTrueDiv", "IntTrueDiv", "TruncToFloat", "TruncToInt", "RoundToInt", "ToFloat", "Identity"),
    *("GreaterThan", "LessThan", "StrictGreaterThan", "StrictLessThan", "max", "min", "L", "s", "u"),
}
_ARITHMETIC = (
    *(ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Load, ast.Constant, ast.Compare, ast.BoolOp),
    *(ast.And, ast.Or, ast.Not, ast.UnaryOp, ast.USub, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div),
    *(
        ast.FloorDiv,
        ast.Mod,
        ast.Eq,
        ast.NotEq,
        ast.Lt,
        ast.LtE,
        ast.Gt,
        ast.GtE,
        ast.Subscript,
        ast.Attribute,
    ),
)


def vetted(data: bytes, name: str) -> bytes:
    """The same program with nothing in it that could run anything but ATen operators.

    Args:
        data: the bytes of a PT2 file.
        name: what to call the file in an error.

    Raises:
        UserError: naming the first record that has no place in an exported program.
    """
    records = _records(data, name)
    raw: set[str] = set()
    clean: dict[str, bytes] = {}
    for path, pattern in _PAYLOADS.items():
        if path in records:
            raw |= _raw_payloads(path, records, pattern, name)
    for path, content in records.items():
        if path == _MODEL:
            clean[path] = _checked_graph(content, name)
        elif path == _SAMPLE_INPUTS:
            _check_sample_inputs(content, name)
            clean[path] = content
        elif path in raw or path in _PAYLOADS or (path in _TEXTS and _TEXT.fullmatch(content)):
            clean[path] = content
        elif _EXTRA.fullmatch(path):
            _json(content, path, name)
            clean[path] = content
        else:
            raise _refused(name, f"its record {path!r} is no part of an exported program")
    if _MODEL not in clean:
        raise _refused(name, f"it has no {_MODEL}")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path, content in clean.items():
            archive.writestr(zipfile.ZipInfo(f"program/{path}"), content)
    return buffer.getvalue()


def read_vetted(file: Path) -> bytes:
    """The vetted bytes of a file.

    Raises:
        UserError: if it cannot be read or is not a harmless exported program.
    """
    try:
        data = read_regular(file, links=True)
    except OSError as error:
        raise UserError(
            f"{file} cannot be read: {error.strerror}", "Give the path of a .pt2 file."
        ) from error
    return vetted(data, str(file))


def _refused(name: str, reason: str) -> UserError:
    return UserError(
        f"{name} is not a safe exported program: {reason}",
        "Nothing of it was run. Promote the recipe again, or get the file again.",
    )


def _records(data: bytes, name: str) -> dict[str, bytes]:
    """The archive's records without the root folder's name, each there once and stored as it is."""
    records: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if len(archive.infolist()) != _num_listed(data, len(archive.infolist())):
                raise _refused(name, "its list of records is damaged")
            for info in archive.infolist():
                path = info.filename.partition("/")[2]
                if path in records or not path:
                    raise _refused(name, f"its record {info.filename!r} is there twice or has no folder")
                # A stored record is as long as the file says: no archive of a few bytes fills the memory.
                if info.compress_type != zipfile.ZIP_STORED:
                    raise _refused(name, f"its record {info.filename!r} is compressed")
                records[path] = archive.read(info)
    except (zipfile.BadZipFile, EOFError, ValueError, OSError, NotImplementedError, RuntimeError) as error:
        raise _refused(name, f"it is truncated or damaged ({error})") from error
    return records


def _num_listed(data: bytes, found: int) -> int:
    """How many records the archive says that it has: a damaged list reads as a shorter one.

    It is the end record's total number of entries (PKWARE's APPNOTE, section 4.3.16); where that is too small
    a field for them, what was found.
    """
    end = data.rfind(b"PK\x05\x06")
    number = int.from_bytes(data[end + 10 : end + 12], "little")
    return found if number == 0xFFFF else number


def _json(content: bytes, path: str, name: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _refused(name, f"its record {path!r} is not JSON") from error


def _raw_payloads(path: str, records: dict[str, bytes], pattern: re.Pattern[str], name: str) -> set[str]:
    """The records that the configuration of weights or constants names as plain numbers."""
    configuration = _json(records[path], path, name)
    match configuration:
        case {"config": dict() as entries} if len(configuration) == 1:
            pass
        case _:
            raise _refused(name, f"its record {path!r} is malformed")
    raw = set()
    for entry in entries.values():
        match entry:
            case {"path_name": str() as file, "use_pickle": False} if pattern.fullmatch(file):
                raw.add(f"{path.rpartition('/')[0]}/{file}")
            case _:
                raise _refused(name, f"its record {path!r} names a pickle or an object of Python")
    return raw


def _check_sample_inputs(content: bytes, name: str) -> None:
    import torch

    from modules.weights.tensor_file import first_not_plain

    if not content:
        return
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        raise _refused(name, "its sample inputs hold more than tensors") from error
    if strange := first_not_plain(found):
        raise _refused(name, f"its sample inputs hold a {strange}")


def _checked_graph(content: bytes, name: str) -> bytes:
    graph = _json(content, _MODEL, name)
    for key, value in _leaves(graph):
        if not isinstance(value, str):
            continue
        if key == "expr_str" or key == "guards_code":
            allowed = _is_arithmetic(value)
        elif key in ("in_spec", "out_spec"):
            allowed = _is_plain_tree(_json(value.encode(), key, name))
        elif key == "target":
            allowed = _OPERATORS.fullmatch(value)
        else:
            allowed = _PLAIN.fullmatch(value)
        if not allowed:
            raise _refused(name, f"the graph's {key} {value[:60]!r} is not arithmetic on tensors")
    return json.dumps(graph).encode()


def _leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of the graph with the key it stands under, and every key; drops the metadata of nodes."""
    stack = [(key, node)]
    while stack:
        key, node = stack.pop()
        if isinstance(node, dict):
            if "metadata" in node:
                node["metadata"] = {}
            for name, value in node.items():
                yield "name", name
                stack.append((name, value))
        elif isinstance(node, list):
            stack.extend((key, value) for value in node)
        else:
            yield key, node


def _is_plain_tree(spec: Any) -> bool:
    """Whether a tree spec is made of tuples, lists and dictionaries with plain keys."""
    match spec:
        case [1, dict() as root]:
            nodes = [root]
        case _:
            return False
    while nodes:
        node = nodes.pop()
        context = node.get("context")
        if node.get("type") not in _TREE_TYPES or not isinstance(node.get("children_spec"), list):
            return False
        if context not in (None, "null") and not re.fullmatch(r'\[("[A-Za-z_]\w*"(, )?)*\]', context):
            return False
        nodes.extend(node["children_spec"])
    return True


def _is_arithmetic(text: str) -> bool:
    """Whether symbolic text is arithmetic alone: what sympy would evaluate and a guard would compile."""
    if len(text) > 2000:
        return False
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for node in nodes:
        if not isinstance(node, _ARITHMETIC):
            return False
        if (
            isinstance(node, ast.Name)
            and node.id not in _SYMBOLIC
            and not re.fullmatch(r"[suz]f?\d+", node.id)
        ):
            return False
        if isinstance(node, ast.Attribute) and node.attr not in ("size", "stride"):
            return False
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and not _PLAIN.fullmatch(node.value)
        ):
            return False
    return True
