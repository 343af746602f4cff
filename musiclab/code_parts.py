"""The part of a file that can decide what one object of it is and does: all but what surely cannot."""

import ast
import symtable
from collections.abc import Collection
from itertools import pairwise

from musiclab.code_lock import tree_of

# Python's own functions that change nothing.
_PURE = frozenset({"dict", "list", "print", "range", "sorted", "tuple", "zip"})
# With these, code finds what stands in its file without mentioning it.
_DYNAMIC_ATTRIBUTES = frozenset({"__globals__", "__module__", "__subclasses__"})
_DYNAMIC = _DYNAMIC_ATTRIBUTES | {"__name__", "eval", "exec", "globals", "vars"}
# What makes a class or a function of a user's what it is, and puts it nowhere: bases, decorators, calls in a class.
_MAKERS = {
    "dataclasses": {"dataclass"},
    "musiclab.data": {"Abc", "Midi", "MusPy", "MusicXml", "Parquet", "ParquetTokens", "Source", "song_source"},
    "musiclab.measures": {"measure"},
    "musiclab.systems": {"Config", "Progress", "System", "field", "system"},
}
_BUILT_IN_MAKERS = frozenset({"classmethod", "property", "staticmethod"})
_ASKING = ("musiclab", "musiclab.testing")  # what is imported from these asks questions and changes nothing
_ASKING_METHODS = ("main", "run")  # of a Study
_MAKING_METHODS = (
    "__init__",
    "__new__",
    *_ASKING_METHODS,
)  # with them, a source of the user's may do anything when made
_DATA = (ast.Constant, ast.Name, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.Starred, ast.keyword, ast.JoinedStr,
         ast.FormattedValue, ast.IfExp, ast.UnaryOp, ast.comprehension, ast.ListComp, ast.DictComp, ast.SetComp,
         ast.expr_context, ast.operator, ast.unaryop)  # fmt: skip


def essential(source: str, name: str) -> str:
    """The text of a file without what cannot change its object `name`; the lines that are left out are empty.

    Left out is only what does nothing but define a name that nothing else mentions: a function without decorators or
    under musiclab's own, a class without bases or with musiclab's own, an assignment of literals or of a study's parts,
    an import from musiclab. Furthermore `if __name__ == "__main__":` and the questions that `importable` leaves out.
    """
    statements = [statement for statement in tree_of(source).body if not _is_guard(statement)]
    makers, shared = _makers(statements), _on_shared_lines(statements)
    doors = _doors(statements, makers)
    spare = {each for each in statements if each not in shared and _only_defines(each, doors, makers)}
    mentioned = {name}.union(*(_mentioned(each) for each in statements if each not in spare))
    while new := {each for each in spare if _defined(each) & mentioned}:
        spare -= new
        mentioned = mentioned.union(*map(_mentioned, new))
    if mentioned & _DYNAMIC or not any(name in _defined(each) for each in statements):
        return importable(source)
    return _without(source, spare)


def importable(source: str) -> str:
    """The text of a file without what only a script does; the lines that are left out are empty.

    That is `if __name__ == "__main__":`, and calls that ask a question, such as `study.main()`.
    """
    statements = [statement for statement in tree_of(source).body if not _is_guard(statement)]
    doors, shared = _doors(statements, _makers(statements)), _on_shared_lines(statements)
    asking = {
        each
        for each in statements
        if each not in shared and isinstance(each, ast.Expr) and _is_asking(each.value, doors)
    }
    return _without(source, asking)


def is_behind_guard(source: str, name: str) -> bool:
    """Whether a file gives something the name `name` under `if __name__ == "__main__":`."""
    return any(name in _defined(statement) for statement in tree_of(source).body if _is_guard(statement))


def changed_by_guard(source: str, name: str) -> list[str]:
    """The names that a script changes under `if __name__ == "__main__":` although the object `name` depends on them.

    That is what it sets or changes there, or in functions of the file that it calls there.
    """
    body, text = tree_of(source).body, essential(source, name)
    kept = [statement for statement in tree_of(text).body if not isinstance(statement, ast.Import | ast.ImportFrom)]
    defined = set[str]().union(*map(_defined, kept))
    doors = _doors(body, _makers(body))
    assigned = [statement for statement in kept if isinstance(statement, ast.Assign)]
    studies = [each for each in assigned if isinstance(each.value, ast.Call) and _root(each.value) in doors]
    values, asked = (set[str]().union(*map(_defined, statements)) for statements in (assigned, studies))
    used = _globals_of_functions(symtable.symtable(text, "file", "exec"))
    functions = {each.name: each for each in body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    runs: list[ast.stmt] = [statement for statement in body if _is_guard(statement)]
    changed = used & set[str]().union(*map(_defined, runs))
    for statement in runs:  # grows while functions are found that are called
        runs += [
            functions[each] for each in sorted(_mentioned(statement) & functions.keys()) if functions[each] not in runs
        ]
        for node in ast.walk(statement):
            if isinstance(node, ast.Global):
                changed |= used & set(node.names)
            elif isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
                changed |= defined & {_root(node)}
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                changed |= (values - (asked if node.func.attr in _ASKING_METHODS else set())) & {_root(node.func)}
    return sorted(changed)


def _is_guard(statement: ast.stmt) -> bool:
    """Whether it is `if __name__ == "__main__":` without an `else`, which only a script runs."""
    if not isinstance(statement, ast.If) or statement.orelse or not isinstance(test := statement.test, ast.Compare):
        return False
    sides = {ast.unparse(test.left), *map(ast.unparse, test.comparators)}
    return sides == {"__name__", "'__main__'"} and isinstance(test.ops[0], ast.Eq)


def _doors(statements: Collection[ast.stmt], makers: set[str]) -> set[str]:
    """Names by which a study is asked: of musiclab's, of sources, and of what they make (`study = Study(...)`)."""
    by_name = _by_name(statements)
    imported = {
        name
        for name, places in by_name.items()
        if all(isinstance(each, ast.ImportFrom) and not each.level and each.module in _ASKING for each in places)
    }
    doors = imported | _sources(by_name, makers) | (_PURE - by_name.keys())
    while new := {
        name
        for name, places in by_name.items()
        if name not in doors
        and all(
            isinstance(each, ast.Assign) and _is_assignment(each, doors) and _mentioned(each.value) & (doors - _PURE)
            for each in places
        )
    }:
        doors |= new
    return doors


def _sources(by_name: dict[str, list[ast.stmt]], makers: set[str]) -> set[str]:
    """Names that make a source of songs when they are called with data, and do nothing else then."""
    given = {
        name
        for name in makers & by_name.keys()
        if all(isinstance(each, ast.ImportFrom) and each.module == "musiclab.data" for each in by_name[name])
    }
    return given | {name for name, places in by_name.items() if all(_is_source(each, given) for each in places)}


def _is_source(statement: ast.stmt, given: set[str]) -> bool:
    """Whether it defines a source of the user's with what musiclab.data has given."""
    if isinstance(statement, ast.FunctionDef):
        return any(isinstance(each, ast.Name) and each.id in given for each in statement.decorator_list)
    if not isinstance(statement, ast.ClassDef) or not statement.bases:
        return False
    bodies = set[str]().union(*map(_defined, statement.body))
    return all(_is_base(each, given) for each in statement.bases) and not bodies.intersection(_MAKING_METHODS)


def _makers(statements: Collection[ast.stmt]) -> set[str]:
    """The names in this file of what `_MAKERS` lists, unless they may mean something else too."""
    by_name = _by_name(statements)
    if "*" in by_name:  # of a module that may give other things these names
        return set()
    nodes = [node for statement in statements for node in ast.walk(statement)]
    rebound = {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
    imported = {name for name, places in by_name.items() if all(_imports_maker(each, name) for each in places)}
    return (imported | (_BUILT_IN_MAKERS - by_name.keys())) - rebound


def _imports_maker(statement: ast.stmt, name: str) -> bool:
    if not isinstance(statement, ast.ImportFrom) or statement.level:
        return False
    given = [alias.name for alias in statement.names if (alias.asname or alias.name) == name]
    return _MAKERS.get(statement.module or "", set()).issuperset(given)


def _by_name(statements: Collection[ast.stmt]) -> dict[str, list[ast.stmt]]:
    """The statements that define each name."""
    by_name: dict[str, list[ast.stmt]] = {}
    for statement in statements:
        for name in _defined(statement):
            by_name.setdefault(name, []).append(statement)
    return by_name


def _only_defines(statement: ast.stmt, doors: set[str], makers: set[str]) -> bool:
    """Whether a statement does nothing but define names, or ask."""
    if isinstance(statement, ast.Pass):
        return True
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant) or _is_asking(statement.value, doors)
    if isinstance(statement, ast.ImportFrom):
        module, names = statement.module or "", [alias.name for alias in statement.names]
        return not statement.level and module.partition(".")[0] == "musiclab" and "*" not in names
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        defaults = [each for each in (*statement.args.defaults, *statement.args.kw_defaults) if each]
        arguments = [each for each in ast.walk(statement.args) if isinstance(each, ast.arg)]
        return (
            all(_is_made(each, doors, makers) for each in statement.decorator_list)
            and all(_is_data(each, doors) for each in defaults)
            and not any(map(_calls, [statement.returns, *(each.annotation for each in arguments)]))
        )
    if isinstance(statement, ast.ClassDef):
        return (
            not statement.keywords
            and all(_is_made(each, doors, makers) for each in statement.decorator_list)
            and all(_is_base(each, makers) for each in statement.bases)
            and not (doors | makers) & set[str]().union(*map(_defined, statement.body))
            and all(_only_defines(each, doors | makers, makers) for each in statement.body)
        )
    if isinstance(statement, ast.AnnAssign):
        data = statement.value is None or _is_data(statement.value, doors)
        return isinstance(statement.target, ast.Name) and data and not _calls(statement.annotation)
    return isinstance(statement, ast.Assign) and _is_assignment(statement, doors)


def _is_made(decorator: ast.expr, doors: set[str], makers: set[str]) -> bool:
    """Whether a decorator is a maker, bare or with data: `@measure(unit="share", ...)`."""
    name = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(name, ast.Name) and name.id in makers and _is_data(decorator, doors | makers)


def _is_base(base: ast.expr, makers: set[str]) -> bool:
    """Whether a base class is a maker, perhaps of a config: `System[MineConfig]`."""
    if isinstance(base, ast.Subscript):
        return _is_base(base.value, makers) and isinstance(base.slice, ast.Name)
    return isinstance(base, ast.Name) and base.id in makers


def _calls(annotation: ast.expr | None) -> bool:
    """Whether a type, which may be worked out when its function is defined, does more than name types."""
    return annotation is not None and any(isinstance(each, ast.Call | ast.NamedExpr) for each in ast.walk(annotation))


def _is_assignment(statement: ast.Assign, doors: set[str]) -> bool:
    """Whether it gives names to data, or to what a study is made of or answers."""
    targets = [each for target in statement.targets for each in getattr(target, "elts", [target])]
    return all(isinstance(each, ast.Name) for each in targets) and _is_data(statement.value, doors)


def _is_asking(value: ast.expr, doors: set[str]) -> bool:
    """Whether an expression is a call that asks, of data alone: `Study(...).main()`, `print(answer)`."""
    return isinstance(value, ast.Call) and _is_data(value, doors)


def _is_data(value: ast.expr, doors: set[str]) -> bool:
    """Whether an expression makes data and changes nothing: literals, names, and calls of what asks."""
    local = {
        name for node in ast.walk(value) if isinstance(node, ast.comprehension) for name in _mentioned(node.target)
    }
    return all(_is_harmless(node, doors, local) for node in ast.walk(value))


def _is_harmless(node: ast.AST, doors: set[str], local: set[str]) -> bool:
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr not in _ASKING_METHODS:
            return False
        return _root(node.func) in doors
    if isinstance(node, ast.Attribute):
        return isinstance(node.ctx, ast.Load) and _root(node) in doors
    if isinstance(node, ast.BinOp):  # of what is no door it may be anything
        return _mentioned(node) <= doors | local
    return isinstance(node, _DATA)


def _root(node: ast.AST) -> str:
    """The name that a chain of attributes, items and calls begins with; empty if there is none."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _defined(statement: ast.stmt) -> set[str]:
    """The names that a top-level statement defines; "*" if it imports all names of a module."""
    names = set[str]()
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue  # what it defines inside is its own
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        waiting += ast.iter_child_nodes(node)
    return names


def _mentioned(node: ast.AST) -> set[str]:
    """All names in a piece of code, whatever they mean there, and all texts that may be names."""
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    names |= {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)} & _DYNAMIC_ATTRIBUTES
    texts = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)]
    return names | {text for text in texts if isinstance(text, str) and text.isidentifier()}


def _globals_of_functions(table: symtable.SymbolTable) -> set[str]:
    """The names of its file that code refers to in functions, whose bodies run later than the file."""
    in_function = table.get_type() == "function"
    names = {symbol.get_name() for symbol in table.get_symbols() if in_function and symbol.is_global()}
    return names.union(*map(_globals_of_functions, table.get_children()))


def _lines(statement: ast.stmt) -> range:
    """The lines of a statement, from 0, with its decorators."""
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    first = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
    return range(first - 1, statement.end_lineno or statement.lineno)


def _on_shared_lines(statements: list[ast.stmt]) -> set[ast.stmt]:
    """Statements that share a line with a neighbour, as `a = 1; b = 2` do."""
    return {each for pair in pairwise(statements) if _lines(pair[0])[-1] >= _lines(pair[1])[0] for each in pair}


def _without(source: str, statements: Collection[ast.stmt]) -> str:
    """The source with empty lines in place of these statements and of guards, so that all others keep their numbers."""
    lines = source.split("\n")
    for statement in (*statements, *filter(_is_guard, tree_of(source).body)):
        for number in _lines(statement):
            lines[number] = ""
    return "\n".join(lines)
