"""Makes label files hostile: bytes, words, structure and names of valid ones are changed, and new ones are grown.

Everything is drawn from the random number generator that is given, so that a case can be made again.
"""

from __future__ import annotations

import codecs
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from random import Random
from typing import Any

from benchmarks.label_seeds import Files, Seed

HOSTILE_NUMBERS = [
    "NaN", "-NaN", "Infinity", "-Infinity", "inf", "1e300", "-1e300", "1e999", "1e-320", "-1", "-0", "0", "0.0", "0.5",
    "1", "2147483648", "-9223372036854775809", "18446744073709551616", "9" * 400, "9" * 5000, "1_000", "0x10", "1,5",
    "+1", "½", "٣", "1e", "--1", "1.2.3", "True", "nan(1)", "100.0000001", "99.99999999999999999",
]  # fmt: skip

HOSTILE_TEXTS = [
    "", " ", "\t", "\n", "\0", "a\0b", "../../etc/passwd", "/etc/passwd", "C:\\Windows\\win.ini", "..\\..\\a.jpg",
    "\\\\server\\share\\a.jpg", "//server/share/a.jpg", "file:///etc/passwd", "http://127.0.0.1:9/a.jpg", "s3://b/a",
    "\ud800", "\udcff", "\ufeff", "\u202egpj.a", "a" * 300, "a/" * 2000, "x" * 70_000, ".", "..", "/", "\\", "~",
    "CON", "nul.txt", "a.jpg/../../b", "a.jpg ", "A.JPG", "b", "rust", "RUST", "rust ", "-", "--help", "$(touch x)",
    "`touch x`", "%s%n%x", "{0.__class__}", "{}", "[]", "null", "true", "'", '"', "'); drop table boxes;--", "=1+1",
    "&lt;", "]]>", "<!--", "é", "e\u0301", "灰霉", "👩‍🔬", "\x1b[31m", "\x7f", "\r", "\r\n", "\u2028",
    "data:image/png;base64,", "<a>", "~root",
]  # fmt: skip

ENTITIES = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(9))
DOCTYPES = [
    f"<!DOCTYPE lolz [{ENTITIES}]>",
    '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">',
    '<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1:9/p"> %p;]>',
    f'<!DOCTYPE a [<!ENTITY q "{"q" * 10_000}">]>',
    "<!DOCTYPE annotations>",
]

YAML_BOMB = "a0: &a0 [ha, ha]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)  # fmt: skip
ODD_YAML = [
    "", "[]", "names:", "names: 3", "names: {a: b}", "names: {-1: a, 0: b}", "names: [[a], {b: c}, null, 1.5]",
    "names: [rust, rust]", "names: {0: rust, 0: smut}", "names: !!python/object/apply:os.system [touch x]", "nc: 1e999",
    f"{YAML_BOMB}names: *a8\n", "names: " + "[" * 3000, "names: &a [*a]", "names: {0: *a}", "names: !!int ''", "\0",
    "names: {1:1:1:1.5: a}", "names: ['\\ud800']", "names: [\"\\0\", \"\\x1b\"]", "- names", "? [a]\n: b",
    "%YAML 9.9\n---\n", "names: [2024-01-01]",
]  # fmt: skip

NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
TOKEN = re.compile(rb'"[^"\n]{0,80}"|[\w.+-]+|[^\s\w]')

Mutation = Callable[[bytes, Random], bytes]


def mutated(seed: Seed, rng: Random) -> Files:
    """The files of a seed, changed in one to four ways."""
    files = dict(seed.files)
    for _ in range(rng.choice([1, 1, 1, 2, 2, 4])):
        name = rng.choice(sorted(files))
        files[name] = rng.choice(_ways(name))(files[name], rng)
        if rng.random() < 0.05:
            _strange_names(files, seed, rng)
        if rng.random() < 0.04:
            files[rng.choice(["data.yaml", "data.yml"])] = rng.choice(ODD_YAML).encode("utf-8", "surrogatepass")
        if rng.random() < 0.02:
            files["classes.txt"] = _encoded("\n".join(rng.choices(HOSTILE_TEXTS, k=3)), rng)
    return files


def _ways(name: str) -> list[Mutation]:
    suffix = name.rpartition(".")[2]
    text: list[Mutation] = [_flip, _cut, _drop, _repeat, _swap, _token, _number, _insert, _encoding, _grown_text]
    if suffix == "json":
        return [*text, *[_json_node] * 8, *[_grown_json] * 2]
    if suffix == "xml":
        return [*text, *[_xml_node] * 8, _doctype, _doctype, _grown_xml, _grown_xml]
    if suffix == "parquet":
        return [_flip, _cut, _drop, _repeat, _insert, _parquet, _parquet]
    return [*text, *[_rows] * 8]


def _span(data: bytes, rng: Random) -> tuple[int, int]:
    begin = rng.randrange(len(data) + 1)
    return begin, min(len(data), begin + rng.choice([1, 2, 8, 40, 400]))


def _flip(data: bytes, rng: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 3, 20])):
        if changed:
            place = rng.randrange(len(changed))
            changed[place] = rng.choice(
                [changed[place] ^ (1 << rng.randrange(8)), rng.randrange(256), 0, 0x22, 0x5B, 0x80]
            )
    return bytes(changed)


def _cut(data: bytes, rng: Random) -> bytes:
    return data[: rng.choice([0, 1, rng.randrange(len(data) + 1), max(0, len(data) - 1)])]


def _drop(data: bytes, rng: Random) -> bytes:
    begin, end = _span(data, rng)
    return data[:begin] + data[end:]


def _repeat(data: bytes, rng: Random) -> bytes:
    begin, end = _span(data, rng)
    place = rng.choice([end, rng.randrange(len(data) + 1)])
    times = min(rng.choice([1, 2, 10, 1000]), 60_000 // max(1, end - begin))
    return data[:place] + data[begin:end] * times + data[place:]


def _tokens(data: bytes, rng: Random, pattern: re.Pattern[bytes] = TOKEN) -> re.Match[bytes] | None:
    found = list(pattern.finditer(data))
    return rng.choice(found) if found else None


def _swap(data: bytes, rng: Random) -> bytes:
    pair = sorted(
        (found for found in (_tokens(data, rng), _tokens(data, rng)) if found), key=lambda found: found.start()
    )
    if len(pair) < 2 or pair[0].end() > pair[1].start():
        return data
    one, other = pair
    return data[: one.start()] + other[0] + data[one.end() : other.start()] + one[0] + data[other.end() :]


def _token(data: bytes, rng: Random) -> bytes:
    found = _tokens(data, rng)
    hostile = _text(rng).encode("utf-8", "surrogatepass")
    return data if found is None else data[: found.start()] + hostile + data[found.end() :]


def _number(data: bytes, rng: Random) -> bytes:
    found = _tokens(data, rng, NUMBER)
    return data if found is None else data[: found.start()] + rng.choice(HOSTILE_NUMBERS).encode() + data[found.end() :]


def _insert(data: bytes, rng: Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    deep = rng.choice(["[", '{"a":', "<a>", "[[", "(", "- "]) * rng.choice([10, 2000, 20_000])
    text = rng.choice([_text(rng), rng.choice(HOSTILE_NUMBERS), deep, rng.choice(DOCTYPES)])
    return data[:place] + text.encode("utf-8", "surrogatepass") + data[place:]


def _encoding(data: bytes, rng: Random) -> bytes:
    text = data.decode("utf-8", "replace")
    return rng.choice(
        [
            codecs.BOM_UTF8 + data,
            codecs.BOM_UTF8 * 2 + data,
            text.encode("utf-16"),
            codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
            text.encode("utf-16-le"),
            codecs.BOM_UTF16_LE + data,
            text.encode("utf-32"),
            codecs.BOM_UTF16_LE + text.encode("utf-16-le") + b"\x00",
            (text + "é").encode("latin-1", "replace"),
            data.replace(b"\n", b"\r"),
            data.replace(b"\n", b"\r\n"),
            data.replace(
                b"utf-8", rng.choice([b"latin-1", b"utf-7", b"rot13", b"zip", b"", b"x" * 50, b"utf-16", b"idna"])
            ),
            b"",
        ]
    )


def _encoded(text: str, rng: Random) -> bytes:
    return (
        _encoding(text.encode("utf-8", "surrogatepass"), rng) if rng.random() < 0.2 else text.encode("utf-8", "replace")
    )


def _text(rng: Random) -> str:
    return rng.choice(HOSTILE_TEXTS if rng.random() < 0.7 else HOSTILE_NUMBERS)


def _value(rng: Random, pool: list[Any]) -> Any:
    """A JSON value that does not belong where it will stand."""
    kind = rng.randrange(9)
    if kind <= 1:
        return rng.choice(HOSTILE_TEXTS)
    if kind == 2:
        return rng.choice([None, True, False, [], {}, [[]], [None], [{}], {"": None}, "", 0])
    if kind == 3:
        return rng.choice(
            [float("nan"), float("inf"), -float("inf"), 1e300, -1e300, 1e-320, -1, -0.0, 0.5, 10**4000, 2**63, -(2**64)]
        )
    if kind == 4:
        return [
            rng.choice([0, 1e300, "1", None, float("nan"), True]) for _ in range(rng.choice([0, 1, 2, 3, 4, 5, 6, 200]))
        ]
    if kind == 5:
        value: Any = rng.choice(pool)
        for _ in range(rng.choice([1, 2, 50, 500])):
            value = [value] if rng.random() < 0.5 else {"a": value}
        return value
    return rng.choice(pool)


def _nodes(value: Any) -> list[tuple[Any, Any]]:
    """Every place of a JSON value: its container and its key."""
    found: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        inner = todo.pop()
        places = (
            list(inner.items())
            if isinstance(inner, dict)
            else list(enumerate(inner))
            if isinstance(inner, list)
            else []
        )
        for key, content in places:
            found.append((inner, key))
            todo.append(content)
    return found


def _json_node(data: bytes, rng: Random) -> bytes:
    try:
        return _changed_json(json.loads(data), rng)
    except (ValueError, RecursionError):  # an earlier change made it something else, or too deep for the json module
        return _token(data, rng)


def _changed_json(value: Any, rng: Random) -> bytes:
    duplicate = ""
    for _ in range(rng.choice([1, 1, 2, 6])):
        nodes = _nodes(value)
        if not nodes:
            return json.dumps(_value(rng, [value])).encode("utf-8", "surrogatepass")
        inner, key = rng.choice(nodes)
        pool = [json.loads(json.dumps(other[place])) for other, place in rng.sample(nodes, min(3, len(nodes)))]
        what = rng.randrange(8)
        if what == 0:
            del inner[key]
        elif what == 1 and isinstance(inner, list):
            inner += [inner[key]] * rng.choice([1, 5, 100])
        elif what == 2 and isinstance(inner, dict):
            inner[rng.choice([*HOSTILE_TEXTS, *list(inner)])] = inner.pop(key)
        elif what == 3 and isinstance(inner, list):
            rng.shuffle(inner)
        elif what == 4 and isinstance(inner, dict):
            duplicate = f"{{{json.dumps(key)}: {json.dumps(_value(rng, pool))}, "
        elif what == 5 and isinstance(inner[key], int | float | str):
            inner[key] = rng.choice([str(inner[key]), [inner[key]], {"x": inner[key]}, rng.choice(HOSTILE_NUMBERS)])
        else:
            inner[key] = _value(rng, pool)
    text = json.dumps(value, ensure_ascii=rng.random() < 0.7, indent=rng.choice([None, 1]))
    if duplicate and text.startswith("{"):
        text = duplicate + text[1:]
    return text.encode("utf-8", "surrogatepass")


def _keys(data: bytes) -> list[str]:
    words = re.findall(rb'"(\w{1,40})"\s*:|<(\w{1,40})|(\w{1,40})=', data)
    return sorted({word.decode() for group in words for word in group if word}) or ["a"]


def _grown_json(data: bytes, rng: Random) -> bytes:
    """JSON grown from the keys and the values of a file of the format."""
    keys = _keys(data)
    values = [word.decode("utf-8", "replace") for word in TOKEN.findall(data)[:400]] or ["a"]

    def grow(depth: int) -> Any:
        kind = rng.random()
        if depth > 0 and kind < 0.45:
            return {rng.choice(keys): grow(depth - 1) for _ in range(rng.randrange(6))}
        if depth > 0 and kind < 0.7:
            return [grow(depth - 1) for _ in range(rng.randrange(5))]
        if kind < 0.85:
            return rng.choice([rng.uniform(-20, 120), rng.randrange(-3, 130), rng.random()])
        if kind < 0.95:
            return rng.choice(values).strip('"')
        return _value(rng, [rng.choice(values)])

    return json.dumps(grow(rng.choice([1, 3, 5, 7]))).encode("utf-8", "surrogatepass")


def _xml_node(data: bytes, rng: Random) -> bytes:
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError):  # an earlier change made it something else
        return _token(data, rng)
    parents = {child: parent for parent in root.iter() for child in parent}
    for _ in range(rng.choice([1, 1, 2, 6])):
        element = rng.choice(list(root.iter()))
        parent = parents.get(element)
        what = rng.randrange(8)
        if what == 0 and parent is not None and element in list(parent):
            parent.remove(element)
        elif what == 1 and parent is not None:
            parent.extend([element] * rng.choice([1, 3, 50]))
        elif what == 2:
            element.tag = rng.choice(_keys(data))
        elif what == 3 and element.attrib:
            element.attrib[rng.choice(sorted(element.attrib))] = _xml_text(rng)
        elif what == 4 and element.attrib:
            del element.attrib[rng.choice(sorted(element.attrib))]
        elif what == 5:
            element.attrib[rng.choice(_keys(data))] = _xml_text(rng)
        else:
            element.text = _xml_text(rng)
    return ElementTree.tostring(root, encoding="unicode").encode("utf-8", "surrogatepass")


def _xml_text(rng: Random) -> str:
    return rng.choice(HOSTILE_NUMBERS) if rng.random() < 0.6 else rng.choice(HOSTILE_TEXTS)


def _doctype(data: bytes, rng: Random) -> bytes:
    head, _, rest = data.partition(b"?>")
    text = rng.choice(DOCTYPES).encode()
    if rng.random() < 0.5:
        rest = NUMBER.sub(
            lambda found: rng.choice([b"&l8;", b"&x;", b"&q;" * 1000, b"&#0;", b"&#x110000;", found[0]]), rest
        )
    return head + b"?>" + text + rest


def _grown_xml(data: bytes, rng: Random) -> bytes:
    keys = _keys(data)

    def grow(depth: int) -> str:
        tag = rng.choice(keys)
        values = [str(rng.randrange(-3, 130)), "a.jpg", "rust", "1,2;3,4", rng.choice(HOSTILE_NUMBERS)]
        chosen = rng.sample(keys, min(len(keys), rng.randrange(6)))
        attributes = "".join(f' {key}="{rng.choice(values)}"' for key in chosen)
        inner = "".join(grow(depth - 1) for _ in range(rng.randrange(4))) if depth else str(rng.randrange(-3, 130))
        return f"<{tag}{attributes}>{inner}</{tag}>"

    body = "".join(grow(rng.randrange(4)) for _ in range(rng.randrange(5)))
    root = rng.choice(["annotation", "annotations", *keys])
    return f"<{root}>{body}</{root}>".encode()


def _rows(data: bytes, rng: Random) -> bytes:
    """Rows and fields of text files are dropped, repeated, moved and replaced."""
    lines = data.decode("utf-8", "replace").split("\n")
    separator = max(" ,\t;:", key=data.decode("utf-8", "replace").count)
    for _ in range(rng.choice([1, 1, 2, 6])):
        row = rng.randrange(len(lines))
        fields = lines[row].split(separator)
        field = rng.randrange(len(fields))
        what = rng.randrange(9)
        if what == 0:
            lines.insert(row, lines[row])
        elif what == 1:
            lines[row] = ""
        elif what == 2:
            lines[row : row + 1] = [lines[row]] * rng.choice([2, 50, 500])
        elif what == 3:
            del fields[field]
        elif what == 4:
            fields += [fields[field]] * rng.choice([1, 4, 100])
        elif what == 5:
            rng.shuffle(fields)
        elif what == 6:
            fields[field] = f'"{fields[field]}'
        else:
            fields[field] = _text(rng) if rng.random() < 0.5 else rng.choice(HOSTILE_NUMBERS)
        if what > 2:
            lines[row] = rng.choice([separator] * 9 + [",", "\t", "  ", "\0"]).join(fields)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _grown_text(data: bytes, rng: Random) -> bytes:
    words = [*HOSTILE_NUMBERS[:20], "0", "1", "0.5", "0.25", "a.jpg", "rust", ",", '"', ";"]
    return "\n".join(
        rng.choice([" ", ",", "\t"]).join(rng.choice(words) for _ in range(rng.randrange(12)))
        for _ in range(rng.randrange(9))
    ).encode()


def _parquet(data: bytes, rng: Random) -> bytes:
    """A Parquet file that is whole and whose columns are of other types than expected."""
    import io

    import pyarrow
    import pyarrow.parquet

    names = ["image", "x_min", "y_min", "x_max", "y_max", "class", "score", "ignored", "width", "x"]
    rows = rng.randrange(4)
    makers: list[Callable[[], Any]] = [
        lambda: rng.uniform(-20, 120),
        lambda: rng.choice(["a.jpg", "b.png", "rust", *HOSTILE_TEXTS[:20]]),
        lambda: rng.choice([float("nan"), float("inf"), 1e300, None]),
        lambda: rng.randrange(-(2**62), 2**62),
        lambda: rng.choice([b"\xff\x00", b"a.jpg"]),
        lambda: [1.0, 2.0],
        lambda: {"x": 1},
        lambda: None,
    ]
    columns = {}
    for name in names:
        maker = makers[0 if name.startswith(("x_", "y_")) and rng.random() < 0.8 else rng.randrange(len(makers))]
        if rng.random() < 0.9:
            columns[name] = [maker() for _ in range(rows)]
    stream = io.BytesIO()
    try:
        pyarrow.parquet.write_table(pyarrow.table(columns), stream)
    except (pyarrow.ArrowException, UnicodeEncodeError):
        return _flip(data, rng)
    return stream.getvalue()


def _strange_names(files: Files, seed: Seed, rng: Random) -> None:
    """Other names for label files, where the user gives their folder."""
    if seed.path:
        return
    name = rng.choice(sorted(files))
    suffix = name.rpartition(".")[2]
    strange = rng.choice(
        ["a b", "a.b", "é", "\udcff", "a\nb", "a" * 240, "%s", "..a", "-rf", "a\x1b[31m", "c", "README", " "]
    )
    files[f"{strange}.{suffix}"] = files[name] if rng.random() < 0.5 else files.pop(name)
