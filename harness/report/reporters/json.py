"""`json`: the document that `harness run --json` prints, in a file."""

from __future__ import annotations

from harness.engine.events import EngineEvent, SuiteFinished
from harness.history.write import json_text
from harness.report.reporter import Reporter, reporter
from harness.verdict.document import suite_document


@reporter("json")
class JsonReporter(Reporter):
    """The results of the suite as one JSON document, suite.json."""

    file = "suite.json"

    def __call__(self, event: EngineEvent) -> None:
        if isinstance(event, SuiteFinished):
            document = suite_document(event.results, event.verdict, event.exit_code, event.pooled)
            self.suite_file(event).write_text(json_text(document), encoding="utf-8")
