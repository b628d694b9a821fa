"""Conformance vectors as package data, written by ``make vectors``."""
