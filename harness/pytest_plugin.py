"""pytest plugin: collects `*.chaos.yaml` as tests. Imports nothing heavy at the top."""
