"""JUnit XML of a search: one test case for each property that was judged, and one for each finding."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from harness.explore.campaign import Result
from harness.explore.finding import necessity
from harness.explore.keep import Kept
from harness.explore.text import verdict_of
from harness.gates.result import Verdict
from harness.text import escape_controls


def to_junit(target: str, result: Result, kept: Sequence[Kept]) -> str:
    """The document. A finding is a `failure`; a search that shows nothing, or broke off, an `error`."""
    root = ET.Element("testsuites", name="harness fuzz")
    suite = ET.SubElement(root, "testsuite", name=f"fuzz {target}", time=f"{result.elapsed_s:.3f}")
    violated = {one.finding.violation.key for one in kept}
    for name in result.judged:
        if name not in violated:
            ET.SubElement(suite, "testcase", classname=target, name=name)
    for one in kept:
        finding = one.finding
        case = ET.SubElement(suite, "testcase", classname=target, name=finding.name)
        if one.file is not None:
            case.set("file", str(one.file))
        failure = ET.SubElement(case, "failure", message=finding.violation.reason, type="failed")
        failure.text = "\n".join(f"{fault} ({needed})" for fault, needed in necessity(finding))
    verdict = verdict_of(result, kept)
    if verdict not in (Verdict.PASSED, Verdict.FAILED):
        case = ET.SubElement(suite, "testcase", classname=target, name="search")
        reason = result.broken or next((one.problem for one in kept if one.problem), verdict.value)
        ET.SubElement(case, "error", message=reason, type=verdict.value)
    for element in (suite, root):
        element.set("tests", str(len(suite)))
        element.set("failures", str(len(suite.findall("testcase/failure"))))
        element.set("errors", str(len(suite.findall("testcase/error"))))
    ET.indent(root)
    document = '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
    return escape_controls(document, keep="\n")
