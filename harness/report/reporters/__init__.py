"""The built-in reporters, one file each. A new file here is found by itself: `harness.report.registry`."""
