"""The specification as package data: rules, models, the ledger and the trace format."""
