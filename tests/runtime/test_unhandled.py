"""Errors that nobody handles are reported in one line, with the error itself."""

from __future__ import annotations

import json
import logging

import aiohttp
import pytest

from harness.runtime.journal import captured_logs, is_defect, report_context
from harness.text import describe_error

type Reports = list[tuple[str, BaseException | None]]


def raised() -> ValueError:
    try:
        raise ValueError("odd")
    except ValueError as error:
        return error


def test_an_error_in_one_line() -> None:
    assert describe_error(KeyError()) == "KeyError"
    line = raised.__code__.co_firstlineno + 2
    assert describe_error(raised()) == f"ValueError: odd (tests/runtime/test_unhandled.py:{line}, in raised)"


def test_the_place_of_an_error_is_in_the_code_of_the_user() -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads("nonsense")
    assert "(tests/runtime/test_unhandled.py:" in describe_error(caught.value)


def test_what_asyncio_gives_to_an_exception_handler() -> None:
    reports: Reports = []

    def report(message: str, error: BaseException | None) -> None:
        reports.append((message, error))

    error = raised()
    report_context(report, {"message": "Task failed", "exception": error})
    report_context(report, {"message": "strange"})
    assert reports == [(f"Task failed: {describe_error(error)}", error), ("strange", None)]


def test_logs_are_captured_for_the_time_of_the_block(caplog: pytest.LogCaptureFixture) -> None:
    reports: Reports = []

    def report(message: str, error: BaseException | None) -> None:
        reports.append((message, error))

    error, logger = raised(), logging.getLogger("aiohttp.server")
    with captured_logs(report):
        logger.error("Error handling request from %s", "10.0.0.1", exc_info=error)
        logger.warning("odd: %d", 3)
        logger.info("unimportant")
    assert reports == [(f"Error handling request: {describe_error(error)}", error), ("odd: 3", None)]
    assert not caplog.records
    logger.warning("afterwards")
    assert len(reports) == 2
    assert [record.message for record in caplog.records] == ["afterwards"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, False),
        (ConnectionResetError(), False),
        (TimeoutError(), False),
        (aiohttp.ServerDisconnectedError(), False),
        (ValueError(), True),
    ],
)
def test_what_no_network_causes_is_a_defect(error: BaseException | None, expected: bool) -> None:
    assert is_defect(error) is expected
