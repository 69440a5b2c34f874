"""Faults in the bodies of responses, on both ways in which services send them, in virtual time."""

from __future__ import annotations
