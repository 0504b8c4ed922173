"""An extension of griffe, with which mkdocstrings reads code: tables made from comments.

A function gets a table of its parameters and its result, a class one of its fields, a constant its
sentence. griffe loads this file by its path (see mkdocs.yml), so it looks for its neighbour itself.
"""

import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).parent))
from docments import constant_comments, field_comments, function_comments

STARS = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}


def add_section(obj: griffe.Object, section: griffe.DocstringSection) -> None:
    "Add a section to an object's docstring; an object without one gets an empty one."
    if obj.docstring is None:
        obj.docstring = griffe.Docstring("", parent=obj, parser=griffe.Parser.google)
    obj.docstring.parsed.append(section)


def parameter_table(func: griffe.Function, said: dict[str, str]) -> griffe.DocstringSection:
    "Return a table of all parameters; those without a comment have their name, type and default."
    named = [parameter for parameter in func.parameters if parameter.name not in ("self", "cls")]
    rows = [parameter_row(parameter, said.get(parameter.name, "")) for parameter in named]
    return griffe.DocstringSectionParameters(rows)


def parameter_row(parameter: griffe.Parameter, text: str) -> griffe.DocstringParameter:
    "Return the row of one parameter."
    stars = STARS.get(parameter.kind, "")
    default = None if stars else parameter.default  # griffe gives () and {} there
    return griffe.DocstringParameter(
        stars + parameter.name, description=text, annotation=parameter.annotation, value=default
    )


def result_line(func: griffe.Function, text: str) -> griffe.DocstringSection:
    "Return the section on what a function returns."
    result = griffe.DocstringReturn("", description=text, annotation=func.returns)
    return griffe.DocstringSectionReturns([result])


def field_table(cls: griffe.Class, said: dict[str, str]) -> griffe.DocstringSection:
    "Return a table of the public annotated fields of a class."
    fields = [member for member in cls.attributes.values() if member.annotation is not None]
    return griffe.DocstringSectionAttributes(
        [
            griffe.DocstringAttribute(
                field.name,
                description=said.get(field.name, ""),
                annotation=field.annotation,
                value=field.value,
            )
            for field in fields
            if not field.name.startswith("_")
        ]
    )


class Docments(griffe.Extension):
    "Adds what comments say while griffe loads the code."

    def on_function(self, *, func: griffe.Function, **kwargs: Any) -> None:
        "Describe parameters and result. A dataclass's `__init__` has no source; its fields do."
        if not func.source:
            return
        said = function_comments(func.source)
        result = said.pop("return", "")
        if said:
            add_section(func, parameter_table(func, said))
        if result:
            add_section(func, result_line(func, result))

    def on_class(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        "Describe fields."
        said = field_comments(cls.source)
        if said:
            add_section(cls, field_table(cls, said))

    def on_module(self, *, mod: griffe.Module, **kwargs: Any) -> None:
        "Describe constants."
        for name, text in constant_comments(mod.source).items():
            attribute = mod.members.get(name)
            if attribute is not None and attribute.docstring is None:
                attribute.docstring = griffe.Docstring(text, parent=attribute)
