from __future__ import annotations

from harness.cli.options import Json
from harness.cli.outcome import Done


def doctor(as_json: Json = False) -> Done:
    """Show what this machine can do in live runs, by trying. Exit 3 when it cannot run any."""
    from harness.runtimes.live.doctor import examine, primitives
    from harness.verdict.model import EXIT_CODES, Verdict

    findings = examine()
    can = primitives(findings)
    width = max(len(name) for name in (*(f.name for f in findings), *(p.value for p in can)))
    for finding in findings:
        print(f"{'ok ' if finding.ok else 'NO '} {finding.name:<{width}}  {finding.said}")
    for primitive, how in can.items():
        print(f"can {primitive.value:<{width}}  {how}")
    document = {
        "findings": [{"name": f.name, "ok": f.ok, "said": f.said} for f in findings],
        "primitives": {primitive.value: how for primitive, how in can.items()},
    }
    return Done(0 if can else EXIT_CODES[Verdict.ERROR], document)
