from __future__ import annotations

from dataclasses import replace

from harness.gates.result import Verdict
from harness.report.problems import all_problems, problems
from tests.report.samples import ARM, BREACH, ERROR, FAILED, INCONCLUSIVE, PASSED


def test_a_passed_run_has_none() -> None:
    assert problems(PASSED) == ()


def test_a_breach_names_gate_line_interval_fault_and_replay() -> None:
    (problem,) = problems(FAILED)
    details = dict(problem.details)
    assert problem.where.endswith("edge-appliance-loss.chaos.yaml:14")
    assert "91.32% [90.12%, 92.41%]" in details["measured"]
    assert "≥ 99.9%" in details["measured"]
    assert "edge-a-1, 60 s to 120 s" in details["fault"]
    assert details["switched off"] == "player.failover"
    assert problem.details[-1] == ("replay", FAILED.replay)


def test_doubt_says_how_many_samples_it_would_take() -> None:
    found = {problem.subject: dict(problem.details) for problem in problems(INCONCLUSIVE)}
    assert found["playback-success"]["needs"] == "2,591 more samples for a claim in 95% of runs"
    assert "affected nothing" in found["fault link-cut"]["fault"]


def test_a_run_that_broke_is_a_problem_of_its_own() -> None:
    (problem,) = problems(ERROR)
    assert problem.verdict is Verdict.ERROR
    assert "identity-1" in problem.reason


def test_what_follows_from_one_cause_is_in_its_block() -> None:
    broken = replace(FAILED, verdict=Verdict.ERROR, reason="gateway at 8 s: HostError: no safeguard 'x'")
    arm = replace(ARM, verdict=Verdict.ERROR, reason=f"without player.failover: {broken.reason}")
    (problem,) = problems(replace(broken, arms=(arm,)))
    assert problem.reason == broken.reason
    also = [text for label, text in problem.details if label == "also"]
    assert also[0] == f"error: arm {arm.name}"
    assert also[1].startswith(f"failed: {problems(FAILED)[0].subject}: ")
    assert problem.details[-1] == ("replay", FAILED.replay)


def test_gates_that_break_alike_are_one_problem_and_the_others_keep_theirs() -> None:
    broken = replace(BREACH, name="mine", verdict=Verdict.ERROR, reason="KeyError (mine.py:3, in judge)")
    gates = (BREACH, broken, replace(broken, name="mine-2"))
    result = replace(PASSED, verdict=Verdict.ERROR, reason=f"mine: {broken.reason}", gates=gates)
    error, failed = problems(result)
    assert (error.subject, error.verdict) == ("mine", Verdict.ERROR)
    assert ("also", "error: mine-2") in error.details
    assert (failed.subject, failed.verdict) == (BREACH.name, Verdict.FAILED)


def test_an_arm_that_did_not_breach_is_named() -> None:
    arm = replace(ARM, verdict=Verdict.FAILED, gates=(replace(BREACH, verdict=Verdict.PASSED),))
    (problem,) = problems(replace(PASSED, verdict=Verdict.FAILED, arms=(arm,)))
    assert problem.subject == "arm without player.failover"
    assert dict(problem.details)["must"] == "breach"


def test_the_worst_comes_first() -> None:
    verdicts = [problem.verdict for problem in all_problems([INCONCLUSIVE, FAILED, ERROR, PASSED])]
    assert verdicts == [Verdict.ERROR, Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE]
