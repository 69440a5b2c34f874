"""A plugin of Locust's, as people write them: it notes the response time of every request, one a line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from locust import events


def note(response_time: float, **_: Any) -> None:
    with Path(os.environ["TESTS_LOCUST_PLUGIN"]).open("a") as file:
        file.write(f"{response_time!r}\n")


events.request.add_listener(note)
