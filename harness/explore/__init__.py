"""Fuzzing: fault schedules that nobody wrote down, searched in virtual time for violations, shrunk and kept."""
