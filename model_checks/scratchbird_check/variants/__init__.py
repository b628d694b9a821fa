"""Rules that are known to be wrong, kept so that the checks must go on refuting them.

One module for each part, with a table ``VARIANTS`` from the variant's name to its rules. The same names
stand in ``spec/properties.toml``, in the configurations ``tla/MC_PART__NAME.cfg`` and in the proofs.
"""
