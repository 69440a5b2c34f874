"""Locust as the load of live runs. Imported in processes of the load only, never in the harness's own.

`import locust` replaces parts of the standard library unless it is told not to; `LOCUST_SKIP_MONKEY_PATCH` is set
here, before. So nothing is replaced: Locust and gevent have the main thread, clients an asyncio loop in a second one.
"""

import os

os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"
