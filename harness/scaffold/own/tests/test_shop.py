from shop import Visit, system

from harness.experiment.model import Load
from harness.runtime.contract import RunSettings, Session
from harness.sim.runtime import SimRuntime
from harness.workload.driver import Driver


def test_a_lost_backend_costs_nobody_an_answer() -> None:
    seen: list[Visit] = []

    async def body(session: Session) -> None:
        load = Load.model_validate({"arrive": "2/s", "for": "20s", "mix": "all"})
        killed = await session.primitives.kill("backend-east")
        await Driver(session, system, {"shoppers": load}, seed=7, drain_s=30).run()
        await killed.undo()
        assert not session.failures
        seen.extend(record.row for record in session.records if isinstance(record.row, Visit))

    SimRuntime().run(RunSettings(system, seed=7), body)
    assert len(seen) > 100
    assert all(visit.ok for visit in seen)
