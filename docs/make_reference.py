"""Write `docs/reference.md`: every public name of `harness`, from the source (`make docs`).

It reads the modules without importing them. `tests/docs/test_reference.py` holds the page up to date.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import harness

PAGE = Path(__file__).with_name("reference.md")
PACKAGE = Path(harness.__file__).parent

SECTIONS = {
    "Experiments": ("engine.read", "experiment.model", "experiment.load"),
    "Runs": ("engine.suite", "runtime", "sim", "live"),
    "Tests": ("testing",),
    "Results": ("engine.judge", "gates.result", "verdict", "history"),
    "Systems": ("system", "runtime.host", "stand_ins"),
    "Faults": ("faults",),
    "Gates": ("gates", "sli"),
    "Reporters": ("report", "engine.events"),
    "Quantities": ("experiment.units",),
    "Toxiproxy": ("toxiproxy",),
    "Errors": ("errors", "diagnostics"),
}
"""Section to the modules whose names it has. The longest module that fits wins."""

INTRODUCTION = """\
# Reference

The public API: everything that `harness` exports. `make docs` writes this page from the source. Names are imported from
`harness` and from nowhere else:

```python
from harness import read_experiment, run
```

Times are in seconds, rates in bit/s, sizes in bytes, ratios from 0 to 1, unless a name says otherwise.
"""


def section_of(module: str) -> str:
    """The section of a module's names. Raises LookupError for a module that no section has."""
    fits = [
        (len(prefix), section)
        for section, prefixes in SECTIONS.items()
        for prefix in prefixes
        if module == prefix or module.startswith(f"{prefix}.")
    ]
    if not fits:
        raise LookupError(f"add the module {module} to a section of {Path(__file__).name}")
    return max(fits)[1]


def page() -> str:
    sections: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for module, names in harness._MODULES.items():
        tree = ast.parse((PACKAGE / Path(*module.split("."))).with_suffix(".py").read_text(encoding="utf-8"))
        for name in names:
            sections[section_of(module)][name] = "\n".join(entry(name, tree))
    parts = [INTRODUCTION]
    anchors: list[str] = []
    for section, entries in sections.items():
        anchors.append(section.lower())
        listed = sorted(entries, key=lambda name: (name.lower(), name))
        links: list[str] = []
        for name in listed:
            # As GitHub does: a heading that is there already gets a number.
            again = anchors.count(name.lower())
            links.append(f"[`{name}`](#{name.lower()}{f'-{again}' if again else ''})")
            anchors.append(name.lower())
        parts += [f"## {section}\n", " ·\n".join(links) + "\n"]
        parts += [entries[name] for name in listed]
    return "\n".join(parts).rstrip() + "\n"


def entry(name: str, tree: ast.Module) -> Iterator[str]:
    """The lines about one name: its signature, its description, its fields, its methods."""
    for index, node in enumerate(tree.body):
        following = tree.body[index + 1] if index + 1 < len(tree.body) else None
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() if node.name == name and not _is_overload(node):
                yield from _heading(name, signature(node), ast.get_docstring(node))
                return
            case ast.ClassDef() if node.name == name:
                yield from _heading(name, _class_signature(node), ast.get_docstring(node))
                yield from _members(node)
                return
            case ast.TypeAlias(name=ast.Name(id=found)) if found == name:
                yield from _heading(name, ast.unparse(_plain(node)), _text(following))
                return
            case ast.Assign(targets=[ast.Name(id=found)]) | ast.AnnAssign(target=ast.Name(id=found)) if (
                found == name
            ):
                yield from _heading(name, ast.unparse(node), _text(following))
                return
    raise LookupError(f"{name} is not defined where harness says")


def _is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(ast.unparse(decorator) == "overload" for decorator in node.decorator_list)


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """`def name(arguments) -> result`, one argument a line where it is long."""
    bare = ast.FunctionDef if isinstance(node, ast.FunctionDef) else ast.AsyncFunctionDef
    copy = bare(node.name, node.args, [ast.Pass()], [], node.returns, None, node.type_params)
    text = ast.unparse(ast.fix_missing_locations(copy)).rsplit(":\n", 1)[0]
    head, _, rest = text.partition("(")
    arguments, arrow, result = rest.rpartition(") -> ")
    each = [re.sub(r"^(\**\w+: [^=]+?)=(?!=)", r"\1 = ", argument) for argument in _split(arguments)]
    each = [argument for argument in each if argument not in ("", "self", "cls")]
    if len(text) <= 100:
        return f"{head}({', '.join(each)}{arrow}{result}"
    lines = "".join(f"    {argument},\n" for argument in each)
    return f"{head}(\n{lines}{arrow}{result}"


def _split(arguments: str) -> Iterator[str]:
    """The arguments, split at the commas that are in no bracket."""
    depth = start = 0
    for index, character in enumerate(arguments):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            yield arguments[start:index].strip()
            start = index + 1
    yield arguments[start:].strip()


def _class_signature(node: ast.ClassDef) -> str:
    known = {*harness.__all__, *vars(builtins), "Protocol", "StrEnum"}
    bases = ", ".join(base for base in map(ast.unparse, node.bases) if base in known)
    text = f"class {node.name}" + (f"({bases})" if bases else "")
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            text += "\n\n" + signature(member).replace("def __init__", node.name, 1).removesuffix(" -> None")
    return text


def _heading(name: str, code: str, description: str | None) -> Iterator[str]:
    yield f"### `{name}`\n"
    yield f"```python\n{code}\n```\n"
    if description:
        yield f"{_fenced(inspect.cleandoc(description))}\n"


def _fenced(text: str) -> str:
    """Examples of a docstring, which are indented, as fenced blocks."""
    lines: list[str] = []
    inside = False
    for line in text.replace("::\n", ":\n").splitlines():
        if inside != line.startswith("    ") and (line or not inside):
            if inside:
                while not lines[-1]:
                    lines.pop()
            lines += ["```", ""] if inside else [f"```{'python' if _is_python(text) else 'text'}"]
            inside = not inside
        lines.append(line.removeprefix("    ") if inside else line)
    if inside:
        lines.append("```")
    return "\n".join(line.rstrip() for line in lines)


def _is_python(text: str) -> bool:
    """Whether the indented lines of a docstring are Python."""
    try:
        ast.parse(inspect.cleandoc("\n".join(line for line in text.splitlines() if line.startswith("    "))))
    except SyntaxError:
        return False
    return True


def _members(node: ast.ClassDef) -> Iterator[str]:
    """A table of the fields, or of the members of an enumeration, then the methods."""
    fields: list[tuple[str, str, str, str]] = []
    methods: list[str] = []
    for index, member in enumerate(node.body):
        following = node.body[index + 1] if index + 1 < len(node.body) else None
        match member:
            case ast.AnnAssign(target=ast.Name(id=name)) if not name.startswith("_"):
                default = _default(member.value)
                annotation = _code(ast.unparse(member.annotation))
                fields.append((f"`{name}`", annotation, default, _text(following)))
            case ast.Assign(targets=[ast.Name()], value=ast.Tuple(elts=[value, meaning])):
                # A member of an enumeration with its description.
                about = str(ast.literal_eval(meaning))
                fields.append((_code(str(ast.literal_eval(value))), "", "", about))
            case ast.Assign(targets=[ast.Name(id=name)]) if name != "model_config" and not name.startswith(
                "_"
            ):
                fields.append((f"`{name}`", "", _code(ast.unparse(member.value)), _text(following)))
            case ast.FunctionDef() | ast.AsyncFunctionDef() if _is_public(member):
                about = _paragraph(ast.get_docstring(member))
                is_property = _decorated(member, "property", "cached_property")
                shown = _property(member) if is_property else signature(member)
                methods.append(f"* `{' '.join(shown.split())}`" + (f": {about}" if about else ""))
    if fields:
        yield _table(("name", "type", "default", "meaning"), fields) + "\n"
    if methods:
        yield "\n".join(methods) + "\n"


def _table(heads: tuple[str, ...], rows: list[tuple[str, str, str, str]]) -> str:
    """Columns without any text are left out."""
    columns = [column for column in zip(heads, *rows, strict=True) if any(column[1:])]
    lines = [f"| {' | '.join(cells)} |" for cells in zip(*columns, strict=True)]
    return "\n".join([lines[0], "|---" * len(columns) + "|", *lines[1:]])


def _is_public(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return not node.name.startswith("_") or node.name == "__call__"


def _decorated(node: ast.FunctionDef | ast.AsyncFunctionDef, *names: str) -> bool:
    return any(isinstance(one, ast.Name) and one.id in names for one in node.decorator_list)


def _property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return f"{node.name}: {ast.unparse(node.returns)}" if node.returns else node.name


def _default(value: ast.expr | None) -> str:
    if value is None:
        return ""
    if isinstance(value, ast.Call) and ast.unparse(value.func) in ("field", "Field"):
        given = {one.arg: one.value for one in value.keywords}
        if "default_factory" in given:
            return _code(f"{ast.unparse(given['default_factory'])}()")
        return _code(ast.unparse(given["default"])) if "default" in given else ""
    text = ast.unparse(value)
    return _code(text) if len(text) <= 60 else ""


def _plain(alias: ast.TypeAlias) -> ast.TypeAlias:
    """An annotated type without its annotations: validators are not for readers."""
    value = alias.value
    if isinstance(value, ast.Subscript) and ast.unparse(value.value) == "Annotated":
        assert isinstance(value.slice, ast.Tuple)
        value = value.slice.elts[0]
    return ast.TypeAlias(alias.name, alias.type_params, value)


def _code(text: str) -> str:
    return f"`{text.replace('|', chr(92) + '|')}`"


def _text(node: ast.stmt | None) -> str:
    """The docstring below a field or a name, in one line."""
    if (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ):
        return " ".join(node.value.value.split()).replace("|", "\\|")
    return ""


def _paragraph(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
