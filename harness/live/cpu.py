"""Less processor time for a node: a control group (cgroup) with a quota, version 1 or 2, whichever the machine has.

Each limited node has a directory of its own with the number of the run in its name, so that one that a dead harness
left is known by its name alone. Sources: cgroups(7); the kernel's sched-bwc.rst and cgroup-v2.rst.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep  # noqa: TID251 (the kernel takes real time to release a dead process)

from harness.errors import HarnessError

PREFIX = "harness-live"

MIN_QUOTA_US = 2_000
MIN_PERIOD_US, MAX_PERIOD_US = 20_000, 1_000_000
"""The kernel refuses quotas below 1 ms and periods above 1 s. A short period looks like a slow
processor, a long one like a processor that pauses."""

MAX_FACTOR = MAX_PERIOD_US / MIN_QUOTA_US

EMPTY_S = 5.0
"""How long a killed process may take to leave its group."""


class QuotaUnavailable(HarnessError):
    """This machine does not let this user limit processor time; the message says why."""


class FactorOutOfRange(HarnessError, ValueError):
    """The kernel cannot limit processor time by this factor."""


@dataclass(frozen=True, slots=True)
class ParentGroup:
    """Where groups can be made: `directory` is a group of the cpu controller that this process may write to."""

    directory: Path
    version: int

    def __str__(self) -> str:
        return f"cgroup version {self.version}, {self.directory}"


def parent_group() -> ParentGroup:
    """The nearest group that children with a quota can be made in. Raises QuotaUnavailable."""
    reasons = []
    for place in _places():
        try:
            _check(place)
        except OSError as error:
            reasons.append(f"{place.directory}: {error.strerror or error}")
        else:
            return place
    reason = "; ".join(reasons) or "no cgroup file system with a cpu controller is mounted"
    raise QuotaUnavailable(f"this machine does not let this user limit processor time ({reason})")


def unavailable_reason() -> str | None:
    """Why no node can be limited here; None when one can."""
    try:
        parent_group()
    except QuotaUnavailable as error:
        return str(error)
    return None


def groups_of(run: int) -> tuple[Path, ...]:
    """Groups of a run that this process finds by their names."""
    return tuple(
        entry
        for place in _places()
        for entry in sorted(place.directory.glob(f"{PREFIX}-{run}-*"))
        if entry.is_dir()
    )


def remove(groups: Iterable[Path]) -> tuple[Path, ...]:
    """Remove groups whose processes are dead or dying; returns those that are still there after `EMPTY_S`."""
    deadline = monotonic() + EMPTY_S
    left = list(groups)
    while left:
        left = [group for group in left if not _removed(group)]
        if not left or monotonic() > deadline:
            break
        sleep(0.005)
    return tuple(left)


class Group:
    """The processes of one node, and what they may use. There is no group before `limit` and after `release`."""

    def __init__(self, run: int, node: str) -> None:
        self.name = f"{PREFIX}-{run}-{node}"
        self._base: ParentGroup | None = None
        self._throttled_us = 0

    @property
    def directory(self) -> Path:
        """Where it is, or would be. Raises QuotaUnavailable."""
        return self._parent.directory / self.name

    @property
    def _parent(self) -> ParentGroup:
        if self._base is None:
            self._base = parent_group()
        return self._base

    def limit(self, factor: float, pids: Iterable[int]) -> None:
        """Give all processes together 1/`factor` of one core. OSError, QuotaUnavailable when that cannot be done."""
        quota_us, period_us = quota(factor)
        self.directory.mkdir(exist_ok=True)
        if self._parent.version == 2:
            (self.directory / "cpu.max").write_text(f"{quota_us} {period_us}")
        else:
            # Shorter first: a quota above what the period gives is refused when groups are nested.
            (self.directory / "cpu.cfs_quota_us").write_text("-1")
            (self.directory / "cpu.cfs_period_us").write_text(str(period_us))
            (self.directory / "cpu.cfs_quota_us").write_text(str(quota_us))
        self.add(pids)

    def add(self, pids: Iterable[int]) -> None:
        """Move processes into it; those that have ended are skipped."""
        _move(pids, self.directory)

    def throttled_us(self) -> int:
        """How long processes waited for the quota so far, in microseconds; kept after `release`."""
        return self._throttled_us + self._group_throttled_us()

    def _group_throttled_us(self) -> int:
        if self._base is None:
            return 0
        try:
            text = (self.directory / "cpu.stat").read_text()
        except FileNotFoundError:
            return 0
        found = dict(line.split() for line in text.splitlines())
        if "throttled_usec" in found:
            return int(found["throttled_usec"])
        return int(found.get("throttled_time", 0)) // 1000

    def release(self) -> None:
        """Move every process to the parent group, and remove this one. OSError when that cannot be done."""
        if self._base is None or not self.directory.exists():
            return
        self._throttled_us += self._group_throttled_us()
        deadline = monotonic() + EMPTY_S
        while not _removed(self.directory):
            _move(_pids(self.directory), self._parent.directory)
            if monotonic() > deadline:
                raise OSError(
                    errno.EBUSY, f"it still has processes {_pids(self.directory)}", str(self.directory)
                )
            sleep(0.001)


def quota(factor: float) -> tuple[int, int]:
    """Quota and period in microseconds for 1/`factor` of one core. FactorOutOfRange."""
    if not 1 <= factor <= MAX_FACTOR:
        raise FactorOutOfRange(f"factor must be from 1 to {MAX_FACTOR:g}; found {factor:g}")
    period_us = min(MAX_PERIOD_US, max(MIN_PERIOD_US, round(MIN_QUOTA_US * factor)))
    return max(1, round(period_us / factor)), period_us


def _places() -> Iterator[ParentGroup]:
    """This process's own group of the cpu controller, then its parents; version 1 before 2."""
    own = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            own[controllers] = path
    for version, root, mount in _mounts():
        controller = "" if version == 2 else "cpu"
        mine = next((where for names, where in own.items() if controller in names.split(",")), None)
        if mine is None:
            continue
        try:
            inside = Path(mine).relative_to(root)
        except ValueError:
            # Seen from another cgroup namespace, only the mount itself is visible.
            inside = Path()
        directory = mount / inside
        for place in (directory, *directory.parents):
            if place.is_relative_to(mount):
                yield ParentGroup(place, version)


def _mounts() -> Iterator[tuple[int, str, Path]]:
    """Version, root and mount point of every cgroup file system with the cpu controller (proc_pid_mountinfo(5))."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return
    found = []
    for line in lines:
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        fields = before.split()
        if kind == "cgroup" and "cpu" in options.split(","):
            found.append((1, fields[3], Path(fields[4])))
        elif kind == "cgroup2":
            found.append((2, fields[3], Path(fields[4])))
    yield from sorted(found)


def _check(place: ParentGroup) -> None:
    """Make a group with a quota there, and remove it. OSError with the reason when that cannot be done."""
    if place.version == 2:
        control = place.directory / "cgroup.subtree_control"
        if "cpu" not in control.read_text().split():
            # A setting of the machine: a change would outlive the run.
            raise OSError(
                errno.ENOTSUP, f"its children have no cpu controller; as root: echo +cpu > {control}"
            )
    probe = place.directory / f"{PREFIX}-probe-{os.getpid()}"
    probe.mkdir()
    try:
        (probe / ("cpu.max" if place.version == 2 else "cpu.cfs_quota_us")).write_text(
            f"{MIN_PERIOD_US} {MIN_PERIOD_US}" if place.version == 2 else str(MIN_PERIOD_US)
        )
    finally:
        probe.rmdir()


def _move(pids: Iterable[int], group: Path) -> None:
    for pid in pids:
        # One that has ended or ends now (ESRCH) needs no limit.
        with contextlib.suppress(ProcessLookupError):
            (group / "cgroup.procs").write_text(str(pid))


def _pids(group: Path) -> list[int]:
    try:
        return [int(line) for line in (group / "cgroup.procs").read_text().split()]
    except (FileNotFoundError, OSError):
        return []


def _removed(group: Path) -> bool:
    """Remove it. False when processes are still in it."""
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


if __name__ == "__main__":
    print(unavailable_reason() or f"processor time can be limited: {parent_group()}")
    sys.exit(unavailable_reason() is not None)
