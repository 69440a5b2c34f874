"""Load from Locust, in processes of its own. `cluster` and `driver` are the harness's side, `process` is theirs.

`import locust` replaces parts of the standard library unless `LOCUST_SKIP_MONKEY_PATCH` is set, so the harness never
imports it. In its own processes nothing is replaced: Locust and gevent have the main thread, clients an asyncio loop
in a second one.
"""
