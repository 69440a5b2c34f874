"""From the YAML of a person to frozen models, with every mistake at its position.

The models define what is allowed; `harness.experiment.error_translation` turns their errors into diagnostics.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

from harness.diagnostics import Code, Diagnostic, Path
from harness.errors import ExperimentError
from harness.experiment.entries import EntryParser, Faults, Gates, SloKinds
from harness.experiment.error_translation import build_model
from harness.experiment.load import Load
from harness.experiment.model import (
    Arm,
    Experiment,
    FaultDefinition,
    GateDefinition,
    SloDefinition,
    Target,
)
from harness.experiment.partial_parse import SuspectPaths
from harness.experiment.source import Source, read_source
from harness.experiment.variables import Scalar, resolve_variables

_EMPTY_PARTS: Mapping[str, Any] = {
    "targets": {},
    "load": {},
    "timeline": [],
    "gates": [],
    "abort_if": [],
    "arms": [],
}
"""The parts that are parsed entry by entry; they are empty where the rest of the file is validated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """`source` knows the position of everything. `suspect`: the paths for which the models have placeholders."""

    source: Source
    problems: tuple[Diagnostic, ...]
    suspect: SuspectPaths

    def is_suspect(self, path: Path) -> bool:
        """Whether the value at `path`, or a part of it, is not what was written."""
        return self.suspect.touches(path)

    def reliable(self, diagnostics: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
        """Only the diagnostics about what was written, not those about placeholders."""
        return self.suspect.filter(diagnostics)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft(_Draft):
    """What is valid of an experiment file. An entry that no model can be made of is None.

    `experiment` is None where there are problems.
    """

    system: str | None
    variables: Mapping[str, Scalar]
    targets: Mapping[str, Target | None]
    load: Mapping[str, Load | None]
    timeline: tuple[FaultDefinition | None, ...]
    gates: tuple[GateDefinition | None, ...]
    abort_if: tuple[GateDefinition | None, ...]
    arms: tuple[Arm | None, ...]
    experiment: Experiment | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlosDraft(_Draft):
    """What is valid of a file of SLOs. One that no model can be made of is None."""

    slos: Mapping[str, SloDefinition | None]


def parse_draft(
    text: str, file: str, faults: Faults, gates: Gates, variables: Mapping[str, str] | None = None
) -> Draft:
    """An experiment file with all problems. `faults`, `gates`: the kinds there are. `variables`: values of `vars`.

    Raises ExperimentError only for a text that is not YAML, or not a mapping.
    """
    source, values = resolve_variables(read_source(text, file), variables or {}, os.environ)
    parser = EntryParser(source, list(source.problems), faults, gates)
    document = source.value
    targets = parser.targets(document["targets"]) if "targets" in document else {}
    load = parser.loads(document["load"]) if "load" in document else {}
    timeline = parser.items(("timeline",), parser.fault) if "timeline" in document else ()
    claims = parser.items(("gates",), parser.gate) if "gates" in document else ()
    abort_if = parser.items(("abort_if",), parser.gate) if "abort_if" in document else ()
    arms = parser.items(("arms",), parser.arm) if "arms" in document else ()
    frame = {key: _EMPTY_PARTS.get(key, value) for key, value in document.items()}
    experiment, problems = build_model(source, (), frame, Experiment)
    parser.problems.extend(problems)
    if experiment is not None and not parser.problems:
        parts = {
            "targets": targets,
            "load": load,
            "timeline": timeline,
            "gates": claims,
            "abort_if": abort_if,
            "arms": arms,
        }
        experiment = experiment.model_copy(update=parts)
    system = document.get("system")
    return Draft(
        source=source,
        system=system if isinstance(system, str) else None,
        variables=values,
        targets=targets,
        load=load,
        timeline=timeline,
        gates=claims,
        abort_if=abort_if,
        arms=arms,
        experiment=None if parser.problems else experiment,
        problems=tuple(parser.problems),
        suspect=SuspectPaths(parser.suspect),
    )


def parse_experiment(text: str, file: str, faults: Faults, gates: Gates) -> Experiment:
    """A valid experiment file. Raises ExperimentError with all problems."""
    draft = parse_draft(text, file, faults, gates)
    if draft.experiment is None:
        raise ExperimentError(draft.problems)
    return draft.experiment


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultDraft(_Draft):
    """What is valid of one fault. It is None where no model can be made of it."""

    fault: FaultDefinition | None


def parse_fault(source: Source, faults: Faults, defaults: Mapping[str, Any]) -> FaultDraft:
    """One fault, written as in a timeline, with all problems. `defaults`: values of keys that are not written."""
    parser = EntryParser(source, list(source.problems), faults)
    fault = parser.fault((), {**defaults, **source.value})
    return FaultDraft(
        source=source, fault=fault, problems=tuple(parser.problems), suspect=SuspectPaths(parser.suspect)
    )


def parse_slos_draft(text: str, file: str, kinds: SloKinds) -> SlosDraft:
    """A file of SLOs with all problems. Raises ExperimentError only for a text that is not YAML, or not a mapping."""
    source = read_source(text, file)
    parser = EntryParser(source, list(source.problems), kinds=kinds)
    slos = {name: parser.slo(name, value) for name, value in source.value.items()}
    return SlosDraft(
        source=source, slos=slos, problems=tuple(parser.problems), suspect=SuspectPaths(parser.suspect)
    )


def parse_slos(text: str, file: str, kinds: SloKinds) -> dict[str, Any]:
    """The SLOs of a file by name, models of the kinds. Raises ExperimentError with all problems."""
    draft = parse_slos_draft(text, file, kinds)
    if draft.problems:
        raise ExperimentError(draft.problems)
    return dict(draft.slos)


def read_text(file: File, name: str) -> str:
    """The text of a file, which messages call `name`. Raises ExperimentError when it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ExperimentError(
            [Diagnostic(Code.UNREADABLE, "is not UTF-8 text", f"byte {error.start} is not", file=name)]
        ) from error
    except OSError as error:
        raise ExperimentError(
            [Diagnostic(Code.UNREADABLE, f"cannot be read: {error.strerror}", file=name)]
        ) from error
