"""`LiveOptions`: from the command line and back, and what is wrong with them."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from harness.engine.runtimes import RUNTIMES, all_options, runtime_options
from harness.live.options import KERNEL, LiveOptions, LoadSettings, parse_address
from harness.runtime.options import RuntimeOptions, create_runtime

GIVEN: list[dict[str, Any]] = [
    {},
    {"network": "kernel"},
    {"toxiproxy": "http://127.0.0.1:8474"},
    {"load": "locust"},
    {"locust-workers": 2, "locust-master": "127.0.0.1:5557", "locust-plugin": ["one", "two"]},
]


@pytest.mark.parametrize("given", GIVEN)
def test_its_arguments_give_it_again(given: dict[str, Any]) -> None:
    options = LiveOptions.from_arguments(given)
    words = list(options.arguments())
    again: dict[str, Any] = {}
    for name, value in zip(words[::2], words[1::2], strict=True):
        (option,) = (one for one in all_options() if f"--{one.name}" == name)
        if option.many:
            again.setdefault(option.name, []).append(value)
        else:
            again[option.name] = value if option.min is None else int(value)
    assert LiveOptions.from_arguments(again) == options
    assert pickle.loads(pickle.dumps(options)) == options


def test_defaults_need_no_argument() -> None:
    assert LiveOptions().arguments() == ()
    assert LiveOptions.from_arguments({}) == LiveOptions()


def test_an_option_of_locust_means_locust() -> None:
    assert LiveOptions.from_arguments({"locust-workers": 2}).load == LoadSettings("locust", 2)


MASTER = LoadSettings("locust", master="127.0.0.1:5557")


@pytest.mark.parametrize(
    ("options", "jobs", "about"),
    [
        (LiveOptions(load=LoadSettings("asyncio", 2)), 1, ["--locust-workers"]),
        (LiveOptions(load=LoadSettings("locust", master="192.0.2.1")), 1, ["HOST:PORT"]),
        (LiveOptions(load=LoadSettings("locust", master="0.0.0.0:5557")), 1, ["not all addresses"]),
        (LiveOptions(load=LoadSettings("locust", master="192.0.2.1:5557")), 1, ["cannot listen there"]),
        (LiveOptions(load=MASTER), 2, ["--jobs 2"]),
        (LiveOptions(KERNEL, MASTER), 1, ["--network kernel"]),
        (LiveOptions(KERNEL, MASTER, "http://127.0.0.1:1"), 2, ["--toxiproxy", "--network", "--jobs"]),
        (LiveOptions(toxiproxy="ftp://nowhere"), 1, ["--toxiproxy"]),
    ],
)
def test_every_problem_at_once(
    options: LiveOptions, jobs: int, about: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.live.kernel.probe.missing", lambda: ())
    monkeypatch.setattr("harness.live.options.missing_locust", lambda: None)
    problems = options.problems(jobs)
    assert len(problems) == len(about)
    for problem, part in zip(problems, about, strict=True):
        assert part in problem


def test_what_the_machine_lacks_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.live.kernel.probe.missing", lambda: ("nft: not found", "privileges: none"))
    assert len(LiveOptions(KERNEL).problems()) == 2
    assert LiveOptions().problems() == ()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("a:1", ("a", 1)),
        ("192.0.2.1:65535", ("192.0.2.1", 65535)),
        ("a", None),
        ("a:0", None),
        ("::1:5", None),
    ],
)
def test_addresses(text: str, address: tuple[str, int] | None) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("name", RUNTIMES)
def test_every_registered_runtime_keeps_the_contract(name: str) -> None:
    options: RuntimeOptions = runtime_options(name, {})
    assert options.name == name
    assert options.arguments() == ()
    assert options.capabilities().available
    assert pickle.loads(pickle.dumps(options)) == options
    assert create_runtime(options).name == name
