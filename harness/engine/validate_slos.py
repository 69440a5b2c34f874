"""Whether the SLOs of a file can be computed from a system's tables."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnostics import Diagnostic
from harness.experiment.parse import SlosDraft
from harness.sli.base import Slo
from harness.sli.checks import check_slo
from harness.system import System


def validate_slos(draft: SlosDraft, system: System | None) -> Iterator[Diagnostic]:
    """Every mistake in the SLOs, but nothing about placeholders.

    `system` None: it could not be loaded, and its tables are not known.
    """
    for name, slo in draft.slos.items():
        if isinstance(slo, Slo):
            yield from draft.reliable(
                draft.source.locate(problem, (name,)) for problem in check_slo(slo, system)
            )
