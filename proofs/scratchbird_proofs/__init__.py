"""Proofs for any number of nodes, any clocks and any number of steps, judged by Z3 and again by cvc5.

Start with :mod:`scratchbird_proofs.theorem` (what a theorem is and when it counts as proved), then
:mod:`scratchbird_proofs.hlc_rules` (the rules of ``spec/hlc.md`` as formulas) and
:mod:`scratchbird_proofs.hlc` (what follows from them). :mod:`scratchbird_proofs.registry` finds theorems by
name. Only :mod:`scratchbird_proofs.collisions` works without the solver.
"""
