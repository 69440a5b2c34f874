"""Live runs: every node a process of its own, real TCP on loopback, all paths through proxies."""
