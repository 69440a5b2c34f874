"""The load of live runs in processes of its own: Locust's. `crew`, `driver`: the harness's side; `process`: theirs."""
