"""Valid files made wrong, by Hypothesis: near the grammar of their format, and anywhere in their bytes.

In: the bytes of a valid file. Out: the bytes of one that may be anything. A format with checksums is taken apart
and put together again with the right ones, or no harm would ever get behind them.
"""

import binascii
import copy
import gzip
import hashlib
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

HUGE = 10**30
# What no field expects: another type, a number beyond its range, text that is a path, or no text at all.
VALUES: list[Any] = [
    None,
    True,
    False,
    "",
    "x",
    "3",
    "NaN",
    "\0",
    "../..",
    "/etc/passwd",
    "\ud800",
    "é" * 300,
    [],
    {},
    [[]],
    [None],
    {"a": 1},
    [1, "x", None],
    0,
    -1,
    1,
    2,
    1.5,
    -0.0,
    1e308,
    -1e308,
    5e-324,
    1e-9,
    HUGE,
    -HUGE,
    2**31,
    2**31 - 1,
    2**32,
    2**63,
    2**63 - 1,
    -(2**63),
    10**18,
    float("inf"),
    float("-inf"),
    float("nan"),
    65535,
    65536,
    10**9,
    "1/0",
    "1e999999999",
    "9" * 5000,
]
WORDS = [
    "",
    "0",
    "-1",
    "1e400",
    "nan",
    "-inf",
    "1_000",
    "0x10",
    "9" * 400,
    "1" * 5000,
    "1e-320",
    "2147483648",
    "-",
    ".",
    "[",
    "]",
    "{",
    "}",
    '"',
    "'",
    ",",
    ";",
    "\t",
    "\n",
    "\r",
    "\0",
    "#",
    "%",
    "é",
    "\u2028",
    "\ufeff",
    "true",
    "null",
    "None",
    "../../x",
    "/etc/passwd",
    "!!python/object/apply:os.getcwd []",
    "*a",
    "&a",
    "---",
    "[" * 3000,
    '{"a":' * 3000,
    "1e999999999",
    "99999999999999999999",
    "1.5",
    "²",
    "٣",
    "NaN",
]
_NUMBERS = [struct.pack(kind, value) for kind, value in (
    ("<B", 0), ("<B", 255), ("<B", 127), ("<H", 65535), ("<I", 2**32 - 1), ("<I", 2**31 - 1), ("<I", 2**31),
    ("<Q", 2**64 - 1), ("<Q", 2**63 - 1), ("<Q", 2**40), (">I", 2**31 - 1), (">I", 2**32 - 1), (">H", 65535),
)]  # fmt: skip
_PNG = b"\x89PNG\r\n\x1a\n"
# Behind each line of a ledger stands so much of its SHA-256.
_CHECK_DIGITS = 16
_WORD = re.compile(r"[^\s,;:{}\[\]\"']+|[,;:{}\[\]\"'\s]")


def below(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, max(count - 1, 0))


def wrong_bytes(draw: Draw, data: bytes) -> bytes:
    """Bits flipped, a part cut out, doubled, overwritten or put in; or cut short anywhere."""
    kind = draw(st.sampled_from(["flip", "number", "cut", "out", "twice", "in", "raw"]))
    start = draw(below(len(data)))
    if kind == "raw":
        return bytes(draw(st.binary(max_size=200)))
    if kind == "flip":
        flipped = bytearray(data)
        for place in draw(st.lists(below(len(data)), min_size=1, max_size=8)) if data else ():
            flipped[place] ^= 1 << draw(below(8))
        return bytes(flipped)
    if kind == "number":
        number = draw(st.sampled_from(_NUMBERS))
        return data[:start] + number + data[start + len(number) :]
    if kind == "cut":
        return data[:start]
    stop = min(start + 1 + draw(below(64)), len(data))
    if kind == "out":
        return data[:start] + data[stop:]
    if kind == "twice":
        return data[:stop] + data[start:stop] * (1 + draw(below(4))) + data[stop:]
    return data[:start] + bytes(draw(st.binary(max_size=16))) + data[start:]


def wrong_text(draw: Draw, data: bytes) -> bytes:
    """A word replaced by another, a word or a line left out, doubled or moved."""
    words = _WORD.findall(data.decode(errors="replace"))
    for _ in range(1 + draw(below(3))):
        if not words:
            return b""
        place, kind = draw(below(len(words))), draw(st.sampled_from(["other", "other", "out", "twice", "move"]))
        if kind == "other":
            words[place] = draw(st.sampled_from(WORDS))
        elif kind == "out":
            del words[place : place + 1 + draw(below(12))]
        elif kind == "twice":
            words[place:place] = words[place : place + 1 + draw(below(12))]
        else:
            words.insert(draw(below(len(words))), words.pop(place))
    return "".join(words).encode(errors="surrogatepass")


def wrong_json(draw: Draw, data: bytes) -> bytes:
    """A key removed, doubled or renamed, a value of another type or range, and all of it deeply nested."""
    try:
        value = json.loads(data)
    except ValueError:  # a line of another kind
        return wrong_text(draw, data)
    for _ in range(1 + draw(below(3))):
        value = _wrong_value(draw, value)
    text = json.dumps(value)
    if draw(below(20)) == 0:
        text = text.replace(draw(st.sampled_from(["1", "}", '"'])), "[" * 100_000, 1)
    return text.encode()


def _places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [above]
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        found += _places(item, (*above, key))
    return found


def _wrong_value(draw: Draw, value: Any) -> Any:
    places = _places(value)
    *way, last = draw(st.sampled_from(places[1:])) if len(places) > 1 else (None,)
    odd = copy.deepcopy(draw(st.sampled_from(VALUES)))
    if last is None or draw(below(40)) == 0:
        return odd
    held = value
    for key in way:
        held = held[key]
    kind = draw(st.sampled_from(["other", "other", "other", "out", "wrap", "twice", "swap"]))
    if kind == "other":
        held[last] = odd
    elif kind == "out":
        del held[last]
    elif kind == "wrap":
        held[last] = copy.deepcopy(draw(st.sampled_from([[held[last]], {"a": held[last]}, [held[last]] * 3])))
    elif kind == "twice" and isinstance(held, list):
        held.insert(last, copy.deepcopy(held[last]))
    elif isinstance(held, dict):
        held[draw(st.sampled_from([*held, "x", ""]))] = copy.deepcopy(held[last])
    return value


def wrong_lines(draw: Draw, data: bytes) -> bytes:
    """JSON lines: one of them wrong, with the right checksum where they have any."""
    lines = data.splitlines()
    place = draw(below(len(lines)))
    wrong = draw(st.sampled_from([wrong_json, wrong_text, wrong_bytes]))
    text, tab, check = lines[place].rpartition(b"\t")
    if tab and len(check) == _CHECK_DIGITS:
        text = wrong(draw, text)
        lines[place] = text + tab + hashlib.sha256(text).hexdigest()[:_CHECK_DIGITS].encode()
    else:
        lines[place] = wrong(draw, lines[place])
    return b"\n".join(lines) + b"\n"


def wrong_zip(draw: Draw, data: bytes) -> bytes:
    """A member that is wrong, with the right checksum; or absent, or twice, or packed in another way."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    place = draw(below(len(members)))
    name, content = members[place]
    kind = draw(st.sampled_from(["wrong", "wrong", "wrong", "out", "name"]))
    if kind == "out":
        del members[place]
    elif kind == "name":
        members[place] = draw(st.sampled_from(["x.npy", "../x", "depth.npy", "data.pkl"])), content
    else:
        members[place] = (
            name,
            wrong_array(draw, content) if content[:6] == b"\x93NUMPY" else wrong_bytes(draw, content),
        )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", draw(st.sampled_from([0, 8, 12, 14]))) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return packed.getvalue()


def wrong_array(draw: Draw, data: bytes) -> bytes:
    """NumPy's format: another dtype or shape in the header, or wrong values behind it."""
    length = struct.unpack("<H", data[8:10])[0]
    header, values = data[10 : 10 + length], data[10 + length :]
    if draw(below(3)) == 0:
        values = wrong_bytes(draw, values)
    kinds = [
        b"'|O'",
        b"'<f8'",
        b"'<U9'",
        b"'<c16'",
        b"'|b1'",
        b"'<i8'",
        b"'<u2'",
        b"'>f4'",
        b"'<M8[s]'",
        b"'|V0'",
        b"[('a','<f4')]",
        b"'<f2'",
    ]
    if draw(st.booleans()):
        header = re.sub(rb"(?<='descr': )[^,]+", draw(st.sampled_from(kinds)), header, count=1)
    sizes = [
        b"()",
        b"(0,)",
        b"(1,)",
        b"(-1,)",
        b"(1, 1)",
        b"(2, 2, 2)",
        b"(1099511627776,)",
        b"(9223372036854775807, 4)",
        b"'x'",
        b"(1.5,)",
        b"(0, 0, 0)",
        b"(3, 4, 5, 6)",
    ]
    if draw(st.booleans()):
        header = re.sub(rb"(?<='shape': )\([^)]*\)", draw(st.sampled_from(sizes)), header, count=1)
    if draw(below(6)) == 0:
        header = header.replace(b"False", draw(st.sampled_from([b"True", b"[" * 50, b"1", b"x"])), 1)
    return data[:8] + struct.pack("<H", len(header)) + header + values


def wrong_png(draw: Draw, data: bytes) -> bytes:
    """A chunk that is wrong, absent or doubled, with the right checksum."""
    chunks, at = [], len(_PNG)
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        chunks.append((kind, data[at + 8 : at + 8 + length]))
        at += 12 + length
    place = draw(below(len(chunks)))
    kind, content = chunks[place]
    how = draw(st.sampled_from(["wrong", "wrong", "wrong", "out", "twice", "kind"]))
    if how == "out":
        del chunks[place]
    elif how == "twice":
        chunks.insert(place, chunks[place])
    elif how == "kind":
        chunks[place] = draw(st.sampled_from([b"eXIf", b"zTXt", b"iCCP", b"tRNS", b"acTL", b"PLTE"])), content
    else:
        chunks[place] = kind, wrong_bytes(draw, content)
    return _PNG + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", binascii.crc32(kind + content))
        for kind, content in chunks
    )


def wrong_safetensors(draw: Draw, data: bytes) -> bytes:
    length = struct.unpack("<Q", data[:8])[0]
    header = wrong_json(draw, data[8 : 8 + length])
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def wrong_gzip(draw: Draw, data: bytes) -> bytes:
    return gzip.compress(wrong_text(draw, gzip.decompress(data)), 1)


BY_SUFFIX: dict[str, Callable[[Draw, bytes], bytes]] = {
    ".json": wrong_json,
    ".jsonl": wrong_lines,
    ".npz": wrong_zip,
    ".npy": wrong_array,
    ".pth": wrong_zip,
    ".png": wrong_png,
    ".safetensors": wrong_safetensors,
    ".gz": wrong_gzip,
    **dict.fromkeys((".csv", ".tsv", ".txt", ".yaml", ".yml", ".ini", ".lst", ".xml"), wrong_text),
}


@st.composite
def wrong_file(draw: Draw, name: str, data: bytes) -> bytes:
    """``data``, of the file ``name``, made wrong in one way of its format, or in its bytes."""
    near = BY_SUFFIX.get(name[name.rindex(".") :], wrong_bytes)
    return draw(st.sampled_from([near, near, near, wrong_bytes, wrong_text]))(draw, data)
