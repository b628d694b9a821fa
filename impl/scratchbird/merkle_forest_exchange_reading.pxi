# Part of merkle_forest_exchange.pyx: what messages are made of, judged, from plain values and from bytes.

cdef tuple KINDS = (Open, Opened, Refused, AskWindows, Windows, AskNodes, Nodes, AskRows, Rows, Give, Took)


cdef int kind_of(Message message) except -1:
    return KINDS.index(type(message)) + 1


# --- from plain values --------------------------------------------------------------------------------------


cdef bytes some_bytes(value, str name):
    if type(value) is not bytes:
        raise CallerError(f"{name} {shown(value)} is no bytes")
    return value


cdef bytes place_bytes(value):
    if type(value) is not bytes or len(value) != PLACE:
        raise CallerError(f"place {shown(value)} is no {<int> PLACE} bytes: pass the hash of the row's key")
    return value


cdef bytes packed_places(rows):
    return b"".join([place_bytes(row) for row in listed(rows, "rows", "places of rows")])


cdef tuple places_in(bytes packed):
    return tuple([packed[start:start + PLACE] for start in range(0, len(packed), PLACE)])


cdef int read_spot(pair, Spot *spot) except -1:
    """Read a pair (window, digits)."""
    cdef int index, digit
    window, digits = pair_of(pair, "place", "(window, digits)")
    spot.window = whole(window, "window", 0, MAX_WINDOW)
    path = listed(digits, "digits", "the digits of a place")
    if len(path) > DIGITS:
        raise CallerError(f"{len(path)} digits: a place has at most {<int> DIGITS}")
    spot.depth = len(path)
    memset(spot.digits, 0, PLACE)
    for index in range(spot.depth):
        digit = whole(path[index], "digit", 0, 15)
        spot.digits[index >> 1] |= digit if index & 1 else digit << 4
    return 0


cdef tuple pair_of_spot(Spot *spot):
    cdef int index
    return spot.window, tuple([digit_at(spot.digits, index) for index in range(spot.depth)])


cdef int put_node(Writer writer, Spot *spot, node) except -1:
    if type(node) is Inner:
        sizes = {len(child) for child in (<Inner> node).children} - {0}
        if len((<Inner> node).children) != FAN_OUT or len(sizes) > 1 or not sizes <= {SHORT, DIGEST}:
            raise CallerError(
                f"{shown(node)}: a node has {<int> FAN_OUT} children, with digests of {<int> SHORT} bytes each, or of "
                f"{<int> DIGEST} each"
            )
        return put_inner(writer, (<Inner> node).children, sizes == {DIGEST})
    check_is(node, Leaf, "node")
    judge_leaf(spot, (<Leaf> node).records)
    return put_leaf(writer, spot.depth, (<Leaf> node).records)


cdef int judge_leaf(Spot *spot, bytes records) except -1:
    """Whether these are records in the order of their places, all below that of their node."""
    cdef const unsigned char *record = <const unsigned char *> PyBytes_AS_STRING(records)
    cdef Py_ssize_t index, count = PyBytes_GET_SIZE(records) // RECORD
    cdef int digit
    if PyBytes_GET_SIZE(records) % RECORD:
        raise CallerError(f"{PyBytes_GET_SIZE(records)} bytes of records: they have {<int> RECORD} each")
    for index in range(count):
        if index and memcmp(record - RECORD, record, PLACE) >= 0:
            raise CallerError(f"records {index - 1} and {index} of a leaf are not in the order of their places")
        if is_never(record + PLACE):
            raise CallerError(f"record {index} of a leaf has version 0, which nobody shows")
        for digit in range(spot.depth):
            if digit_at(record, digit) != digit_at(spot.digits, digit):
                raise CallerError(f"record {index} of a leaf is not below the place of its node")
        record += RECORD
    return 0


# --- from bytes ---------------------------------------------------------------------------------------------


cdef Message message_from(object packed):
    cdef Reader reader
    cdef int kind
    cdef Message message
    cdef object number
    if type(packed) is not bytes:
        raise CallerError(f"{shown(packed)} is no bytes: pass what was received")
    reader = reader_of(packed)
    kind = take_byte(&reader, "its format")
    if kind != FORMAT:
        raise malformed(&reader, f"its format is {kind}, not {<int> FORMAT}")
    kind = take_byte(&reader, "its kind")
    number = number_of(take_version(&reader, "the number of the exchange"))
    if kind == WINDOWS or kind == NODES:
        message = told_from(&reader, kind, number)
    elif kind == ROWS or kind == GIVE:
        message = rows_from(&reader, kind, number)
    elif kind == ASK_WINDOWS or kind == ASK_NODES or kind == ASK_ROWS or kind == TOOK:
        message = asked_from(&reader, kind, number)
    else:
        message = opening_from(&reader, kind, number)
    if reader.at != reader.end:
        raise malformed(&reader, f"{reader.end - reader.at} bytes are too many")
    return message


cdef Message opening_from(Reader *reader, int kind, object exchange):
    cdef Open opens
    cdef Opened opened
    cdef bytes reason
    if kind == OPEN:
        opens = Open.__new__(Open)
        opens.exchange = exchange
        opens.shape = take_shape(reader)
        opens.stable_at = take_version(reader, "a stable time")
        opens.floor_at = take_version(reader, "a floor")
        return opens
    if kind == OPENED:
        opened = Opened.__new__(Opened)
        opened.exchange = exchange
        opened.stable_at = take_version(reader, "a stable time")
        opened.floor_at = take_version(reader, "a floor")
        return opened
    if kind != REFUSED:
        raise malformed(reader, f"there is no message of kind {kind}")
    reason = take_bytes(reader, reader.end - reader.at, "a reason")
    try:
        return Refused(exchange, reason.decode("utf-8"))
    except (UnicodeDecodeError, CallerError):
        raise malformed(reader, f"a reason is no UTF-8 text of at most {MOST_REASON} characters") from None


cdef Shape take_shape(Reader *reader):
    numbers = [take_number(reader, "a setting") for _ in range(4)]
    try:
        return Shape(*numbers)
    except ConfigurationError as error:
        raise malformed(reader, str(error)) from None


cdef Message asked_from(Reader *reader, int kind, object exchange):
    cdef AskWindows windows
    cdef const unsigned char *start
    cdef Spot spot
    cdef int64_t window = 0
    cdef bint in_full
    if kind == ASK_WINDOWS:
        windows = AskWindows.__new__(AskWindows)
        windows.exchange = exchange
        windows.after = take_number(reader, "the number of a window") - 1
        if windows.after > MAX_WINDOW:
            raise malformed(reader, f"window {windows.after} is above {MAX_WINDOW}")
        return windows
    if kind == ASK_ROWS:
        return ask_rows(exchange, take_items(reader, PLACE, "places of rows"))
    if kind == TOOK:
        return took_of(exchange, take_items(reader, PLACE, "places of rows"))
    in_full = take_flag(reader, "whether digests are asked for in full")
    start = reader.at
    while reader.at < reader.end:
        take_spot(reader, &window, &spot)
    return ask_nodes(exchange, PyBytes_FromStringAndSize(<const char *> start, reader.at - start), in_full)


cdef Message told_from(Reader *reader, int kind, object exchange):
    cdef bint last
    cdef bytes windows, newer
    cdef const unsigned char *start
    cdef const unsigned char *children[FAN_OUT]
    cdef Spot spot
    cdef int64_t window = 0, count, index, node
    if kind == WINDOWS:
        last = take_flag(reader, "whether these are all windows")
        windows = take_items(reader, WINDOW, "windows and their digests")
        judge_windows(reader, windows)
        return windows_of(exchange, windows, last)
    count = take_number(reader, "how many nodes there are")
    start = reader.at
    for index in range(count):
        node = take_node(reader, &window, &spot, children)
        if node >= LEAF:
            take_leaf(reader, &spot, node - LEAF)
    windows = PyBytes_FromStringAndSize(<const char *> start, reader.at - start)
    newer = take_items(reader, NEWER, "places and versions")
    judge_newer(reader, newer)
    return nodes_of(exchange, count, windows, newer)


cdef int judge_windows(Reader *reader, bytes windows) except -1:
    cdef const unsigned char *at = <const unsigned char *> PyBytes_AS_STRING(windows)
    cdef Py_ssize_t index
    for index in range(PyBytes_GET_SIZE(windows) // WINDOW):
        if load_word(at) > <uint64_t> MAX_WINDOW:
            raise malformed(reader, f"window {load_word(at)} is above {MAX_WINDOW}")
        if index and load_word(at) <= load_word(at - WINDOW):
            raise malformed(reader, "windows are not in order")
        at += WINDOW
    return 0


cdef int judge_newer(Reader *reader, bytes newer) except -1:
    cdef const unsigned char *at = <const unsigned char *> PyBytes_AS_STRING(newer)
    cdef Py_ssize_t index
    for index in range(PyBytes_GET_SIZE(newer) // NEWER):
        if is_never(at + PLACE):
            raise malformed(reader, "version 0 is no version that somebody holds")
        if index and memcmp(at - NEWER, at, PLACE) >= 0:
            raise malformed(reader, "places of rows are not in order")
        at += NEWER
    return 0


cdef Message rows_from(Reader *reader, int kind, object exchange):
    cdef list out = []
    cdef bytes record
    cdef Version version
    cdef int64_t length
    cdef Rows rows
    cdef Give give
    while reader.at < reader.end:
        if kind == ROWS:
            record = take_bytes(reader, PLACE, "the place of a row")
            version = take_version(reader, "the version of a row")
            length = take_number(reader, "the length of a value")
            out.append(take_row(reader, record, version, length - 1))
            continue
        record = take_bytes(reader, RECORD, "an entry")
        if is_never(<const unsigned char *> PyBytes_AS_STRING(record) + PLACE):
            raise malformed(reader, "an entry has version 0, which nobody shows")
        length = take_number(reader, "the length of a value")
        if length == 0:
            out.append((record, None))
            continue
        version = take_version(reader, "the version of a row")
        if not (version.high | version.low):
            raise malformed(reader, "a row of version 0 is not held, and can not be given")
        out.append((record, take_row(reader, record[:PLACE], version, length - 2)))
    if kind == ROWS:
        rows = Rows.__new__(Rows)
        rows.exchange = exchange
        rows.rows = tuple(out)
        return rows
    give = Give.__new__(Give)
    give.exchange = exchange
    give.given = tuple(out)
    return give
