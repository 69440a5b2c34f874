"""`html`: a page for each run, and an index of the suite that links them."""

from __future__ import annotations

from harness.engine.events import EngineEvent, RunJudged, SuiteFinished
from harness.report.pages import RUN_PAGE, index_page, recorded_run_page
from harness.report.reporter import Reporter, reporter
from harness.report.suite import suite_facts


@reporter("html")
class HtmlReporter(Reporter):
    """Pages: report.html in each run directory, index.html for the suite."""

    default = True
    file = "index.html"
    artifacts = True

    def __call__(self, event: EngineEvent) -> None:
        match event:
            case RunJudged():
                page = recorded_run_page(event.run, event.result)
                (event.run.directory / RUN_PAGE).write_text(page, encoding="utf-8")
            case SuiteFinished() if event.results:
                target = self.suite_file(event)
                page = index_page(
                    event.results, target.parent, suite_facts(event.results, event.elapsed_s), event.pooled
                )
                target.write_text(page, encoding="utf-8")
