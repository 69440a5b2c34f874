"""Whether the ablation arms fit the system, the SLOs and the gates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.diagnostics import Code, Diagnostic, Path, unknown_name
from harness.experiment.model import Arm
from harness.experiment.parse import Draft
from harness.gates.base import Gate
from harness.sli.base import Slo
from harness.sli.checks import check_where
from harness.system import System


def validate_arms(
    draft: Draft, system: System | None, slos: Mapping[str, Slo | None] | None
) -> Iterator[Diagnostic]:
    source = draft.source
    gates = [gate for gate in draft.gates if isinstance(gate, Gate)]
    gated = [gate.slo_name for gate in gates if gate.slo_name is not None]
    # A gate that is wrong may be the one that an arm is about.
    unsure = any(
        gate is None or draft.is_suspect(("gates", index, gate.key)) for index, gate in enumerate(draft.gates)
    ) or any(slos is not None and name not in slos for name in gated)
    before: list[tuple[int, Arm]] = []
    for index, arm in enumerate(draft.arms):
        if arm is None:
            continue
        path: Path = ("arms", index)
        for problem in _safeguards(arm, system):
            yield source.locate(problem, path)
        if slos is not None and arm.slo not in slos:
            yield source.locate(unknown_name("SLO", arm.slo, slos), (*path, "slo"))
        elif arm.slo not in gated and not unsure:
            yield source.at(
                (*path, "slo"),
                Code.CONFLICT,
                f"no gate of this experiment is about {arm.slo}",
                f"its gates are about {', '.join(dict.fromkeys(gated)) or 'no SLO'}",
            )
        elif slos is not None and (slo := slos.get(arm.slo)) is not None:
            for problem in check_where(arm.where, slo, system):
                yield source.locate(problem, path)
        twin = next((line for line, seen in before if seen == arm), None)
        if twin is not None:
            yield source.at(path, Code.DUPLICATE, f"duplicate arm (first on line {twin})", "remove one")
        if not draft.is_suspect(path):
            before.append((source.mark(path).line, arm))


def _safeguards(arm: Arm, system: System | None) -> Iterator[Diagnostic]:
    """What is wrong with `without`, at paths below the arm."""
    known = None if system is None else [safeguard.name for safeguard in system.safeguards]
    for place, name in enumerate(arm.safeguards):
        path: Path = ("without",) if isinstance(arm.without, str) else ("without", place)
        if system is not None and known is not None and name not in known:
            yield unknown_name("safeguard", name, known, f"system {system.name}").below(path)
        elif name in arm.safeguards[:place]:
            yield Diagnostic(Code.DUPLICATE, f"'{name}' is given twice", "once is enough", path=path)
