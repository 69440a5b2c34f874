from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.cli.command import CommandResult, Json, echo

if TYPE_CHECKING:
    from harness.live.kernel.probe import Finding
    from harness.runtime.options import Capabilities


def doctor(as_json: Json = False) -> CommandResult:
    """Show what this machine can do in live runs, by trying. Exit 3 when it cannot run any."""
    from harness.faults.primitives import Capability
    from harness.gates.result import EXIT_CODES, Verdict
    from harness.live.doctor import examine
    from harness.live.kernel.probe import probe
    from harness.live.options import KERNEL, PROXY, LiveOptions
    from harness.runtime.options import Capabilities

    findings = examine()
    kernel = probe()
    works = {PROXY: _all_ok(findings), KERNEL: _all_ok((*findings, *kernel))}
    asked = {network: LiveOptions(network).capabilities() for network in works}
    can = {network: asked[network] if ok else Capabilities({}) for network, ok in works.items()}
    _print_findings("for every live run", findings)
    _print_findings(f"for --network {KERNEL}", kernel)
    for capability in Capability:
        print(f"\n{capability.value}")
        for network, found in can.items():
            lack = asked[network].lacks.get(capability, "not on this machine: see above")
            echo(f"  {network:<8}{found.available.get(capability) or lack}")
    networks = {network: _document(found) for network, found in can.items()}
    document = {
        "findings": _findings_document(findings),
        "kernel_findings": _findings_document(kernel),
        "capabilities": networks[PROXY],
        "networks": networks,
    }
    return CommandResult(0 if works[PROXY] else EXIT_CODES[Verdict.ERROR], document)


def _all_ok(findings: Sequence[Finding]) -> bool:
    return all(finding.ok for finding in findings)


def _print_findings(title: str, findings: Sequence[Finding]) -> None:
    print(f"{title}:")
    for finding in findings:
        echo(f"  {'ok ' if finding.ok else 'NO '} {finding.name:<12}{finding.detail}")


def _findings_document(findings: Sequence[Finding]) -> list[dict[str, object]]:
    return [{"name": f.name, "ok": f.ok, "detail": f.detail} for f in findings]


def _document(capabilities: Capabilities) -> dict[str, str]:
    return {capability.value: how for capability, how in capabilities.available.items()}
