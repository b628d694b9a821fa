"""Builds the Cython core of ``scratchbird`` and the history search; pyproject.toml declares everything else.

The extensions are optional: on a machine without a C compiler the reference library, the proofs and the
checker install all the same, ``import scratchbird.hlc`` then says what is missing, and the history search
runs in Python, slower.
"""

from Cython.Build import cythonize
from setuptools import Extension, setup

extensions = [
    Extension(f"scratchbird.{module}", [f"impl/scratchbird/{module}.pyx"], extra_compile_args=["-O3"])
    for module in ("uuid8", "hlc", "quorum", "handoff", "merkle_forest_exchange")
]
extensions.append(
    Extension(
        "scratchbird.merkle_forest",
        ["impl/scratchbird/merkle_forest.pyx"],
        extra_compile_args=["-O3"],
        libraries=["crypto"],  # OpenSSL 3, for SHA-256.
    )
)
extensions.append(
    Extension(
        "scratchbird_history.search",
        ["model_checks/scratchbird_history/search.pyx"],
        extra_compile_args=["-O3"],
    )
)

translated = cythonize(
    extensions,
    include_path=["impl"],
    build_dir="build/cython",
    compiler_directives={
        "language_level": 3,
        "boundscheck": False,
        "wraparound": False,
        "cdivision": True,
        "embedsignature": True,
    },
)
for extension in translated:
    extension.optional = True  # Here, and not above: cythonize does not pass it on.

setup(ext_modules=translated)
