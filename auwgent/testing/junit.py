"""The results of tests as a JUnit report, which other tools read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from auwgent.testing.trial import Result

_UNSENDABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0


def report(results: Sequence[Result]) -> str:
    """Return the document: a suite for each model, a case for each test and repetition."""
    root = ET.Element("testsuites", name="auwgent")
    for model in dict.fromkeys(result.model for result in results):
        own = [result for result in results if result.model == model]
        suite = ET.SubElement(root, "testsuite", _counts(own), name=_clean(model))
        for result in own:
            _case(suite, result)
    for name, value in _counts(results).items():
        root.set(name, value)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _case(suite: ET.Element, result: Result) -> None:
    table = result.trial.table
    name = table.name if table.repeat == 1 else f"{table.name} [{result.repeat}]"
    file, _, line = result.trial.place.rpartition(":")
    case = ET.SubElement(
        suite, "testcase", classname=_clean(result.model), name=_clean(name), time=_seconds([result])
    )
    if line.isdigit():
        case.set("file", _clean(file))
        case.set("line", line)
    if not result.passed:
        text = _clean("\n".join(result.problems))
        failure = ET.SubElement(case, "failure", message=text.splitlines()[0], type="failure")
        failure.text = text


def _counts(results: Sequence[Result]) -> dict[str, str]:
    failed = sum(not result.passed for result in results)
    return {
        "tests": str(len(results)),
        "failures": str(failed),
        "errors": "0",
        "skipped": "0",
        "time": _seconds(results),
    }


def _seconds(results: Sequence[Result]) -> str:
    return f"{sum(one.outcome.seconds for one in results if one.outcome is not None):.3f}"


def _clean(text: str) -> str:
    return _UNSENDABLE.sub("\ufffd", text)
