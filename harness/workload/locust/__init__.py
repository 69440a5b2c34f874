"""Locust as the load of live runs. Imported in processes of the load only, never in the harness's own.

`import locust` replaces parts of the standard library unless it is told not to; `LOCUST_SKIP_MONKEY_PATCH` must be set
before. Nothing is replaced here: Locust and gevent have the main thread, clients an asyncio loop in a second one.
"""
