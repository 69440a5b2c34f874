"""Rows of a system between processes."""

from __future__ import annotations

import pytest

from harness.live.messages import NODE, Emitted, RowCodec, TableRow
from harness.runtime.messages import MessageError
from harness.system import Event
from tests.support.toy_system import Visit, system

ROWS = RowCodec(system)


def sent(row: object) -> object:
    (arrived,) = NODE.decode(NODE.encode(Emitted(2.5, "shopper-1", ROWS.encode(row))))
    assert arrived.t_s == 2.5
    return ROWS.decode(arrived.row)


@pytest.mark.parametrize(
    "row",
    [
        Visit(1 / 3, "shopper-1", "east", "fast", True, 0.1 + 0.2, None),
        Event("gateway.retry", {"to": "backend-west", "n": 2, "s": 1.0}),
    ],
)
def test_rows_arrive_as_they_were(row: object) -> None:
    assert sent(row) == row


@pytest.mark.parametrize("row", [TableRow("no-such-table", [1.0]), TableRow("visits", [1.0])])
def test_a_row_that_does_not_fit_the_system_is_refused(row: TableRow) -> None:
    with pytest.raises(MessageError):
        ROWS.decode(row)
