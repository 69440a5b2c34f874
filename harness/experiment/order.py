"""`order`: in which order tasks take their steps that are ready at one moment of virtual time."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from harness.diagnostics import Code
from harness.errors import InvalidValue
from harness.text import quote

FIFO = "fifo"
PATTERN = r"^(fifo|(random|pct):[0-9]{1,9})$"


def parse_order(text: str) -> tuple[str, int]:
    """The kind of order and its seed, 0 for `fifo`. Raises InvalidValue."""
    if not re.fullmatch(PATTERN, text):
        raise InvalidValue(Code.BAD_VALUE, f"found {quote(text)}", "expected fifo, random:SEED or pct:SEED")
    kind, _, seed = text.partition(":")
    return kind, int(seed or 0)


def _check(text: str) -> str:
    parse_order(text)
    return text


type Order = Annotated[str, AfterValidator(_check), Field(json_schema_extra={"pattern": PATTERN})]
