"""Hypothesis state machines: reference and production side by side, one module for each part."""
