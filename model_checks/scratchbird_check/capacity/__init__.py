"""``scratchbird_check capacity``: how long hints take, what a forest weighs, what a cluster holds."""
