"""The entries of a file (loads, faults, gates, arms, SLOs) to models, with what is specific to each kind of entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel

from harness.diagnostics import Code, Diagnostic, Path
from harness.errors import InvalidValue
from harness.experiment.error_translation import build_model, describe, keys_of, meant_key, null_paths
from harness.experiment.load import Load
from harness.experiment.model import (
    Arm,
    FaultDefinition,
    GateDefinition,
    SloDefinition,
    Target,
    check_name,
)
from harness.experiment.partial_parse import parse_partially
from harness.experiment.source import Source
from harness.text import did_you_mean, nearest, quote

type Faults = Mapping[str, type[FaultDefinition]]
"""The kinds of faults by name."""

type Gates = Mapping[str, type[GateDefinition]]
"""The kinds of gates by key."""

type SloKinds = Sequence[type[SloDefinition]]
"""The kinds of SLO. The first one explains what an SLO of no kind lacks."""


@dataclass(frozen=True, slots=True)
class EntryParser:
    """Builds the parts of a file. Mistakes go to `problems`, paths of placeholders to `suspect`."""

    source: Source
    problems: list[Diagnostic]
    faults: Faults = field(default_factory=dict)
    gates: Gates = field(default_factory=dict)
    kinds: SloKinds = ()
    suspect: set[Path] = field(default_factory=set)

    def model[M: BaseModel](self, path: Path, value: Any, model: type[M], owner: str) -> M | None:
        """The model, of what is valid where not all is."""
        built, problems = build_model(self.source, path, value, model, owner)
        if built is None and isinstance(value, dict):
            partial = parse_partially(
                value, model, uncompared={*keys_of(FaultDefinition)} - {"every", "times"}
            )
            built = partial.model
            self.suspect.update((*path, *one) for one in partial.suspect)
            problems += [self.source.locate(describe(error, model, owner), path) for error in partial.checks]
        self.suspect.update((*path, *place) for place in null_paths(value))
        self.problems.extend(problems)
        return built

    def add(
        self, path: Path, code: Code, found: str, allowed: str = "", hint: str = "", *, key: bool = False
    ) -> None:
        self.problems.append(self.source.at(path, code, found, allowed, hint, key=key))

    def loads(self, value: Any) -> dict[str, Load | None]:
        if not isinstance(value, dict) or not value:
            self.add(
                ("load",),
                Code.WRONG_TYPE,
                f"found {quote(value)}",
                "expected a workload, for example {viewers: {arrive: 4/s, for: 2m, mix: home}}",
            )
            return {}
        return {name: self.load(("load", name), name, item) for name, item in value.items()}

    def load(self, path: Path, name: str, value: Any) -> Load | None:
        if not isinstance(value, dict) or "arrive" not in value:
            return self.model(path, value, Load, quote(name))
        fitted, others = dict(value), keys_of(Load)
        if value.get("workload", name) != name:
            self._check_name(path, name)
        staged = isinstance(value["arrive"], list)
        has_duration = "for" in value or any(
            nearest(key, others) == "for" for key in value.keys() - {*others}
        )
        for problem in Load.mismatches(
            value["arrive"], has_duration=has_duration and (not staged or "for" in value)
        ):
            self.problems.append(self.source.locate(problem, path))
        if staged:
            fitted.pop("for", None)
        elif "for" not in value:
            fitted["for"] = "1s"
            self.suspect.add((*path, "for"))
        if staged and not value["arrive"]:
            fitted |= {"arrive": "1/s", "for": "1s"}
            self.suspect.add((*path, "arrive"))
        return self.model(path, fitted, Load, quote(name))

    def targets(self, value: Any) -> dict[str, Target | None]:
        if not isinstance(value, dict):
            allowed = "expected targets by name, for example {victim: {role: edge, pick: 1}}"
            self.add(("targets",), Code.WRONG_TYPE, f"found {quote(value)}", allowed)
            return {}
        for name in value:
            self._check_name(("targets", name), name)
        return {
            name: self.model(("targets", name), item, Target, quote(name)) for name, item in value.items()
        }

    def items[T](self, path: Path, one: Callable[[Path, Any], T]) -> tuple[T, ...]:
        value = self.source.value[str(path[0])]
        if not isinstance(value, list):
            self.add(
                path,
                Code.WRONG_TYPE,
                f"found {quote(value)}",
                f"'{path[0]}' is a list: lines that begin with '- '",
            )
            return ()
        return tuple(one((*path, index), item) for index, item in enumerate(value))

    def arm(self, path: Path, value: Any) -> Arm | None:
        return self.model(path, value, Arm, "this arm")

    def fault(self, path: Path, value: Any) -> FaultDefinition | None:
        if not isinstance(value, dict):
            self.add(
                path,
                Code.WRONG_TYPE,
                f"found {quote(value)}",
                "a fault is a mapping such as {at: 30s, for: 10s, fault: crash, target: {role: edge}}",
            )
            return None
        if "fault" not in value:
            key = next((key for key in value if nearest(key, ["fault"])), None)
            allowed = f"'fault' is one of {', '.join(self.faults)}"
            if key is None:
                self.add(path, Code.MISSING_KEY, "this fault needs 'fault'", allowed)
                return None
            found, hint = f"unknown key {quote(key)}", "did you mean 'fault'?"
            self.add((*path, key), Code.UNKNOWN_KEY, found, allowed, hint, key=True)
            if value[key] not in [*self.faults]:
                return None
            value = {"fault": value[key], **{other: item for other, item in value.items() if other != key}}
        name = value["fault"]
        model = self.faults.get(name) if isinstance(name, str) else None
        if model is not None:
            return self.model(path, self._fit_kind(path, value, model), model, name)
        near = nearest(name, self.faults) if isinstance(name, str) else None
        self.add(
            (*path, "fault"),
            Code.UNKNOWN_NAME,
            f"unknown fault {quote(name)}",
            f"allowed: {', '.join(self.faults)}",
            did_you_mean(name, self.faults) if isinstance(name, str) else "",
        )
        if near is None:
            return None
        self.suspect.add((*path, "fault"))
        # Against the fault that is probably meant, but for what another one may have, or need not.
        model, before = self.faults[near], len(self.problems)
        built = self.model(path, self._fit_kind(path, {**value, "fault": near}, model), model, near)
        common = {*keys_of(FaultDefinition)}
        self.problems[before:] = [
            one
            for one in self.problems[before:]
            if one.code not in (Code.UNKNOWN_KEY, Code.MISSING_KEY)
            or one.hint
            or {*one.path[len(path) :][:1]} & common
        ]
        return built

    def _fit_kind(self, path: Path, value: dict[str, Any], model: type[FaultDefinition]) -> dict[str, Any]:
        """The entry with `for` and `target` as its kind of fault needs them; mismatches are reported.

        The model itself checks that only when every key is valid.
        """
        fitted, target = dict(value), value.get("target")
        if isinstance(target, str):
            named = self.source.value.get("targets")
            target = named.get(target) if isinstance(named, dict) else None
        has_link = isinstance(target, dict) and "link" in target
        others = keys_of(model)
        misspelt = any(meant_key(key, others) == "for" for key in value if key not in others)
        has_duration = "for" in value or (misspelt and not model.instant)
        for problem in model.mismatches(
            has_duration=has_duration,
            has_link=has_link,
            has_every="every" in value,
            has_times="times" in value,
        ):
            self.problems.append(self.source.locate(problem, path))
        if model.instant:
            fitted.pop("for", None)
        elif "for" not in value:
            fitted["for"] = "1s"
            self.suspect.add((*path, "for"))
        if "every" not in value or "times" not in value:
            fitted.pop("every", None)
            fitted.pop("times", None)
        if (
            model.targets == "nodes"
            and value.get("target") is target
            and isinstance(target, dict)
            and has_link
        ):
            fitted["target"] = {key: item for key, item in target.items() if key != "link"}
            self.suspect.add((*path, "target", "link"))
        return fitted

    def gate(self, path: Path, value: Any) -> GateDefinition | None:
        if not isinstance(value, dict):
            self.add(
                path,
                Code.WRONG_TYPE,
                f"found {quote(value)}",
                "a gate is a mapping such as {slo: playback-success}",
            )
            return None
        kinds = [key for key in value if key in self.gates]
        if len(kinds) == 1:
            return self.model(path, value, self.gates[kinds[0]], "this gate")
        if kinds:
            self.add(
                (*path, kinds[1]),
                Code.CONFLICT,
                f"found {' and '.join(kinds)} in one gate",
                "make it two gates",
                key=True,
            )
            return None
        near = next((key for key in value if nearest(key, self.gates)), None)
        self.add(
            path if near is None else (*path, near),
            Code.UNKNOWN_KEY if near is not None else Code.MISSING_KEY,
            "the gate has no kind" if near is None else f"unknown key {quote(near)}",
            f"a gate has one of the keys {', '.join(self.gates)}",
            "" if near is None else did_you_mean(near, self.gates),
            key=near is not None,
        )
        kind = None if near is None else nearest(near, self.gates)
        if kind is None:
            return None
        self.suspect.add((*path, kind))
        corrected = {kind: value[near], **{key: item for key, item in value.items() if key != near}}
        return self.model(path, corrected, self.gates[kind], "this gate")

    def slo(self, name: str, value: Any) -> SloDefinition | None:
        path: Path = (name,)
        self._check_name(path, name)
        if not isinstance(value, dict):
            self.add(
                path, Code.WRONG_TYPE, f"found {quote(value)}", "an SLO is a mapping; see docs/experiments.md"
            )
            return None
        kind = self._slo_kind(value)
        slo = self.model(path, value, kind, quote(name))
        given = [key for key in kind.one_of if value.get(key) is not None]
        near = {nearest(key, keys_of(kind)) for key in value.keys() - {*kind.one_of}}
        if len(given) > 1:
            found = f"found {' and '.join(map(quote, given))}"
            self.add((*path, given[1]), Code.CONFLICT, found, "give one of them", key=True)
        elif kind.one_of and not given and not near & {*kind.one_of}:
            others = [" and ".join(map(quote, other.keys)) for other in self.kinds if other is not kind]
            found = f"the SLO needs {' or '.join(map(quote, kind.one_of))}"
            self.add(path, Code.MISSING_KEY, found, f"or {', or '.join(others)}" if others else "", key=True)
        return slo

    def _check_name(self, path: Path, name: str) -> None:
        """Report a key that is no name."""
        try:
            check_name(name)
        except InvalidValue as error:
            self.problems.append(self.source.locate(replace(error.diagnostic, about_key=True), path))

    def _slo_kind(self, value: Mapping[str, Any]) -> type[SloDefinition]:
        """The first kind of which a key is given, if only as null."""
        for given in ({key for key, item in value.items() if item is not None}, value.keys()):
            for kind in self.kinds:
                if given & {*kind.keys}:
                    return kind
        return self.kinds[0]
