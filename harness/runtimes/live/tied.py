"""`python -m harness.runtimes.live.tied PARENT MODULE ARGUMENTS...`: run a module, tied to the life of PARENT."""

from __future__ import annotations

import runpy
import sys

from harness.runtimes.live.tether import die_with_parent

if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    module = sys.argv[2]
    del sys.argv[:2]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
