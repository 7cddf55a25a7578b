"""YAML with a memory of places, so that every complaint can name its line and column."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ablations.errors import DocumentError, nearest

Place = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


class Document:
    """
    One YAML file: `data` as plain Python values, and `error(place, message)` for complaints about a place in it.

    A place is the path of keys and indices from the root, such as ("arms", "filtered", "subset.keep"). `places` has
    the line and column of each, counted from 0.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise DocumentError(path, 1, 1, "", f"cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise DocumentError(path, 1, 1, "", f"cannot be read as UTF-8 text: {error}") from error
        self.lines = self.text.splitlines()
        self.places: dict[Place, tuple[int, int]] = {}
        root = self._load()
        if not isinstance(root, CommentedMap):
            raise self.error((), f"expected a mapping of keys to values, found {kind_of(root)}")
        self.data: dict[str, Any] = self._plain(root, ())

    def _load(self) -> Any:
        try:
            return YAML(typ="rt").load(self.text)
        except DuplicateKeyError as error:
            line, column = error.problem_mark.line + 1, error.problem_mark.column + 1
            raise DocumentError(
                self.path, line, column, self.lines[line - 1], f"this key stands twice: {self._word(line, column)!r}"
            ) from error
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            raise DocumentError(
                self.path, line, column, self._line(line), f"not valid YAML: {error.problem}"
            ) from error
        except (YAMLError, ValueError, RecursionError) as error:  # a date or number that is none, nesting without end
            raise DocumentError(self.path, 1, 1, "", f"not valid YAML: {str(error) or type(error).__name__}") from error

    def _word(self, line: int, column: int) -> str:
        return self._line(line)[column - 1 :].split(":")[0].strip()

    def _line(self, line: int) -> str:
        return self.lines[line - 1] if 0 < line <= len(self.lines) else ""

    def _plain(self, value: Any, place: Place) -> Any:
        """Copy ruamel's containers into plain ones, noting where each entry stands."""
        if isinstance(value, CommentedMap):
            plain: dict[str, Any] = {}
            for key, entry in value.items():
                own = key in (value.lc.data or {})  # what `<<: *other` brings in stands at the mapping that asks for it
                self.places[(*place, str(key))] = value.lc.key(key) if own else (value.lc.line, value.lc.col)
                if not isinstance(key, str):
                    raise self.error((*place, str(key)), f"keys are text, found {kind_of(key)} {key!r}")
                plain[key] = self._plain(entry, (*place, key))
            return plain
        if isinstance(value, CommentedSeq):
            for index in range(len(value)):
                self.places[(*place, index)] = value.lc.item(index)
            return [self._plain(entry, (*place, index)) for index, entry in enumerate(value)]
        if isinstance(value, bool) or value is None:
            return value
        for scalar in (int, float, str):  # ruamel keeps the way a number was written in subclasses
            if isinstance(value, scalar):
                return scalar(value)
        raise self.error(place, f"expected a number, text, true, false or null, found {kind_of(value)}")

    def error(self, place: Place, message: str) -> DocumentError:
        """A complaint about the nearest thing in the file that encloses `place`."""
        while place and place not in self.places:
            place = place[:-1]
        line, column = self.places.get(place, (0, 0))
        return DocumentError(self.path, line + 1, column + 1, self._line(line + 1), message)


Origins = Mapping[Place, tuple[Document, Place]]


def validate(model: type[Model], data: Mapping[str, Any], origins: Origins) -> Model:
    """
    Build `model` from `data`; its first complaint becomes an error where the value was written.

    `origins` says for prefixes of the model's locations which document and place they came from; the longest wins,
    and `()` must be among them.
    """
    try:
        return model.model_validate_json(json.dumps(data))
    except ValidationError as error:
        problems = error.errors(include_url=False)  # a misspelt key first: it explains the missing one
        details = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
        location = tuple(details["loc"])
        prefix = next(location[:n] for n in range(len(location), -1, -1) if location[:n] in origins)
        document, place = origins[prefix]
        raise document.error(place + location[len(prefix) :], complaint(model, location, details)) from error


def kind_of(value: object) -> str:
    """The YAML name of a Python value's type."""
    names = {str: "text", bool: "true/false", int: "a whole number", float: "a number", type(None): "nothing"}
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    return names.get(type(value), type(value).__name__)


def complaint(model: type[BaseModel], location: Place, details: Mapping[str, Any]) -> str:
    """One pydantic error in the words of a spec's author: what stands there, what is valid, the nearest name."""
    name = ".".join(str(part) for part in location)
    if details["type"] == "extra_forbidden":
        return f"unknown key {str(location[-1])!r}; {nearest(str(location[-1]), fields_at(model, location[:-1]))}"
    if details["type"] == "missing":
        return f"missing key {str(location[-1])!r}"
    found = details["input"]
    shown = kind_of(found) if isinstance(found, dict | list) else f"{kind_of(found)} {found!r}"
    expected = re.sub("^Value error, |^(Input|Tuple|Dictionary|String) (?=should)", "", details["msg"])
    if not name:
        return expected
    return f"{name}: {expected}" + ("" if details["type"] == "value_error" else f"; found {shown}")


def fields_at(model: type[BaseModel], location: Place) -> list[str]:
    """The keys that are valid at `location` inside `model`."""
    parts = iter(location)
    for part in parts:
        if isinstance(part, int):
            continue  # in a list of settings
        field = model.model_fields.get(str(part))
        inner = submodel(field.annotation) if field else None
        if field is None or inner is None:
            return []
        if get_origin(field.annotation) is dict:  # of settings by name: the name is the next part
            next(parts, None)
        model = inner
    return sorted(model.model_fields)


def submodel(annotation: Any) -> type[BaseModel] | None:
    """The settings class inside an annotation such as `Keep` or `Keep | None`."""
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
