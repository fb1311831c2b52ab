"""Finds the class or function behind a dotted name by reading source: nothing is imported.

A name such as `torch.optim.AdamW` is followed through the packages' own imports to the file that defines it
(`torch/optim/adamw.py`). What a name really is can thus be judged before any of its code runs, and a
configuration is checked against a constructor without waiting for torch.
"""

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from modules.configuration.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
OWN_PACKAGES = ("modules", "pipelines")
_MAX_HOPS = 20


@dataclass(frozen=True, eq=False)
class Module:
    """The source of one module."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def package(self) -> str:
        """The package that relative imports start from."""
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]


@dataclass(frozen=True, eq=False)
class Definition:
    """Where a name is defined: a class, a function, or an alias given by an assignment."""

    name: str
    module: Module
    node: ast.ClassDef | ast.FunctionDef | ast.expr


def module_path(name: str, root: Path = ROOT) -> Path | None:
    """The source file of a module, or None where there is none (a built-in, an extension, no such module)."""
    top, *rest = name.split(".")
    if top in OWN_PACKAGES:
        place = root / top
    else:
        try:
            spec = importlib.util.find_spec(top)  # of a top-level name: looks, does not import
        except (ImportError, ValueError):
            return None
        if spec is None or spec.origin is None:
            return None
        place = (
            Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin).with_suffix("")
        )
    for part in rest:
        if not part.isidentifier():
            return None
        place /= part
    for path in (place / "__init__.py", place.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def read_module(name: str, root: Path = ROOT) -> Module | None:
    """The parsed source of a module, or None where it has none.

    Raises:
        UserError: the file is no valid Python.
    """
    path = module_path(name, root)
    return None if path is None else Module(name, path, parse(path))


def parse(path: Path) -> ast.Module:
    """The syntax tree of a file, read once for each version of it.

    Raises:
        UserError: the file is no valid Python.
    """
    status = path.stat()
    return _parse(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1024)
def _parse(path: Path, mtime_ns: int, num_bytes: int) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise UserError(f"{path}:{line}: no valid Python: {getattr(error, 'msg', error)}") from error


def absolute_name(module: Module, statement: ast.ImportFrom) -> str:
    """The full name of the module which a `from ... import` names."""
    if not statement.level:
        return statement.module or ""
    package = module.package.split(".")
    base = package[: len(package) - statement.level + 1]
    return ".".join([*base, statement.module] if statement.module else base)


def define(target: str, root: Path = ROOT) -> Definition | None:
    """Follows a dotted name to its definition.

    Args:
        target: such as `modules.bricks.dense.Dense` or `torch.optim.AdamW`.
        root: the folder of the packages modules and pipelines.

    Returns:
        Its definition, or None where the sources show no class, function or alias of that name.
    """
    module_name, _, name = target.rpartition(".")
    module = _reach(module_name, root)
    found = None if module is None else look_up(name, module, root)
    return found if isinstance(found, Definition) else None


def look_up(name: str, module: Module, root: Path = ROOT, hops: int = 0) -> Definition | Module | None:
    """What a name means inside a module, imports followed; the last statement that binds it counts."""
    found: Definition | Module | None = None
    if hops > _MAX_HOPS:
        return None
    for statement in _top_level(module.tree.body):
        match statement:
            case ast.ClassDef() | ast.FunctionDef() if statement.name == name:
                found = Definition(name, module, statement)
            case ast.Assign(targets=[ast.Name(id=bound)], value=value) if bound == name:
                found = Definition(name, module, value)
            case ast.AnnAssign(target=ast.Name(id=bound), value=ast.expr() as value) if bound == name:
                found = Definition(name, module, value)
            case ast.Import(names=aliases):
                for alias in aliases:
                    if alias.asname == name:
                        found = read_module(alias.name, root)
                    elif alias.asname is None and alias.name.partition(".")[0] == name:
                        found = read_module(name, root)
            case ast.ImportFrom(names=aliases):
                source = absolute_name(module, statement)
                for alias in aliases:
                    if (alias.asname or alias.name) == name:
                        found = _import_from(source, alias.name, module, root, hops)
                    elif alias.name == "*" and source != module.name:
                        found = _import_from(source, name, module, root, hops) or found
    return found


def names_in(module: Module, root: Path = ROOT, hops: int = 0) -> set[str]:
    """The public classes, functions and imported names of a module, those behind `import *` included."""
    found: set[str] = set()
    for statement in _top_level(module.tree.body):
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            found.add(statement.name)
        elif isinstance(statement, ast.ImportFrom):
            names = {alias.asname or alias.name for alias in statement.names}
            source = read_module(absolute_name(module, statement), root) if "*" in names else None
            found |= names_in(source, root, hops + 1) if source and hops < _MAX_HOPS else names - {"*"}
    return {name for name in found if not name.startswith("_")}


def _import_from(
    source: str, name: str, importer: Module, root: Path, hops: int
) -> Definition | Module | None:
    submodule = read_module(f"{source}.{name}", root)
    if submodule is not None:
        return submodule
    module = read_module(source, root)
    if module is None or module.name == importer.name:
        return None
    return look_up(name, module, root, hops + 1)


def _reach(name: str, root: Path) -> Module | None:
    """The module of a dotted name, also where a package only re-exports it under that name."""
    module = read_module(name, root)
    if module is not None or "." not in name:
        return module
    parent, _, last = name.rpartition(".")
    package = _reach(parent, root)
    found = None if package is None else look_up(last, package, root)
    return found if isinstance(found, Module) else None


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported, those under if, try and with included."""
    for statement in body:
        yield statement
        for field in ("body", "orelse", "handlers", "finalbody"):
            if isinstance(statement, ast.If | ast.Try | ast.With | ast.ExceptHandler):
                yield from _top_level(getattr(statement, field, []))
