"""Use cases: the only place with SQL and with permission checks.

A use case is `verb(session, actor, command, now)`: it checks rights first, never commits, and writes one audit row.
"""
