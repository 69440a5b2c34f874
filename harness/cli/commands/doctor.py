from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.cli.options import Json
from harness.cli.outcome import Done

if TYPE_CHECKING:
    from harness.faults.primitives import Primitive
    from harness.live.doctor import Finding


def doctor(as_json: Json = False) -> Done:
    """Show what this machine can do in live runs, by trying. Exit 3 when it cannot run any."""
    from harness.gates.result import EXIT_CODES, Verdict
    from harness.live.doctor import BY, BY_KERNEL, examine, examine_kernel, lacks, primitives
    from harness.runtime.contract import KERNEL, PROXY

    findings = examine()
    kernel = examine_kernel()
    networks = {PROXY: primitives(findings), KERNEL: primitives((*findings, *kernel), BY_KERNEL)}
    _show("for every live run", findings)
    _show(f"for --network {KERNEL}", kernel)
    lacking = lacks()
    for primitive in BY:
        print(f"\n{primitive.value}")
        for network, can in networks.items():
            print(
                f"  {network:<8}{can.get(primitive) or lacking.get(primitive, 'not on this machine: see above')}"
            )
    document = {
        "findings": _document(findings),
        "kernel_findings": _document(kernel),
        "primitives": _named(networks[PROXY]),
        "networks": {network: _named(can) for network, can in networks.items()},
    }
    return Done(0 if networks[PROXY] else EXIT_CODES[Verdict.ERROR], document)


def _show(title: str, findings: Sequence[Finding]) -> None:
    print(f"{title}:")
    for finding in findings:
        print(f"  {'ok ' if finding.ok else 'NO '} {finding.name:<12}{finding.detail}")


def _document(findings: Sequence[Finding]) -> list[dict[str, object]]:
    return [{"name": f.name, "ok": f.ok, "detail": f.detail} for f in findings]


def _named(can: Mapping[Primitive, str]) -> dict[str, str]:
    return {primitive.value: how for primitive, how in can.items()}
