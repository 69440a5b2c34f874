"""`python -m harness.live.supervised PARENT MODULE ARGUMENTS...`: run a module that dies with the process PARENT.

In the network namespace that `$HARNESS_LIVE_NETNS` names (a path), if that is set.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

from harness.live.kernel.namespaces import VARIABLE, enter

PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>."""

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill (SIGKILL) this process when the thread that started it ends.

    `parent`: the id of the parent; when that has ended already, this process ends at once. OSError when the kernel
    refuses.
    """
    if _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if parent is not None and os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    if namespace := os.environ.get(VARIABLE):
        enter(namespace)
    module = sys.argv[2]
    del sys.argv[:2]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
