"""The experiments here must not pass: test_cases.py runs them."""

collect_ignore_glob = ["*.chaos.yaml"]
