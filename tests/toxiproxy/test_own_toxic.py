"""The toxic of docs/toxiproxy.md, as it is printed there, works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness.toxiproxy.toxics.catalogue import TOXICS
from tests.toxiproxy.support import now, on_loop, serving, talk, through

PAGE = Path(__file__).parents[2] / "docs" / "toxiproxy.md"

HEADER = """
from dataclasses import dataclass
from harness import YEAR_MS, Behaviour, Stage, attribute
"""


def printed(name: str) -> str:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return next(str(block) for block in blocks if f"class {name}(" in block)


@pytest.mark.parametrize("name", ["Noop", "Hold"])
@on_loop
async def test_the_page(name: str) -> None:
    found: dict[str, object] = {}
    exec(HEADER + printed(name), found)
    kind = found[name]
    assert isinstance(kind, type)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TOXICS, "mine", kind)
        async with serving() as api, through(api) as streams:
            attributes: dict[str, Any] = {"hold": 50} if name == "Hold" else {}
            await api.toxic("mine", **attributes)
            start_s = now()
            assert await talk(streams) == b"hello"
            assert (now() - start_s >= 0.05) == (name == "Hold")
            if name == "Hold":
                bad = {"type": "mine", "name": "bad", "attributes": {"hold": -1}}
                refused = await api.call("POST", "/proxies/p/toxics", bad)
                assert "hold.hold must be from 0" in refused.json["error"]
                streams[1].write(b"a")
                own = "/proxies/p/toxics/hold_downstream"
                await api.call("PATCH", own, {"attributes": {"hold": 60_000}})
                streams[1].write(b"b")
                await api.call("DELETE", own)
                assert await streams[0].readexactly(2) == b"ab"
