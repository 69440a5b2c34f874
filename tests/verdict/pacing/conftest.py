"""The experiments here are run by test_held_back.py, not collected."""

collect_ignore_glob = ["*.chaos.yaml"]
