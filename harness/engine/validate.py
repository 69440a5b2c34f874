"""Whether an experiment fits its system: names, targets, times, SLOs and their SQL.

Runs on drafts, so that a mistake in one entry hides none in another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.diagnostics import Diagnostic, unknown_name
from harness.engine.runtimes import RUNTIMES
from harness.engine.validate_arms import validate_arms
from harness.engine.validate_gates import validate_gates
from harness.engine.validate_load import validate_loads
from harness.engine.validate_timeline import validate_timeline
from harness.experiment.parse import Draft
from harness.runtime.capabilities import Capabilities
from harness.sli.base import Slo
from harness.system import System


def validate(
    draft: Draft,
    system: System | None,
    slos: Mapping[str, Slo | None] | None,
    capabilities: Capabilities | None,
) -> Iterator[Diagnostic]:
    """Every mistake, in no order, but nothing about placeholders.

    `system` None: it is not known, and its names are not checked. `slos`: one that is not valid is None; None
    for all where their file is not valid, and then nothing else is reported about SLOs. `capabilities`: what the
    runtime can do; None: that is not checked.
    """
    for check in (
        _validate_runtime(draft),
        () if system is None else validate_loads(draft, system),
        validate_timeline(draft, system, capabilities),
        validate_gates(draft, system, slos),
        validate_arms(draft, system, slos),
    ):
        yield from draft.reliable(check)


def _validate_runtime(draft: Draft) -> Iterator[Diagnostic]:
    runtime = draft.source.value.get("runtime")
    if isinstance(runtime, str) and runtime not in RUNTIMES:
        yield draft.source.locate(unknown_name("runtime", runtime, RUNTIMES), ("runtime",))
