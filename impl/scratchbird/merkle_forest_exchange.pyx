# cython: freethreading_compatible=True
"""An exchange of two replicas in production form: which rows they do not share, and the moving of these.

:class:`ExchangeDriver` and :class:`ExchangeAnswerer` are the two state machines of the reference without input or
output, each beside a :class:`scratchbird.merkle_forest.ForestCore` and what holds the rows. The rules themselves stand
in ``merkle_forest.pxd``; ``spec/merkle_forest.md`` states them. A row is named by its place, the hash of its key.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.string cimport memcmp, memcpy, memset

from scratchbird.merkle_forest cimport (
    DIGEST, DIGITS, FAN_OUT, PLACE, RECORD, Waiting, digit_at, load_word, version_at, window_digest,
)
from scratchbird.quorum cimport (
    NOTHING_HELD, below, check_is, check_number, held_at, listed, number_of, operation_number, pair_of, read_version, same,
)
from scratchbird.uuid8 cimport store_word, whole

from hashlib import sha256
from itertools import islice

from scratchbird.errors import CallerError, ConfigurationError, PeerError
from scratchbird.timestamp import shown

include "merkle_forest_exchange_wire.pxi"
include "merkle_forest_exchange_messages.pxi"
include "merkle_forest_exchange_reading.pxi"
include "merkle_forest_exchange_events.pxi"
include "merkle_forest_exchange_answerer.pxi"
include "merkle_forest_exchange_driver.pxi"

# For annotations.
Question = Open | AskWindows | AskNodes | AskRows | Give
Reply = Opened | Refused | Windows | Nodes | Rows | Took
Event = Begin | Deliver | Again | Stop
Effect = Amended | Hashed | Ask | Succeeded | Failed
