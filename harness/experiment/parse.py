"""From the YAML of a person to frozen models, with every mistake at its place.

The models say what is allowed; here their complaints are turned into words of the file's own
(`harness.experiment.error_translation`), at the line and column of what they are about.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any

from pydantic import BaseModel

from harness.diagnostics import Code, Diagnostic, Path
from harness.errors import ExperimentError
from harness.experiment.error_translation import build, field_names
from harness.experiment.error_translation import told as tell
from harness.experiment.model import (
    NAME,
    Arm,
    Experiment,
    FaultDefinition,
    GateDefinition,
    Load,
    SloDefinition,
)
from harness.experiment.partial_parse import salvage, under
from harness.experiment.source import Source, read_source
from harness.text import did_you_mean, nearest, quote

type Faults = Mapping[str, type[FaultDefinition]]
"""The kinds of faults by name."""

type Gates = Mapping[str, type[GateDefinition]]
"""The kinds of gates by key."""

type SloKinds = Sequence[type[SloDefinition]]
"""The kinds of SLO. The first one explains what an SLO of no kind lacks."""

_PARTS: Mapping[str, Any] = {"load": {}, "timeline": [], "gates": [], "arms": []}
"""What is looked at part by part, and what stands for it when the frame around it is looked at."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What could be understood of an experiment file. What nothing can be made of is None, in its place.

    `experiment` is there only when nothing is wrong. `source` knows the place of everything:
    `source.mark(("gates", 0))`. `stood`: the paths of what is wrong in itself, for which something else
    stands in the models here.
    """

    source: Source
    system: str | None
    load: Mapping[str, Load | None]
    timeline: tuple[FaultDefinition | None, ...]
    gates: tuple[GateDefinition | None, ...]
    arms: tuple[Arm | None, ...]
    experiment: Experiment | None
    problems: tuple[Diagnostic, ...]
    stood: frozenset[Path] = frozenset()

    def doubtful(self, path: Path) -> bool:
        """Whether what is there, or a part of it, is not what its writer wrote."""
        return _doubtful(self.stood, path)

    def founded(self, found: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
        """Those of the mistakes that are about what is written, not about what stands in for it."""
        return _founded(self.stood, found)


@dataclass(frozen=True, slots=True)
class SlosDraft:
    """What could be understood of a file of SLOs; one that nothing can be made of is None.

    `stood`: as in `Draft`.
    """

    source: Source
    slos: Mapping[str, SloDefinition | None]
    problems: tuple[Diagnostic, ...]
    stood: frozenset[Path] = frozenset()

    def founded(self, found: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
        """Those of the mistakes that are about what is written, not about what stands in for it."""
        return _founded(self.stood, found)


def _doubtful(stood: frozenset[Path], path: Path) -> bool:
    return under(stood, path) or any(one[: len(path)] == path for one in stood)


def _founded(stood: frozenset[Path], found: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    for one in found:
        if not (under(stood, one.path) if one.about_key else _doubtful(stood, one.path)):
            yield one


def parse_draft(text: str, file: str, faults: Faults, gates: Gates) -> Draft:
    """An experiment file with its mistakes. `faults`, `gates`: the kinds there are.

    Raises ExperimentError only where nothing can be made of the text: it is not YAML, or not a mapping.
    """
    source = read_source(text, file)
    parser = _Parser(source, list(source.problems), faults, gates)
    found = source.value
    load = parser.loads(found["load"]) if "load" in found else {}
    timeline = parser.items(("timeline",), parser.fault) if "timeline" in found else ()
    claims = parser.items(("gates",), parser.gate) if "gates" in found else ()
    arms = parser.items(("arms",), parser.arm) if "arms" in found else ()
    frame = {key: _PARTS.get(key, value) for key, value in found.items()}
    experiment, wrong = build(source, (), frame, Experiment, "")
    parser.problems.extend(wrong)
    if experiment is not None and not parser.problems:
        parts = {"load": load, "timeline": timeline, "gates": claims, "arms": arms}
        experiment = experiment.model_copy(update=parts)
    system = found.get("system")
    return Draft(
        source=source,
        system=system if isinstance(system, str) else None,
        load=load,
        timeline=timeline,
        gates=claims,
        arms=arms,
        experiment=None if parser.problems else experiment,
        problems=tuple(parser.problems),
        stood=frozenset(parser.stood),
    )


def parse_experiment(text: str, file: str, faults: Faults, gates: Gates) -> Experiment:
    """An experiment file that is right in itself. Raises ExperimentError with all mistakes."""
    draft = parse_draft(text, file, faults, gates)
    if draft.experiment is None:
        raise ExperimentError(draft.problems)
    return draft.experiment


def parse_fault(text: str, faults: Faults, given: Mapping[str, Any]) -> FaultDefinition:
    """One fault by itself, written as in a timeline; `given` stands for what is not written.

    Raises ExperimentError with every mistake.
    """
    source = read_source(text, "fault")
    parser = _Parser(source, list(source.problems), faults)
    fault = parser.fault((), {**given, **source.value})
    if fault is None or parser.problems:
        raise ExperimentError(parser.problems)
    return fault


def parse_slos_draft(text: str, file: str, kinds: SloKinds) -> SlosDraft:
    """A file of SLOs with its mistakes. Raises ExperimentError only where nothing can be made of the text."""
    source = read_source(text, file)
    parser = _Parser(source, list(source.problems), kinds=kinds)
    slos = {name: parser.slo(name, value) for name, value in source.value.items()}
    return SlosDraft(source, slos, tuple(parser.problems), frozenset(parser.stood))


def parse_slos(text: str, file: str, kinds: SloKinds) -> dict[str, Any]:
    """The SLOs of a file by name, models of the kinds. Raises ExperimentError with all mistakes."""
    draft = parse_slos_draft(text, file, kinds)
    if draft.problems:
        raise ExperimentError(draft.problems)
    return dict(draft.slos)


@dataclass(frozen=True, slots=True)
class _Parser:
    """Builds the parts of a file. What is wrong goes to `problems`, and what stands for it to `stood`."""

    source: Source
    problems: list[Diagnostic]
    faults: Faults = field(default_factory=dict)
    gates: Gates = field(default_factory=dict)
    kinds: SloKinds = ()
    stood: set[Path] = field(default_factory=set)

    def model[M: BaseModel](
        self,
        path: Path,
        value: Any,
        model: type[M],
        what: str,
        needed: Mapping[str, Any] | None = None,
        told: Collection[str] | None = None,
    ) -> M | None:
        """The model, of what is right where not all is. `told`: only mistakes of these keys are its own."""
        built, problems = build(self.source, path, value, model, what)
        if built is not None or not isinstance(value, dict):
            self.problems.extend(problems)
            return built
        found = salvage(value, model, needed, apart=field_names(FaultDefinition))
        self.stood.update((*path, *one) for one in found.stood)
        problems += [tell(self.source, path, late, model, what) for late in found.late if late.path]
        if told is not None:
            problems = [one for one in problems if one.path[len(path) :][:1] in {(key,) for key in told}]
        self.problems.extend(problems)
        return found.model

    def wrong(
        self, path: Path, code: Code, found: str, allowed: str = "", hint: str = "", *, key: bool = False
    ) -> None:
        self.problems.append(self.source.at(path, code, found, allowed, hint, key=key))

    def loads(self, value: Any) -> dict[str, Load | None]:
        if not isinstance(value, dict) or not value:
            self.wrong(
                ("load",),
                Code.WRONG_TYPE,
                f"found {quote(value)}",
                "'load' says who comes, for example {viewers: {arrive: 4/s, for: 2m, mix: home}}",
            )
            return {}
        return {name: self.model(("load", name), item, Load, quote(name)) for name, item in value.items()}

    def items[T](self, path: Path, one: Callable[[Path, Any], T]) -> tuple[T, ...]:
        value = self.source.value[str(path[0])]
        if not isinstance(value, list):
            self.wrong(
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
            self.wrong(
                path,
                Code.WRONG_TYPE,
                f"found {quote(value)}",
                "a fault is a mapping such as {at: 30s, for: 10s, fault: crash, target: {role: edge}}",
            )
            return None
        if "fault" not in value:
            near = next((key for key in value if nearest(key, ["fault"])), None)
            self.wrong(
                path if near is None else (*path, near),
                Code.UNKNOWN_KEY if near is not None else Code.MISSING_KEY,
                "this says no 'fault'" if near is None else f"found the key {quote(near)}",
                f"'fault' is one of {', '.join(self.faults)}",
                "" if near is None else "did you mean 'fault'?",
                key=near is not None,
            )
            if near is None or value[near] not in [*self.faults]:
                return None
            value = {"fault": value[near], **{key: item for key, item in value.items() if key != near}}
        name = value["fault"]
        model = self.faults.get(name) if isinstance(name, str) else None
        if model is None:
            self.wrong(
                (*path, "fault"),
                Code.UNKNOWN_NAME,
                f"found the fault {quote(name)}",
                f"allowed: {', '.join(self.faults)}",
                did_you_mean(name, self.faults) if isinstance(name, str) else "",
            )
            return self._meant(path, value, name)
        shaped, needed = self._shaped(path, value, model)
        return self.model(path, shaped, model, name, needed)

    def _meant(self, path: Path, value: dict[str, Any], name: Any) -> FaultDefinition | None:
        """The fault that a misspelt name means, as far as it is what any fault is: when and where."""
        near = nearest(name, self.faults) if isinstance(name, str) else None
        if near is None:
            return None
        model, common = self.faults[near], field_names(FaultDefinition)
        self.stood.add((*path, "fault"))
        known = {key: item for key, item in value.items() if key in common} | {"fault": near}
        shaped, needed = self._shaped(path, known, model)
        return self.model(path, shaped, model, near, needed, told=common)

    def _shaped(
        self, path: Path, value: dict[str, Any], model: type[FaultDefinition]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Whether it has what a fault of its kind has, which the model asks only when all else is right.

        Where not, that is noted, and what is returned has a stand-in that hides nothing else. Second: what
        else it needs.
        """
        shaped, name = dict(value), value["fault"]
        needed = {} if model.instant else {"for": "1s"}
        if model.instant and "for" in value:
            self.wrong((*path, "for"), Code.UNKNOWN_KEY, f"{name} takes no 'for'", "remove it", key=True)
            del shaped["for"]
        if not model.instant and "for" not in value:
            others = field_names(model)
            if not any(nearest(key, others) == "for" for key in value if key not in others):
                self.wrong(
                    path, Code.MISSING_KEY, f"{name} has no 'for'", "how long it lasts, for example for: 30s"
                )
            shaped["for"] = "1s"
            self.stood.add((*path, "for"))
        target = value.get("target")
        if model.targets == "nodes" and isinstance(target, dict) and "link" in target:
            self.wrong(
                (*path, "target", "link"),
                Code.CONFLICT,
                f"{name} acts on nodes, not on a link",
                "give role, zone or node (and pick)",
                key=True,
            )
            shaped["target"] = {key: item for key, item in target.items() if key != "link"}
            self.stood.add((*path, "target", "link"))
        return shaped, needed

    def gate(self, path: Path, value: Any) -> GateDefinition | None:
        if not isinstance(value, dict):
            self.wrong(
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
            self.wrong(
                (*path, kinds[1]),
                Code.CONFLICT,
                f"found {' and '.join(kinds)} in one gate",
                "make it two gates",
                key=True,
            )
            return None
        near = next((key for key in value if nearest(key, self.gates)), None)
        self.wrong(
            path if near is None else (*path, near),
            Code.UNKNOWN_KEY if near is not None else Code.MISSING_KEY,
            "the gate has no kind" if near is None else f"found the key {quote(near)}",
            f"a gate has one of the keys {', '.join(self.gates)}",
            "" if near is None else did_you_mean(near, self.gates),
            key=near is not None,
        )
        kind = None if near is None else nearest(near, self.gates)
        if kind is None:
            return None
        self.stood.add((*path, kind))
        meant = {kind: value[near], **{key: item for key, item in value.items() if key != near}}
        return self.model(path, meant, self.gates[kind], "this gate")

    def slo(self, name: str, value: Any) -> SloDefinition | None:
        path: Path = (name,)
        if not re.fullmatch(NAME, name):
            self.wrong(
                path,
                Code.BAD_VALUE,
                f"found the name {quote(name)}",
                "names are small letters, digits and dashes",
                key=True,
            )
        if not isinstance(value, dict):
            self.wrong(
                path, Code.WRONG_TYPE, f"found {quote(value)}", "an SLO is a mapping; see docs/experiments.md"
            )
            return None
        kind = self._slo_kind(value)
        slo = self.model(path, value, kind, quote(name))
        given = [key for key in kind.one_of if value.get(key) is not None]
        near = {nearest(key, field_names(kind)) for key in value.keys() - {*kind.one_of}}
        if len(given) > 1:
            self.wrong(
                (*path, given[1]),
                Code.CONFLICT,
                f"found {' and '.join(map(quote, given))}",
                "give one of them",
                key=True,
            )
        elif kind.one_of and not given and not near & {*kind.one_of}:
            others = [" and ".join(map(quote, other.keys)) for other in self.kinds if other is not kind]
            self.wrong(
                path,
                Code.MISSING_KEY,
                f"the SLO needs {' or '.join(map(quote, kind.one_of))}",
                f"or {', or '.join(others)}" if others else "",
                key=True,
            )
        return slo

    def _slo_kind(self, value: Mapping[str, Any]) -> type[SloDefinition]:
        """The first kind of which a key is given, if only as null."""
        for given in ({key for key, item in value.items() if item is not None}, value.keys()):
            for kind in self.kinds:
                if given & {*kind.keys}:
                    return kind
        return self.kinds[0]


def read_text(file: File, shown: str) -> str:
    """The text of a file. Raises ExperimentError when it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ExperimentError(
            [Diagnostic(Code.UNREADABLE, "is not UTF-8 text", f"byte {error.start} is not", file=shown)]
        ) from error
    except OSError as error:
        raise ExperimentError(
            [Diagnostic(Code.UNREADABLE, f"cannot be read: {error.strerror}", file=shown)]
        ) from error
