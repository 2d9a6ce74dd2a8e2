"""Finds the position of each key and value of a TOML text. The parser is loaded only when needed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auwgent.config.keys import Aspect, Key

if TYPE_CHECKING:
    from tree_sitter import Node

_KEYS = ("bare_key", "quoted_key", "dotted_key")


@dataclass(frozen=True, slots=True)
class TextSpan:
    """Part of a text, from `start` up to `end`, each a line and a column that count characters from 0."""

    start: tuple[int, int]
    end: tuple[int, int]


class Positions:
    """The spans of all keys and values of a text that is valid TOML."""

    def __init__(self, text: str) -> None:
        self._lines = text.encode().split(b"\n")
        self._keys: dict[Key, TextSpan] = {(): TextSpan((0, 0), (0, 0))}
        self._values: dict[Key, TextSpan] = {}
        self._lists: dict[Key, int] = {}  # how many elements a [[list of tables]] has so far
        self.scalars: list[tuple[Key, TextSpan]] = []
        for node in _parsed(text).named_children:
            if node.type == "pair":
                self._add_pair((), node)
            elif node.type in ("table", "table_array_element"):
                head, *pairs = (child for child in node.named_children if child.type in (*_KEYS, "pair"))
                table = self._add_header(head, is_list=node.type == "table_array_element")
                for pair in pairs:
                    self._add_pair(table, pair)

    def find(self, key: Key, about: Aspect) -> TextSpan:
        """Return the span of a key or its value; of the nearest table around it where the text has no such key."""
        while key not in self._keys and key not in self._values:
            key = key[:-1]
        first, second = (self._values, self._keys) if about == "value" else (self._keys, self._values)
        return first.get(key) or second[key]

    def _add_header(self, head: Node, *, is_list: bool) -> Key:
        *parents, last = self._parts(head)
        key: Key = ()
        for name, span in parents:
            key = (*key, name)
            self._keys.setdefault(key, span)
            if key in self._lists:
                key = (*key, self._lists[key] - 1)
        name, span = last
        key = (*key, name)
        if is_list:
            self._keys.setdefault(key, span)
            self._lists[key] = self._lists.get(key, 0) + 1
            key = (*key, self._lists[key] - 1)
        self._keys[key] = span  # also where [a.b] came before [a]
        return key

    def _add_pair(self, table: Key, node: Node) -> None:
        head, value = (child for child in node.named_children if child.type != "comment")
        key = table
        for name, span in self._parts(head):
            key = (*key, name)
            self._keys.setdefault(key, span)
        self._add_value(key, value)

    def _add_value(self, key: Key, node: Node) -> None:
        self._values[key] = self._span(node)
        children = [child for child in node.named_children if child.type != "comment"]
        if node.type == "array":
            for index, child in enumerate(children):
                self._add_value((*key, index), child)
        elif node.type == "inline_table":
            for child in children:
                self._add_pair(key, child)
        else:
            self.scalars.append((key, self._span(node)))

    def _parts(self, node: Node) -> Iterator[tuple[str, TextSpan]]:
        if node.type == "dotted_key":
            for child in node.named_children:
                yield from self._parts(child)
        else:
            text = (node.text or b"").decode()
            yield (
                next(iter(tomllib.loads(f"{text} = 0"))) if node.type == "quoted_key" else text,
                self._span(node),
            )

    def _span(self, node: Node) -> TextSpan:
        return TextSpan(self._place(*node.start_point), self._place(*node.end_point))

    def _place(self, line: int, column: int) -> tuple[int, int]:
        """tree-sitter counts bytes."""
        return line, len(self._lines[line][:column].decode())


def head_ending_at(text: str, place: tuple[int, int]) -> TextSpan | None:
    """Return the key of the pair, or the name in the header, that ends at a place, in a text that need not be valid."""
    lines = text.encode().split(b"\n")

    def at(line: int, column: int) -> tuple[int, int]:
        return line, len(lines[line][:column].decode())

    nodes = [_parsed(text)]
    for node in nodes:
        children = node.named_children
        head, end = (children[0], children[1:2]) if node.type == "pair" else (node, [node])
        if node.type in ("pair", *_KEYS) and any(at(*each.end_point) == place for each in end):
            return TextSpan(at(*head.start_point), at(*head.end_point))
        nodes += children
    return None


def _parsed(text: str) -> Node:
    import tree_sitter_toml
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_toml.language())).parse(text.encode()).root_node
