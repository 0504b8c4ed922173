"""Reads what comments say of parameters, results and fields: nbdev's docments, from source text.

    def drift(g: Tensor,          # conductances, microsiemens
              t_inference: float  # seconds since programming
              ) -> Tensor:        # conductances then, shape of `g`

A comment belongs to the last parameter on its line, or to the one it names (`times: seconds`). On
the line where `-> ...` ends it belongs to the result, unless that is `None` or `Self` and there is
a parameter on that line, too. Comments alone on the lines above a parameter belong to it.
"""

import ast
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator
from typing import NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef
NOTHING = ("None", "Self")  # results of which there is nothing to say
NAMED = re.compile(r"(\w+): (.+)", re.DOTALL)  # a comment that names the parameter it is about


class Comment(NamedTuple):
    "A comment of a source text."

    text: str  # without the number sign
    alone: bool  # nothing else stands on its line


def comments(source: str) -> dict[int, Comment]:
    "Return the comments of a source text by line, the first line being 1."
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    found = [token for token in tokens if token.type == tokenize.COMMENT]
    return {token.start[0]: read_comment(token) for token in found}


def read_comment(token: tokenize.TokenInfo) -> Comment:
    "Return a comment's text, and whether it stands alone."
    return Comment(token.string.lstrip("#").strip(), token.line.lstrip().startswith("#"))


def parse_one(source: str) -> ast.stmt:
    "Parse the source text of one function or class, however far it is indented."
    return ast.parse(textwrap.dedent(source)).body[0]


def parameters(function: Function) -> list[ast.arg]:
    "Return all parameters in the order in which they stand."
    args = function.args
    found = [*args.posonlyargs, *args.args, *args.kwonlyargs]
    found += [arg for arg in (args.vararg, args.kwarg) if arg is not None]
    return sorted(found, key=lambda arg: (arg.lineno, arg.col_offset))


def last_lines(function: Function) -> dict[str, int]:
    "Return the line on which each parameter ends, its default included."
    args = function.args
    optional = [*args.posonlyargs, *args.args][-len(args.defaults) :] if args.defaults else []
    pairs = [*zip(optional, args.defaults, strict=True)]
    pairs += zip(args.kwonlyargs, args.kw_defaults, strict=True)
    ends = {arg.arg: arg.end_lineno for arg in parameters(function)}
    return ends | {arg.arg: default.end_lineno for arg, default in pairs if default is not None}


def head(function: Function) -> range:
    "Return the lines from `def` to the one before the body; one line if all stands on one."
    return range(function.lineno, max(function.body[0].lineno, function.lineno + 1))


def function_comments(source: str) -> dict[str, str]:
    'Return what comments say of a function\'s parameters; under "return", of its result.'
    function = parse_one(source)
    found = comments(textwrap.dedent(source))
    ends = last_lines(function)
    said = {}
    for line in head(function):
        if line not in found:
            continue
        name = whose(function, ends, line, found[line])
        text = found[line].text.removeprefix(f"{name}: ")
        said[name] = f"{said[name]} {text}" if name in said else text
    return {name: text for name, text in said.items() if name}


def whose(function: Function, ends: dict[str, int], line: int, comment: Comment) -> str:
    'Return the parameter that a comment is about, "return", or "" for neither.'
    if comment.alone:
        below = [arg.arg for arg in parameters(function) if arg.lineno > line]
        return below[0] if below else ""
    here = [name for name, end in ends.items() if end == line]
    named = NAMED.match(comment.text)
    if named and named[1] in here:
        return named[1]
    if is_about_result(function, line, bool(here)):
        return "return"
    return here[-1] if here else ""


def is_about_result(function: Function, line: int, shared: bool) -> bool:
    "Is a comment on this line about the result? Not if a parameter is there and `None` returned."
    if function.returns is None or line != function.returns.end_lineno:
        return False
    return not (shared and ast.unparse(function.returns) in NOTHING)


def field_comments(source: str) -> dict[str, str]:
    "Return what comments say of a class's annotated fields."
    body = parse_one(source).body
    found = comments(textwrap.dedent(source))
    return dict(commented(body, found, above=True))


def constant_comments(source: str) -> dict[str, str]:
    "Return what comments say of a module's constants."
    return dict(commented(ast.parse(source).body, comments(source)))


def commented(
    body: list[ast.stmt], found: dict[int, Comment], above: bool = False
) -> Iterator[tuple[str, str]]:
    """Yield name and comment of each plain assignment with a comment behind it.

    With `above`, comments alone on the lines directly above it belong to it, too."""
    for statement in body:
        comment = found.get(statement.end_lineno)
        text = comment.text if comment is not None and not comment.alone else ""
        if above and not text:
            text = lone_comments(found, statement.lineno)
        if text:
            yield from ((name, text) for name in assigned(statement))


def lone_comments(found: dict[int, Comment], line: int) -> str:
    "Return the comments that stand alone on the lines directly above a line, as one text."
    texts: list[str] = []
    line -= 1
    while line in found and found[line].alone:
        texts.insert(0, found[line].text)
        line -= 1
    return " ".join(texts)


def assigned(statement: ast.stmt) -> list[str]:
    "Return the one name that a statement assigns to; nothing for any other statement."
    if isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    elif isinstance(statement, ast.Assign):
        targets = statement.targets
    else:
        return []
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return names if len(names) == 1 else []
