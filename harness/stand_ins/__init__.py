"""Services that stand in for well-known servers in virtual time. What they do not model they refuse."""
