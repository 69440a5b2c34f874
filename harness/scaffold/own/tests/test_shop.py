from shop import Visit, system

from harness import Load, Session, simulate


def test_a_lost_backend_costs_nobody_an_answer() -> None:
    async def body(session: Session) -> list[Visit]:
        load = Load.model_validate({"arrive": "2/s", "for": "20s", "mix": "all"})
        killed = await session.primitives.kill("backend-east")
        await session.driver({"shoppers": load}, seed=7, drain_s=30).run()
        await killed.undo()
        assert not session.failures
        return [record.row for record in session.records if isinstance(record.row, Visit)]

    visits = simulate(system, body, seed=7)
    assert len(visits) > 100
    assert all(visit.ok for visit in visits)
