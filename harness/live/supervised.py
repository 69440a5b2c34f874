"""`python -m harness.live.supervised PARENT MODULE ARGUMENTS...`: run a module that dies with the process PARENT.

In the network namespace that `$HARNESS_LIVE_NETNS` names (a path), if that is set.
"""

from __future__ import annotations

import os
import runpy
import sys

from harness.live.kernel.namespaces import VARIABLE, enter
from harness.live.pdeathsig import die_with_parent

if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    if namespace := os.environ.get(VARIABLE):
        enter(namespace)
    module = sys.argv[2]
    del sys.argv[:2]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
