"""The runner behind the ``scratchbird_check`` command: every promise of the protocol, judged by machine."""
