"""Sealed windows on disk: what is saved is mapped again, what is damaged is named, and all has bounds."""

from __future__ import annotations

import errno
import logging
import pickle
import random
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from scratchbird.errors import CallerError, ConfigurationError
from scratchbird_check.crash_files import CrashFiles
from scratchbird_node import forest_format, forest_store, forest_window
from scratchbird_node.errors import (
    DamagedWindowError,
    DiskFaultError,
    FileError,
    FileLockedError,
    FileMissingError,
    ForestLimitError,
    FormatError,
)
from scratchbird_node.files import Disk, Files
from scratchbird_node.forest_format import BATCH, BLOCK, HEADER, Head
from scratchbird_node.forest_store import ForestStore
from scratchbird_node.forest_words import Amendment, Settings, Why
from scratchbird_node.hint_format import checksum

FOLDER = Path("forest")
IDENTITY = b"".join(number.to_bytes(8, "big") for number in (3, 3_600_000, 8, 1))
LATER = b"".join(number.to_bytes(8, "big") for number in (4, 3_600_000, 8, 1))
SMALL = Settings(segment_bytes=400, max_queued_bytes=1000, max_log_bytes=3000, fold_after=4)

Content = dict[bytes, bytes]
"""Entries by place."""


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    logger = logging.getLogger(forest_store.__name__)
    logger.disabled = True
    yield
    logger.disabled = False


def place(number: int) -> bytes:
    return sha256(b"%d" % number).digest()[:16]


def entry(number: int, version: int = 1) -> bytes:
    digest = sha256(b"%d %d" % (number, version)).digest()[:16]
    return place(number) + version.to_bytes(16, "big") + digest


def content_of(*numbers: int) -> Content:
    return {place(number): entry(number) for number in numbers}


def arrays(window: int, content: Content, depth: int = 0) -> tuple[bytes, bytes, bytes]:
    records = b"".join(content[each] for each in sorted(content))
    if not records:
        return b"", b"", b""
    levels = b"".join(
        sha256(b"%d" % at + records[:48]).digest() for at in range((16 ** (depth + 1) - 1) // 15)
    )
    return records, levels, sha256(b"%d" % window + records).digest()


def save(store: ForestStore, window: int, content: Content, depth: int = 0) -> bool:
    return store.save(store.mark(window), *arrays(window, content, depth))


def amend(store: ForestStore, window: int, number: int, version: int | None = 2) -> None:
    value = None if version is None else entry(number, version)
    store.sync(store.append([Amendment(window, place(number), value)]))


def read(store: ForestStore, window: int) -> Content:
    with store.open(window) as opened:
        records = bytes(opened.records)
        content = {records[at : at + 16]: records[at : at + 48] for at in range(0, len(records), 48)}
        assert list(content) == sorted(content)
        for key, value in opened.amendments.items():
            content.pop(key, None)
            if value is not None:
                content[key] = value
        return content


def new(files: Files, folder: Path = FOLDER, settings: Settings = SMALL) -> ForestStore:
    return ForestStore(folder, IDENTITY, settings, files=files)


# --- windows ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 96, 1389, 5000, 30_000])
def test_what_is_saved_is_mapped_again(tmp_path: Path, count: int) -> None:
    depth = 2 if count > 1536 else 1 if count > 96 else 0
    content = content_of(*range(count))
    records, levels, digest = arrays(17, content, depth)
    with new(Disk(), tmp_path) as store:
        mark = store.mark(17)
        assert store.save(mark, memoryview(records), bytearray(levels), digest)
        assert not store.save(mark, records, levels, digest)  # A mark is for one file.
    with new(Disk(), tmp_path) as store:
        assert (store.windows, store.to_rebuild, store.damage) == ([17], {}, [])
        assert store.digest(17) == digest
        with store.open(17) as opened:
            assert (bytes(opened.records), bytes(opened.levels)) == (records, levels)
            assert opened.digest == digest
            assert opened.records.readonly
            assert opened.levels.readonly
            assert (opened.head.entries, opened.head.depth) == (count, depth if count else 0)
            assert (opened.head.generation, opened.head.identity, opened.amendments) == (1, IDENTITY, {})
    path = tmp_path / forest_format.window_name(17)
    data = path.read_bytes()
    assert len(data) == opened.head.file_bytes
    assert opened.head.size % 64 == 0
    assert opened.head.levels_at % 64 == 0
    assert data[opened.head.size :].startswith(records)
    assert data.endswith(levels)


def test_the_arrays_begin_at_multiples_of_64_in_memory(tmp_path: Path) -> None:
    with new(Disk(), tmp_path) as store:
        save(store, 1, content_of(*range(101)), 1)
        with store.open(1) as opened:
            for array in (opened.records, opened.levels):
                whole = opened._mapped.view
                at = bytes(whole).find(bytes(array))
                assert at > 0
                assert at % 64 == 0


def test_a_window_that_is_replaced_stays_readable_for_who_has_it_open(tmp_path: Path) -> None:
    with new(Disk(), tmp_path) as store:
        save(store, 1, content_of(1))
        with store.open(1) as opened:
            save(store, 1, content_of(1, 2))
            store.give_up([1])
            assert bytes(opened.records) == entry(1)
        assert store.windows == []


def test_a_window_in_use_is_not_closed(tmp_path: Path) -> None:
    for files, folder in ((Disk(), tmp_path), (CrashFiles(), FOLDER)):
        with new(files, folder) as store:
            save(store, 1, content_of(1, 2))
            opened = store.open(1)
            part = opened.records[3:5]
            with pytest.raises(CallerError, match="still in use"):
                opened.close()
            exported = memoryview(bytes(2))
            part.release()
            opened.close()
            opened.close()
            exported.release()


@pytest.mark.parametrize(
    ("records", "levels", "digest", "message"),
    [
        (b"x" * 47, b"y" * 32, b"z" * 32, "47 bytes of entries and 32 of node digests do not fit"),
        (b"x" * 48, b"y" * 33, b"z" * 32, "48 bytes of entries and 33 of node digests do not fit"),
        (b"x" * 48, b"", b"z" * 32, "48 bytes of entries and 0 of node digests do not fit"),
        (b"", b"y" * 32, b"", "0 bytes of entries and 32 of node digests do not fit"),
        (b"x" * 48, b"y" * 32, b"z" * 31, "window 1 has 1 entries, and its digest 31 bytes"),
        (b"", b"", b"z" * 32, "window 1 has 0 entries, and its digest 32 bytes"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(
    records: bytes, levels: bytes, digest: bytes, message: str
) -> None:
    with new(CrashFiles()) as store:
        with pytest.raises(CallerError, match=message):
            store.save(store.mark(1), records, levels, digest)
        assert store.windows == []


# --- damage -----------------------------------------------------------------------------------------------


def test_a_byte_that_is_wrong_anywhere_is_found_and_its_block_is_named(tmp_path: Path) -> None:
    content = content_of(*range(3000))
    with new(Disk(), tmp_path) as store:
        save(store, 5, content, 2)
        head = forest_window.load_head(Disk(), tmp_path / forest_format.window_name(5), 5)
    path = tmp_path / forest_format.window_name(5)
    good = path.read_bytes()
    assert head.blocks == 3
    chance = random.Random(5)
    places = [head.size, head.size + BLOCK - 1, head.size + BLOCK, head.size + 2 * BLOCK, len(good) - 1]
    places += [head.size + head.levels_at - 1] + [chance.randrange(head.size, len(good)) for _ in range(20)]
    for at in places:
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with new(Disk(), tmp_path) as store:
            with pytest.raises(DamagedWindowError, match="build window 5 anew from the rows") as refused:
                store.open(5)
            block = (at - head.size) // BLOCK
            assert (refused.value.window, refused.value.block) == (5, block)
            assert refused.value.start <= at < refused.value.end
            assert [each.start for each in store.damage] == [refused.value.start]
            assert (store.windows, store.to_rebuild) == ([], {5: Why.DAMAGED})
            with pytest.raises(CallerError, match="window 5 is not on disk: its file is damaged"):
                store.open(5)
            assert not path.exists()
            assert save(store, 5, content, 2)
            assert (read(store, 5), store.to_rebuild) == (content, {})


def test_a_head_that_is_wrong_in_any_bit_is_no_window() -> None:
    files = CrashFiles()
    with new(files) as store:
        save(store, 5, content_of(1, 2))
    image = files.image()
    path = str(FOLDER / forest_format.window_name(5))
    for at in range(128):
        for bit in range(8):
            data = bytearray(image[path])
            data[at] ^= 1 << bit
            broken = CrashFiles({**image, path: bytes(data)})
            with new(broken) as store:
                assert (store.windows, store.to_rebuild) == ([], {5: Why.DAMAGED})
                assert len(store.damage) == 1
            assert path not in broken.image()


def test_a_file_that_is_cut_off_or_longer_or_another_windows_is_damaged() -> None:
    files = CrashFiles()
    with new(files) as store:
        save(store, 5, content_of(1, 2))
    image = files.image()
    path = str(FOLDER / forest_format.window_name(5))
    other = str(FOLDER / forest_format.window_name(6))
    for name, data in (
        (path, image[path][:-1]),
        (path, image[path] + b"x"),
        (path, b""),
        (other, image[path]),
    ):
        with new(CrashFiles({name: data})) as store:
            assert store.windows == []
            assert list(store.to_rebuild.values()) == [Why.DAMAGED]


def test_a_block_of_another_window_or_generation_is_noticed() -> None:
    files = CrashFiles()
    with new(files) as store:
        save(store, 1, content_of(1, 2))
        save(store, 2, content_of(3, 4))
        first = files.image()
        save(store, 1, content_of(1, 2, 3))
        save(store, 1, content_of(1, 5))
    image = files.image()
    one, two = (str(FOLDER / forest_format.window_name(window)) for window in (1, 2))
    for taken in (image[two], first[one]):
        mixed = image[one][:128] + taken[128:]
        with new(CrashFiles({one: mixed})) as store, pytest.raises(DamagedWindowError):
            store.open(1)


def test_a_block_that_the_disk_does_not_give_back_is_damage_and_not_the_end_of_the_process() -> None:
    files = CrashFiles()
    with new(files) as store:
        save(store, 1, content_of(*range(3)))
        files.fail = lambda call: errno.EIO if call.startswith("pread 128") else None
        with pytest.raises(DamagedWindowError, match="the disk does not give it back") as refused:
            store.open(1)
        assert refused.value.block == 0
        assert store.to_rebuild == {1: Why.DAMAGED}


def test_a_damaged_window_that_can_not_be_removed_is_of_no_use_and_its_amendments_are_kept() -> None:
    files = CrashFiles()
    with new(files) as store:
        save(store, 1, content_of(1, 2))
        amend(store, 1, 1)
        files.fail = lambda call: errno.EIO if call.startswith(("remove", "pread 128")) else None
        with pytest.raises(DamagedWindowError):
            store.open(1)
        files.fail = lambda call: None
        assert (store.windows, store.digests()) == ([], {})
        amend(store, 1, 2)
    with new(files) as store:  # It could be read after all.
        assert store.digest(1) is None
        assert read(store, 1) == {place(1): entry(1, 2), place(2): entry(2, 2)}


def test_a_window_that_somebody_deletes_is_missing() -> None:
    files = CrashFiles()
    with new(files) as store:
        save(store, 1, content_of(1, 2))
        files.remove(FOLDER / forest_format.window_name(1))
        with pytest.raises(FileMissingError):
            store.open(1)
        assert store.to_rebuild == {1: Why.MISSING}
    files = CrashFiles()
    with new(files) as store:
        save(store, 1, content_of(1, 2))
        amend(store, 1, 1)
    files.remove(FOLDER / forest_format.window_name(1))
    with new(files) as store:
        assert (store.windows, store.to_rebuild) == ([], {1: Why.MISSING})
        with pytest.raises(CallerError, match="its file is not there"):
            store.digest(1)


def test_a_newer_format_is_refused() -> None:
    files = CrashFiles()
    with new(files) as store:
        save(store, 1, content_of(1))
        amend(store, 1, 1)
    for ending, length in ((".window", 128), (".amendments", 80)):
        image = files.image()
        path = next(path for path in image if path.endswith(ending))
        head = bytearray(image[path][:length])
        head[8:10] = (2).to_bytes(2, "big")
        head[-4:] = checksum(bytes(head[:-4])).to_bytes(4, "big")
        newer = CrashFiles({**image, path: bytes(head) + image[path][length:]})
        with pytest.raises(FormatError, match=r"version 2, .* version 1: start the newer version") as refused:
            new(newer)
        assert "hint" not in str(refused.value)
        newer.lock(FOLDER / forest_store.LOCK).close()  # It was given up.


def test_another_setting_begins_anew() -> None:
    files = CrashFiles()
    with new(files) as store:
        save(store, 1, content_of(1))
        amend(store, 1, 1)
    with ForestStore(FOLDER, LATER, SMALL, files=files) as store:
        assert (store.windows, store.to_rebuild) == ([], {1: Why.OTHER_SETTING})
        assert files.names(FOLDER) == [forest_store.LOCK]
        save(store, 1, content_of(1, 2))
        amend(store, 1, 1)
    with ForestStore(FOLDER, LATER, SMALL, files=files) as store:
        assert read(store, 1) == {**content_of(2), place(1): entry(1, 2)}


def test_what_is_left_over_is_removed_and_what_is_unknown_is_reported_and_left_alone() -> None:
    left = f"{forest_format.window_name(3)}.0123456789abcdef.new"
    strange = ["notes.txt", "3.window", "0.amendments", "notes.0123456789abcdef.new"]
    files = CrashFiles({str(FOLDER / name): b"data" for name in [left, *strange]})
    with new(files) as store:
        assert store.windows == []
        assert sorted(Path(each.path).name for each in store.damage) == sorted(strange)
        assert all("move it out of the folder" in str(each) for each in store.damage)
        assert set(files.names(FOLDER)) == {*strange, forest_store.LOCK}


# --- amendments -------------------------------------------------------------------------------------------


def test_amendments_go_on_top_and_make_a_window_dirty_until_it_is_saved() -> None:
    files = CrashFiles()
    with new(files) as store:
        save(store, 1, content_of(1, 2, 3))
        clean = store.digest(1)
        amend(store, 1, 2)
        amend(store, 1, 2, 3)
        amend(store, 1, 3, None)
        amend(store, 1, 4)
        now = {**content_of(1), place(2): entry(2, 3), place(4): entry(4, 2)}
        assert (store.digest(1), store.amended(1), store.due()) == (None, 4, [1])
    with new(files) as store:
        assert (store.digest(1), store.digests(), store.amended(1)) == (None, {1: None}, 4)
        with store.open(1) as opened:
            assert opened.digest is None
            assert opened.amendments == {place(2): entry(2, 3), place(3): None, place(4): entry(4, 2)}
            assert opened.head.digest == clean
        assert read(store, 1) == now
        save(store, 1, now)
        assert (store.amended(1), store.due(), store.log_bytes) == (4, [], 0)
        amend(store, 1, 5)
        assert store.amended(1) == 5
    with new(files) as store:
        assert read(store, 1) == {**now, place(5): entry(5, 2)}
        assert store.amended(1) == 5


def test_what_is_appended_between_mark_and_save_goes_on_top() -> None:
    files = CrashFiles()
    with new(files) as store:
        mark = store.mark(1)
        amend(store, 1, 2)
        group = store.append([Amendment(1, place(3), entry(3))])
        assert store.save(mark, *arrays(1, content_of(1, 2)))
        assert group.is_done  # It was made durable before the file.
        assert store.digest(1) is None
    with new(files) as store:
        assert read(store, 1) == {**content_of(1, 3), place(2): entry(2, 2)}


def test_nothing_is_written_of_windows_that_are_not_there() -> None:
    files = CrashFiles()
    with new(files) as store:
        group = store.append([Amendment(1, place(1), entry(1))])
        assert group.is_done
        store.sync(group)
        mark = store.mark(1)
        amend(store, 1, 1)
        store.cancel(mark)
        amend(store, 1, 2)
        assert not store.save(mark, *arrays(1, content_of(1)))
        assert (store.windows, store.due()) == ([], [])
    assert not [path for path in files.image() if path.endswith(".window")]


def test_an_older_mark_and_one_that_was_given_up_save_nothing() -> None:
    with new(CrashFiles()) as store:
        old = store.mark(1)
        newer = store.mark(1)
        assert not store.save(old, *arrays(1, content_of(1)))
        store.cancel(old)
        assert store.save(newer, *arrays(1, content_of(2)))
        mark = store.mark(1)
        store.give_up([1])
        assert (store.windows, store.to_rebuild) == ([], {1: Why.GIVEN_UP})
        assert not store.save(mark, *arrays(1, content_of(1)))
        assert save(store, 1, content_of(3))
        assert store.to_rebuild == {}


def test_what_the_disk_refused_is_neither_there_nor_in_what_is_saved() -> None:
    files = CrashFiles()
    with new(files) as store:
        save(store, 1, content_of(1))
        group = store.append([Amendment(1, place(2), entry(2))])
        mark = store.mark(1)  # Its number counts on the group.
        later = store.mark(2)
        files.fail = lambda call: errno.EIO if call == "sync amendments" else None
        for _ in range(2):
            with pytest.raises(DiskFaultError, match="it can not sync"):
                store.sync(group)
        files.fail = lambda call: None
        assert not store.save(mark, *arrays(1, content_of(1, 2)))
        assert not store.save(later, *arrays(2, content_of(1, 2)))
        assert (read(store, 1), store.digest(1)) == (content_of(1), arrays(1, content_of(1))[2])
        amend(store, 1, 3, 1)
        assert save(store, 2, content_of(5))
    with new(files) as store:  # The next segment says that it does not count.
        assert read(store, 1) == content_of(1, 3)
        assert read(store, 2) == content_of(5)


def test_a_window_that_could_not_be_saved_is_not_taken_for_clean_later() -> None:
    files = CrashFiles()
    with new(files) as store:
        mark = store.mark(1)
        files.fail = lambda call: errno.EIO if call == "sync name of sealed window" else None
        with pytest.raises(DiskFaultError):
            store.save(mark, *arrays(1, content_of(1)))
        files.fail = lambda call: None
        assert (store.windows, store.to_rebuild) == ([], {1: Why.NOT_SAVED})
        store.cancel(mark)
        amend(store, 1, 2, 1)
    with new(files) as store:
        assert read(store, 1) == content_of(1, 2)


def test_random_histories_give_back_what_was_last_written() -> None:
    for seed in range(30):
        chance = random.Random(seed)
        files = CrashFiles()
        truth: dict[int, Content] = {window: {} for window in range(4)}
        store = new(files)
        for _ in range(120):
            window = chance.randrange(4)
            match chance.randrange(12):
                case 0:
                    store.close()
                    store = new(files)
                case 1:
                    mark, content = store.mark(window), {**truth[window]}
                    if chance.random() < 0.5:
                        change = chance.randrange(9)
                        truth[window][place(change)] = entry(change, seed)
                        amend(store, window, change, seed)
                    assert store.save(mark, *arrays(window, content)), f"seed {seed}"
                case 2 if chance.random() < 0.2:
                    store.give_up([window])
                case 3:
                    for due in store.due():
                        save(store, due, truth[due])
                case _:
                    number, version = chance.randrange(9), chance.choice((None, chance.randrange(1, 99)))
                    truth[window].pop(place(number), None)
                    if version is not None:
                        truth[window][place(number)] = entry(number, version)
                    amend(store, window, number, version)
            assert store.log_bytes <= SMALL.max_log_bytes, f"seed {seed}"
            for each in store.windows:
                assert read(store, each) == truth[each], f"seed {seed}"
                digest = store.digest(each)
                assert digest in (None, arrays(each, truth[each])[2]), f"seed {seed}"
        store.close()
        assert files.open_files == 0


# --- the log ----------------------------------------------------------------------------------------------


def log_of(files: CrashFiles) -> list[str]:
    return sorted(path for path in files.image() if path.endswith(".amendments"))


def three_batches() -> CrashFiles:
    """Window 1 was saved before three batches that amend it, window 2 after the second."""
    files = CrashFiles()
    with new(files) as store:
        save(store, 1, content_of(1))
        amend(store, 1, 2, 1)
        amend(store, 1, 3, 1)
        save(store, 2, content_of(1))
        amend(store, 1, 4, 1)
    return files


def test_a_bad_byte_costs_exactly_the_windows_that_may_have_needed_it() -> None:
    image = three_batches().image()
    path = next(path for path in image if path.endswith(".amendments"))
    size = BATCH.size + 57
    for at in range(len(image[path])):
        data = bytearray(image[path])
        data[at] ^= 0x40
        with new(CrashFiles({**image, path: bytes(data)})) as store:
            batch = (at - HEADER.size) // size
            if at < HEADER.size:
                wanted = {1: Why.LOST_AMENDMENTS, 2: Why.LOST_AMENDMENTS}
            elif batch < 2:
                wanted = {1: Why.LOST_AMENDMENTS}
            elif batch == 2:
                wanted = {1: Why.LOST_AMENDMENTS, 2: Why.LOST_AMENDMENTS}
            else:
                wanted = {}  # The note that the log was closed in order.
            assert store.to_rebuild == wanted, at
            assert bool(store.damage) == bool(wanted)
            assert store.windows == [window for window in (1, 2) if window not in wanted]


def test_a_window_that_holds_some_of_what_was_lost_is_lost_as_well() -> None:
    image = three_batches().image()
    path = next(path for path in image if path.endswith(".amendments"))
    data = bytearray(image[path])
    for batch in (1, 2):  # The second window was saved between them.
        data[HEADER.size + batch * (BATCH.size + 57) + 30] ^= 1
    with new(CrashFiles({**image, path: bytes(data)})) as store:
        assert store.to_rebuild == {1: Why.LOST_AMENDMENTS, 2: Why.LOST_AMENDMENTS}
        assert "batches 2 to 3 of amendments are lost" in str(store.damage[0])


def test_a_log_that_is_cut_off_anywhere_gives_back_what_is_before() -> None:
    image = three_batches().image()
    path = next(path for path in image if path.endswith(".amendments"))
    size = BATCH.size + 57
    saved_after = HEADER.size + 2 * size  # The second window says that two batches were durable.
    for end in range(len(image[path])):
        with new(CrashFiles({**image, path: image[path][:end]})) as store:
            if end < saved_after:
                assert store.to_rebuild == {1: Why.LOST_AMENDMENTS}, end
            else:
                assert not store.damage
                whole = (end - HEADER.size) // size
                assert read(store, 1) == content_of(1, 2, 3, 4) if whole == 3 else content_of(1, 2, 3)


def test_a_segment_that_the_disk_does_not_give_back_is_not_taken_for_one_that_ends_early() -> None:
    def refusing(from_the: int) -> Callable[[str], int | None]:
        reads = 0

        def fail(call: str) -> int | None:
            nonlocal reads
            is_read = call.startswith("pread 0") and call.endswith(".amendments")
            reads += is_read
            return errno.EIO if is_read and reads >= from_the else None

        return fail

    for from_the in (1, 2):  # Its header, and the rest.
        files = three_batches()
        files.fail = refusing(from_the)
        with new(files) as store:
            assert store.to_rebuild == {1: Why.LOST_AMENDMENTS, 2: Why.LOST_AMENDMENTS}


def test_segments_go_when_nothing_in_them_is_needed_the_oldest_first() -> None:
    files = CrashFiles()
    with new(files) as store:
        save(store, 1, {})
        save(store, 2, {})
        for number in range(12):
            amend(store, 1 + number % 2, number)
        assert len(log_of(files)) == 3
        save(store, 1, content_of(1))
        assert len(log_of(files)) == 3
        assert 2 in store.due()
        save(store, 2, content_of(1))
        assert len(log_of(files)) <= 1


def test_a_window_that_is_not_folded_in_time_is_given_up_and_no_row_is_refused() -> None:
    files = CrashFiles()
    with new(files) as store:
        save(store, 1, {})
        save(store, 2, {})
        amend(store, 1, 0)
        for number in range(100):
            amend(store, 2, number)
            assert store.log_bytes <= SMALL.max_log_bytes
        assert (store.windows, store.to_rebuild) == ([], {1: Why.LOG_FULL, 2: Why.LOG_FULL})
        save(store, 1, content_of(7))
    with new(files) as store:
        assert store.windows == [1]


def test_a_full_log_is_relieved_while_a_window_is_saved() -> None:
    files = CrashFiles()
    with new(files) as store:
        save(store, 1, {})
        mark = store.mark(2)
        while store.log_bytes < SMALL.max_log_bytes - 150:
            amend(store, 1, 1)
        store.append([Amendment(1, place(number), entry(number)) for number in range(15)])
        assert store.save(mark, *arrays(2, content_of(1)))
        assert store.windows == [2]


def test_numbers_are_not_used_again_when_the_log_is_gone() -> None:
    files = CrashFiles()
    with new(files) as store:
        save(store, 1, {})
        for number in range(3):
            amend(store, 1, number, 1)
        save(store, 1, content_of(0, 1, 2))
    with new(files) as store:
        assert log_of(files) == []  # What was in it is in the window.
    with new(files) as store:
        amend(store, 1, 5, 1)
    with new(files) as store:
        assert read(store, 1) == content_of(0, 1, 2, 5)


def test_whoever_comes_meanwhile_is_written_together() -> None:
    files = CrashFiles()
    with new(files) as store:
        save(store, 1, {})
        groups = [store.append([Amendment(1, place(number), entry(number))]) for number in range(5)]
        assert len(set(map(id, groups))) == 1
        before = len(files.syncs)
        for group in groups:
            store.sync(group)
        assert [sync.what for sync in files.syncs[before:]].count("amendments") == 1


def test_many_threads_append_and_save_at_once(tmp_path: Path, in_threads: Callable[..., None]) -> None:
    settings = Settings(segment_bytes=2000, max_queued_bytes=4000, max_log_bytes=1 << 20, fold_after=20)
    store = new(Disk(), tmp_path, settings)
    truth: dict[int, Content] = {window: {} for window in range(3)}
    guards = [threading.Lock() for _ in truth]
    for window in truth:
        save(store, window, {})

    def write(salt: int) -> None:
        for number in range(40):
            window = (salt + number) % 3
            with guards[window]:  # As the owner of a tree does: the tree and the log are in one order.
                truth[window][place(number)] = entry(number, salt)
                group = store.append([Amendment(window, place(number), entry(number, salt))])
            store.sync(group)

    def fold() -> None:
        for number in range(30):
            window = number % 3
            with guards[window]:
                mark, content = store.mark(window), {**truth[window]}
            store.save(mark, *arrays(window, content))

    in_threads(*(lambda salt=salt: write(salt) for salt in range(1, 5)), fold)
    for window in truth:
        assert read(store, window) == truth[window]
    store.close()
    with new(Disk(), tmp_path, settings) as store:
        assert not store.damage
        for window in truth:
            assert read(store, window) == truth[window]


# --- bounds, and what can not be --------------------------------------------------------------------------


def test_no_more_windows_are_open_than_may_be() -> None:
    files = CrashFiles()
    with new(files, settings=Settings(max_open_windows=2)) as store:
        for window in range(3):
            save(store, window, content_of(1))
        opened = [store.open(0), store.open(0)]
        with pytest.raises(ForestLimitError, match="max_open_windows = 2 is reached: close another window"):
            store.open(1)
        opened[0].close()
        opened[0].close()
        store.open(1).close()
        opened[1].close()
    assert files.open_files == 0


def test_what_waits_is_bounded() -> None:
    with new(CrashFiles()) as store:
        save(store, 1, {})
        batch = [Amendment(1, place(number), entry(number)) for number in range(15)]
        group = store.append(batch)
        with pytest.raises(ForestLimitError, match=r"max_queued_bytes = 1000 .* sync what was appended"):
            store.append(batch)
        store.sync(group)
        with pytest.raises(ForestLimitError, match="make smaller batches"):
            store.append(batch * 2)
        with pytest.raises(CallerError, match="65537 amendments in one batch"):
            store.append([batch[0]] * 65_537)
        assert len(read(store, 1)) == 15


@pytest.mark.parametrize(
    ("amendment", "message"),
    [
        (Amendment(-1, bytes(16), None), "window -1"),
        (Amendment(1 << 63, bytes(16), None), "window 9223372036854775808"),
        (Amendment(1, bytes(15), None), "has 15 bytes"),
        (Amendment(1, bytes(16), bytes(47)), "is none of the place"),
        (Amendment(1, bytes(16), b"x" * 48), "is none of the place"),
    ],
)
def test_impossible_amendments_are_refused(amendment: Amendment, message: str) -> None:
    with new(CrashFiles()) as store, pytest.raises(CallerError, match=message):
        store.append([Amendment(1, place(1), entry(1)), amendment])


def test_impossible_settings_and_identities_are_refused() -> None:
    for name in ("segment_bytes", "max_log_bytes", "fold_after", "max_open_windows", "max_queued_bytes"):
        with pytest.raises(ConfigurationError, match=name):
            Settings(**{name: 0})
    with pytest.raises(ConfigurationError, match="max_reports = -1"):
        Settings(max_reports=-1)
    with pytest.raises(ConfigurationError, match="room for two segments"):
        Settings(segment_bytes=1 << 30)
    with pytest.raises(CallerError, match="has 31 bytes, not 32"):
        ForestStore(FOLDER, bytes(31), files=CrashFiles())
    with new(CrashFiles()) as store, pytest.raises(CallerError, match="window -1"):
        store.mark(-1)


def test_one_folder_has_one_store_and_a_closed_one_is_of_no_use(tmp_path: Path) -> None:
    store = new(Disk(), tmp_path)
    with pytest.raises(FileLockedError):
        new(Disk(), tmp_path)
    save(store, 1, content_of(1))
    mark = store.mark(1)
    group = store.append([Amendment(1, place(2), entry(2))])
    store.close()
    store.close()
    assert group.is_done
    store.sync(group)
    calls: list[Callable[[], object]] = [
        lambda: store.append([Amendment(1, place(2), entry(2))]),
        lambda: store.mark(1),
        lambda: store.save(mark, b"", b"", b""),
        lambda: store.give_up([1]),
        lambda: store.open(1),
    ]
    for call in calls:
        with pytest.raises(CallerError, match="was closed: open it again"):
            call()
    with new(Disk(), tmp_path) as again:
        assert read(again, 1) == content_of(1, 2)


def test_a_lock_that_was_taken_away_ends_all_writing(tmp_path: Path) -> None:
    store = new(Disk(), tmp_path)
    save(store, 1, content_of(1))
    group = store.append([Amendment(1, place(2), entry(2))])
    (tmp_path / forest_store.LOCK).unlink()
    with pytest.raises(FileError, match="stop every process of this node"):
        store.sync(group)
    with pytest.raises(FileError, match="stop every process of this node"):
        save(store, 2, content_of(1))
    store.close()


def test_errors_keep_their_facts_across_processes() -> None:
    for error in (
        DamagedWindowError("/a", 5, 3, 64, 128, "its checksum does not fit"),
        DamagedWindowError("/a", 5, None, 0, 128, "its head"),
        ForestLimitError("max_open_windows", 3, "close one"),
        FormatError("/a", 2, 1, forest_format.REMEDY),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_the_bytes_of_a_window_are_as_the_format_says() -> None:
    head = Head(IDENTITY, 7, 2, 0, 3, 4, 5, b"d" * 32)
    data = b"".join(forest_format.encode_window(head, memoryview(b"r" * 96), memoryview(b"l" * 32)))
    body = b"r" * 96 + bytes(32) + b"l" * 32
    assert data[:8] == b"SBwindow"
    assert data[8:16] == bytes((0, 1, 0, 0, 0, 0, 0, 128))
    assert data[16:88] == IDENTITY + b"".join(n.to_bytes(8, "big") for n in (7, 2, 3, 4, 5))
    assert data[88:120] == b"d" * 32
    assert data[120:124] == checksum(body).to_bytes(4, "big")
    assert data[124:128] == checksum(data[:124]).to_bytes(4, "big")
    assert data[128:] == body
    assert forest_format.decode_head(data[:128], Path("a"))[0] == head
