"""Writes one small broken file per kind of damage, with the standard library alone. Usage: python3 make.py

A file is called CODE--what-is-wrong.EXTENSION: CODE is the error that the reader must raise. "ok" is none: the file is
odd but right.
"""
import json
import pathlib
import struct
import sys
import zlib

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "support"))
from small_files import charsmap, chunk, compact, field, piece_of, pieces_of, png, small_bpe, small_unigram  # noqa: E402


def put(name, content):
    (HERE / name).write_bytes(content)


# ---- safetensors ----------------------------------------------------------------------------------------------------


def file_of(header, data=b"", pad=True, length=None):
    if not isinstance(header, (bytes, str)):
        header = json.dumps(header, separators=(",", ":"), ensure_ascii=False)
    if isinstance(header, str):
        header = header.encode()
    if pad:
        header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def tensor(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def safetensors():
    one = {"a": tensor()}
    text = json.dumps(one)
    put("ok--leading-metadata-and-unknown-member.safetensors",
        file_of({"__metadata__": {"k": "v"}, "a": tensor() | {"extra": [{}]}}, b"1234"))
    put("ok--metadata-last.safetensors", file_of({"a": tensor(), "__metadata__": {"k": "v"}}, b"1234"))
    put("ok--not-padded.safetensors", file_of(text + " " * (1 - len(text) % 2), b"1234", pad=False))
    put("ok--tensors-not-in-offset-order.safetensors",
        file_of({"a": tensor(offsets=(4, 8)), "b": tensor(offsets=(0, 4))}, b"12345678"))
    put("ok--empty-tensors-between.safetensors",
        file_of({"e": tensor(shape=(0, 9), offsets=(4, 4)), "a": tensor(), "f": tensor(shape=(0,), offsets=(0, 0)),
                 "b": tensor(offsets=(4, 8)), "g": tensor(shape=(2**63 - 1, 0), offsets=(8, 8))}, b"12345678"))
    put("ok--empty-name.safetensors", file_of({"": tensor()}, b"1234"))

    put("header_too_small--empty-file.safetensors", b"")
    put("header_too_small--seven-bytes.safetensors", b"\x02\0\0\0\0\0\0")
    put("header_too_large--than-the-file.safetensors", file_of(one, b"1234", length=200))
    put("header_too_large--all-ones.safetensors", b"\xff" * 8 + b"{}")
    put("header_too_large--sign-bit.safetensors", struct.pack("<Q", 2**63) + b"{}")
    put("header_too_large--git-lfs-pointer.safetensors",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    put("header_too_large--json-text.safetensors", b'{"a": 1}')
    put("header_too_large--zip-archive.safetensors", b"PK\x03\x04\x00\x00\x08\x08\x00\x00\x00\x00")
    put("header_syntax--no-header.safetensors", file_of(b""))
    put("header_syntax--leading-space.safetensors", file_of(" " + text, b"1234"))
    put("header_syntax--byte-order-mark.safetensors", file_of("\ufeff" + text, b"1234"))
    put("header_syntax--array.safetensors", file_of("[]"))
    put("header_syntax--not-json.safetensors", file_of("{'a': 1}"))
    put("header_syntax--cut-short.safetensors", file_of(text[:-3], b"1234"))
    put("header_syntax--two-documents.safetensors", file_of("{}{}"))
    put("header_syntax--nul-padding.safetensors", file_of(text.encode() + b"\0\0\0", b"1234"))
    put("header_syntax--not-utf8.safetensors", file_of(b'{"\xff\xfe": 1}'))
    put("header_syntax--lone-surrogate.safetensors", file_of('{"\\ud800":' + json.dumps(tensor()) + "}", b"1234"))
    put("header_syntax--metadata-is-a-list.safetensors", file_of({"__metadata__": ["a"]}))
    put("header_syntax--metadata-value-is-a-number.safetensors", file_of({"__metadata__": {"a": 1}}))
    put("header_syntax--metadata-key-twice.safetensors", file_of('{"__metadata__":{"a":"1","a":"2"}}'))
    put("header_syntax--metadata-twice.safetensors", file_of('{"__metadata__":{},"__metadata__":{}}'))
    put("header_syntax--entry-is-a-number.safetensors", file_of({"a": 1}))
    put("header_syntax--dtype-missing.safetensors", file_of({"a": {"shape": [1], "data_offsets": [0, 4]}}, b"1234"))
    put("header_syntax--shape-missing.safetensors", file_of({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, b"1234"))
    put("header_syntax--offsets-missing.safetensors", file_of({"a": {"dtype": "F32", "shape": [1]}}, b"1234"))
    put("header_syntax--dtype-twice.safetensors",
        file_of('{"a":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}}', b"1234"))
    put("header_syntax--dtype-is-a-number.safetensors", file_of({"a": tensor(dtype=3)}, b"1234"))
    put("header_syntax--shape-is-a-number.safetensors",
        file_of({"a": {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]}}, b"1234"))
    put("header_syntax--three-offsets.safetensors", file_of({"a": tensor(offsets=(0, 2, 4))}, b"1234"))
    put("header_syntax--negative-offset.safetensors", file_of({"a": tensor(offsets=(-4, 0))}, b"1234"))
    put("header_syntax--fractional-offset.safetensors", file_of({"a": tensor(offsets=(0, 4.0))}, b"1234"))
    put("header_syntax--offset-beyond-64-bits.safetensors", file_of({"a": tensor(offsets=(0, 2**64))}, b"1234"))
    put("header_syntax--name-too-long.safetensors", file_of({"n" * 4097: tensor()}, b"1234"))
    put("json_too_deep--nested-member.safetensors",
        file_of('{"a":' + '{"b":' * 40 + "1" + "}" * 40 + "}"))
    put("duplicate_tensor--same-name-twice.safetensors",
        file_of('{"a":' + json.dumps(tensor()) + ',"a":' + json.dumps(tensor(offsets=(4, 8))) + "}", b"12345678"))
    put("duplicate_tensor--same-name-escaped.safetensors",
        file_of('{"a":' + json.dumps(tensor()) + ',"\\u0061":' + json.dumps(tensor(offsets=(4, 8))) + "}", b"12345678"))
    put("unknown_dtype--f12.safetensors", file_of({"a": tensor(dtype="F12")}, b"1234"))
    put("unknown_dtype--lower-case.safetensors", file_of({"a": tensor(dtype="f32")}, b"1234"))
    put("bad_shape--negative-extent.safetensors", file_of({"a": tensor(shape=(-1,))}, b"1234"))
    put("bad_shape--fractional-extent.safetensors", file_of({"a": tensor(shape=(1.0,))}, b"1234"))
    put("bad_shape--extent-beyond-63-bits.safetensors", file_of({"a": tensor(shape=(2**63,))}, b"1234"))
    put("bad_shape--product-overflows-to-the-right-size.safetensors",
        file_of({"a": tensor(shape=(2**32, 2**32), offsets=(0, 0))}))
    put("bad_shape--bits-overflow.safetensors", file_of({"a": tensor(shape=(2**59, 1), offsets=(0, 0))}))
    put("bad_shape--half-a-byte.safetensors", file_of({"a": tensor(dtype="F4", shape=(3,), offsets=(0, 2))}, b"12"))
    put("bad_shape--65-dimensions.safetensors", file_of({"a": tensor(shape=(1,) * 65)}, b"1234"))
    put("bad_offsets--too-few-bytes-for-the-shape.safetensors", file_of({"a": tensor(shape=(2,))}, b"1234"))
    put("bad_offsets--too-many-bytes-for-the-shape.safetensors",
        file_of({"a": tensor(offsets=(0, 8))}, b"12345678"))
    put("bad_offsets--backwards.safetensors", file_of({"a": tensor(offsets=(4, 0))}, b"1234"))
    put("bad_offsets--beyond-the-file.safetensors", file_of({"a": tensor()}, b"123"))
    put("bad_offsets--near-the-end-of-64-bits.safetensors",
        file_of({"a": tensor(offsets=(2**64 - 4, 2**64 - 1))}, b"1234"))
    put("bad_offsets--overlap.safetensors",
        file_of({"a": tensor(), "b": tensor(offsets=(2, 6))}, b"123456"))
    put("bad_offsets--same-range.safetensors", file_of({"a": tensor(), "b": tensor()}, b"1234"))
    put("bad_offsets--empty-tensor-inside-another.safetensors",
        file_of({"a": tensor(), "b": tensor(shape=(0,), offsets=(2, 2))}, b"1234"))
    put("bad_offsets--hole-at-the-front.safetensors", file_of({"a": tensor(offsets=(1, 5))}, b"12345"))
    put("bad_offsets--hole-between.safetensors",
        file_of({"a": tensor(), "b": tensor(offsets=(5, 9))}, b"123456789"))
    put("bad_offsets--bytes-behind-the-last.safetensors", file_of(one, b"12345"))
    put("bad_offsets--data-without-tensors.safetensors", file_of({}, b"1"))


# ---- torch.save -----------------------------------------------------------------------------------------------------


def zip_of(entries, method=0, flags=0x800, local=None, central=None, count=None, comment=b"", front=b"", tail=b"",
           sizes=None, move=None, wide=False, locator=1):
    """A zip archive of (name, bytes); the keywords damage one field each. wide: every size as a zip64 field."""
    out, directory = bytearray(front), bytearray()
    for name, data in entries:
        encoded, crc, at = name.encode(), zlib.crc32(data), len(out)
        size = len(data)
        ones = 2**32 - 1
        extra = struct.pack("<HHQQ", 1, 16, size, size) if wide else b""
        short = ones if wide else size
        out += struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, flags, method, 0, 0, crc, short, short, len(encoded),
                           len(extra))
        out += (local or (lambda n: n))(encoded) + extra + data
        size = sizes(name, size) if sizes else size
        at = move(name, at) if move else at
        if wide:  # an unknown field before it, as tools may write
            extra = struct.pack("<HHB", 0x4242, 1, 0) + struct.pack("<HHQQQ", 1, 24, size, size, at)
        short, place = (ones, ones) if wide else (size, at)
        directory += struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, flags, method, 0, 0, crc, short, short,
                                 len(encoded), len(extra), 0, 0, 0, 0, place)
        directory += (central or (lambda n: n))(encoded) + extra
    begin = len(out)
    number = len(entries) if count is None else count
    end = b""
    if wide:
        end = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, number, number, len(directory), begin)
        end += struct.pack("<IIQI", 0x07064B50, 0, begin + len(directory) + locator - 1, 1)
        number, begin = 2**16 - 1, 2**32 - 1
    end += struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, number, number, len(directory), begin, len(comment))
    return bytes(out + directory + end + comment + tail)


def text(value):
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value):
    return b"J" + struct.pack("<i", value)


def name(module, attribute):
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def storage(kind="FloatStorage", key="0", count=4, module="torch"):
    return b"(" + text("storage") + name(module, kind) + text(key) + text("cpu") + number(count) + b"tQ"


def counts(*values):
    return b"(" + b"".join(number(v) for v in values) + b"t"


ORDERED = name("collections", "OrderedDict") + b")R"


def rebuild(shape=(4,), strides=(1,), offset=0, source=None, more=b""):
    return (name("torch._utils", "_rebuild_tensor_v2") + b"(" + (source or storage()) + number(offset) +
            counts(*shape) + counts(*strides) + b"\x89" + ORDERED + more + b"tR")


def dict_of(value, key="w"):
    return b"\x80\x02}" + text(key) + value + b"s."


DATA = struct.pack("<4f", 1, 2, 3, 4)


def archive(pickle, data=DATA, extra=(), **damage):
    return zip_of([("r/data.pkl", pickle), ("r/byteorder", b"little"), ("r/data/0", data), *extra], **damage)


def torch_zip():
    good = dict_of(rebuild())
    put("ok--plain.pt", archive(good))
    put("ok--without-byteorder.pt", zip_of([("r/data.pkl", good), ("r/data/0", DATA)]))
    put("ok--comment.pt", archive(good, comment=b"PK\x05\x06 comment"))
    put("ok--zip64-fields.pt", archive(good, wide=True))
    put("zip_structure--zip64-size-beyond-64-bits.pt",
        archive(good, wide=True, sizes=lambda n, s: 2**64 - 1 if n == "r/data/0" else s))
    put("zip_structure--zip64-offset-beyond-the-file.pt",
        archive(good, wide=True, move=lambda n, at: 2**63 if n == "r/data/0" else at))
    put("zip_structure--zip64-locator-points-elsewhere.pt", archive(good, wide=True, locator=9))
    put("zip_structure--zip64-more-entries-announced.pt", archive(good, wide=True, count=2**40))
    put("zip_structure--empty-file.pt", b"")
    put("zip_structure--random-bytes.pt", bytes(zlib.crc32(bytes([i])) % 256 for i in range(200)))
    put("zip_structure--cut-short.pt", archive(good)[:-30])
    put("zip_structure--bytes-behind-the-end.pt", archive(good, tail=b"x"))
    put("zip_structure--bytes-before-the-beginning.pt", b"12345678" + archive(good))
    put("zip_structure--compressed.pt", archive(good, method=8))
    put("zip_structure--encrypted.pt", archive(good, flags=0x801))
    put("zip_structure--descriptor-missing.pt", archive(good, flags=0x808))
    put("zip_structure--names-differ.pt", archive(good, local=lambda n: n[:-1] + b"?"))
    put("zip_structure--entry-twice.pt", archive(good, extra=[("r/data/0", DATA)]))
    put("zip_structure--more-entries-announced.pt", archive(good, count=9))
    put("zip_structure--fewer-entries-announced.pt", archive(good, count=1))
    put("zip_structure--size-beyond-the-file.pt",
        archive(good, sizes=lambda n, s: 2**31 if n == "r/data/0" else s))
    put("zip_structure--sizes-differ.pt", archive(good, sizes=lambda n, s: 4 if n == "r/data/0" else s))
    put("zip_structure--offset-beyond-the-file.pt",
        archive(good, move=lambda n, at: 2**31 if n == "r/data/0" else at))
    put("zip_structure--offset-into-another-entry.pt",
        archive(good, move=lambda n, at: 0 if n == "r/data/0" else at))
    put("zip_structure--zip64-size-without-field.pt",
        archive(good, sizes=lambda n, s: 2**32 - 1 if n == "r/data/0" else s))
    put("zip_structure--no-pickle.pt", zip_of([("r/data/0", DATA)]))
    put("zip_structure--two-pickles.pt", archive(good, extra=[("s/data.pkl", good)]))
    put("zip_structure--no-entries.pt", zip_of([]))
    put("zip_structure--storage-missing.pt", zip_of([("r/data.pkl", good)]))
    put("zip_structure--legacy-format.pt", b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19." + b"\0" * 40)
    put("unsupported--big-endian.pt", zip_of([("r/data.pkl", good), ("r/byteorder", b"big"), ("r/data/0", DATA)]))
    put("unsupported--torchscript.pt", archive(good, extra=[("r/constants.pkl", b"")]))
    for what, entry in (("climbs-out", "r/../../.bashrc"), ("climbs-out-with-backslashes", "r\\..\\x"),
                        ("absolute-name", "/etc/passwd"), ("drive-letter", "c:/x"), ("control-character", "r/\x1b[2Jx"),
                        ("name-of-4097-bytes", "r/" + "x" * 4095), ("outside-the-folder", "s/code.py")):
        put(f"zip_structure--{what}.pt", archive(good, extra=[(entry, b"x")]))
    put("zip_structure--archive-in-the-archive.pt", archive(good, extra=[("r/more.zip", archive(good))]))
    put("zip_structure--pickle-is-an-archive.pt", archive(archive(good)))
    # A bomb of the kind that unfolds one kernel of data many times: all entries share the bytes of the first.
    put("zip_structure--bomb-of-overlapping-entries.pt",
        archive(good, extra=[(f"r/data/{i}", DATA) for i in range(1, 20)],
                move=lambda n, at: 200 if n.startswith("r/data/") else at, local=lambda n: n))
    bomb = zlib.compress(bytes(10**6))[2:-4]
    put("zip_structure--bomb-of-deflated-zeros.pt",
        zip_of([("r/data.pkl", good), ("r/data/0", bomb)], method=8, sizes=lambda n, s: 10**6 if n == "r/data/0" else s))
    put("zip_structure--compressed-in-the-directory-only.pt",
        archive(good).replace(b"PK\x01\x02\x14\0\x14\0\0\x08\0\0", b"PK\x01\x02\x14\0\x14\0\0\x08\x08\0", 1))
    put("zip_structure--compressed-in-the-local-header-only.pt",
        archive(good).replace(b"PK\x03\x04\x14\0\0\x08\0\0", b"PK\x03\x04\x14\0\0\x08\x08\0", 1))
    put("ok--storage-that-looks-like-an-archive.pt", archive(good, data=b"PK\x03\x04" + DATA[4:]))
    put("ok--other-records-of-torch.pt", archive(good, extra=[("r/version", b"3\n"), ("r/.format_version", b"1"),
                                                              ("r/.data/serialization_id", b"7")]))
    inner = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0, 0, 0, 0, 0)
    put("zip_structure--archive-inside-the-comment.pt", archive(good, comment=inner))


def torch_pickles():
    def bad(code, what, pickle, **more):
        put(f"{code}--{what}.pt", archive(pickle, **more))

    for module, attribute in (("os", "system"), ("builtins", "eval"), ("__builtin__", "exec"), ("posix", "system"),
                              ("torch", "load"), ("torch", "Size.__class__"), ("numpy.core.multiarray", "_reconstruct"),
                              ("modelopt.torch.quantization", "Thing"), ("torch._utils", "_rebuild_sparse_tensor")):
        bad("pickle_global", f"names-{module}.{attribute}",
            dict_of(name(module, attribute) + b"(" + text("touch pwned") + b"tR"))
    bad("pickle_global", "stack-global", b"\x80\x04\x8c\x02os\x8c\x06system\x93.")
    bad("pickle_global", "only-named-never-called", dict_of(name("os", "system")))
    bad("pickle_global", "calls-a-type", dict_of(name("torch", "FloatStorage") + b")R"))
    bad("pickle_global", "a-function-as-data", dict_of(name("torch._utils", "_rebuild_tensor_v2")))
    bad("pickle_opcode", "inst", b"\x80\x02(" + text("touch pwned") + b"ios\nsystem\n.")
    bad("pickle_opcode", "obj", b"\x80\x02(" + name("collections", "OrderedDict") + b"o.")
    bad("pickle_opcode", "newobj", b"\x80\x02" + name("collections", "OrderedDict") + b")\x81.")
    bad("pickle_opcode", "ext1", b"\x80\x02\x82\x01.")
    for opcode, code in (("pop", b"NN0"), ("pop_mark", b"N(N1"), ("dup", b"N2"), ("float", b"F1.5\n"), ("int", b"I1\n"),
                         ("long", b"L1L\n"), ("persid", b"Pstorage\n"), ("string", b"S'a'\n"),
                         ("binstring", b"T\1\0\0\0a"), ("short_binstring", b"U\1a"), ("unicode", b"Va\n"),
                         ("dict", b"(d"), ("get", b"Nq\0g0\n"), ("list", b"(l"), ("put", b"Np0\n"), ("ext2", b"\x83\1\0"),
                         ("ext4", b"\x84\1\0\0\0"), ("long4", b"\x8b\1\0\0\0\1"), ("binbytes8", b"\x8e" + b"\1" + bytes(7) + b"a"),
                         ("newobj_ex", name("collections", "OrderedDict") + b")}\x92"),
                         ("bytearray8", b"\x96" + b"\1" + bytes(7) + b"a"), ("next_buffer", b"\x97"),
                         ("readonly_buffer", b"N\x98")):
        bad("pickle_opcode", opcode, b"\x80\x05" + code + b".")
    bad("pickle_opcode", "unknown-byte", b"\x80\x02\xff.")
    bad("pickle_structure", "empty", b"")
    bad("pickle_structure", "no-protocol", b"}.")
    bad("pickle_structure", "protocol-6", b"\x80\x06}.")
    bad("pickle_structure", "protocol-twice", b"\x80\x02\x80\x02}.")
    bad("pickle_structure", "no-stop", b"\x80\x02}")
    bad("pickle_structure", "bytes-behind-stop", b"\x80\x02}.}")
    bad("pickle_structure", "nothing-left", b"\x80\x02.")
    bad("pickle_structure", "two-values-left", b"\x80\x02}}.")
    bad("pickle_structure", "open-mark", b"\x80\x02(}.")
    bad("pickle_structure", "tuple-without-mark", b"\x80\x02}t.")
    bad("pickle_structure", "value-below-the-mark", b"\x80\x02N(\x85.")
    bad("pickle_structure", "text-beyond-the-end", b"\x80\x02X\xff\xff\xff\x7fab.")
    bad("pickle_structure", "text-of-2-to-64-bytes", b"\x80\x04\x8d" + b"\xff" * 8 + b"ab.")
    bad("pickle_structure", "text-not-utf8", b"\x80\x02X\x01\0\0\0\xff.")
    bad("pickle_structure", "frame-beyond-the-end", b"\x80\x04\x95" + struct.pack("<Q", 100) + b"}.")
    bad("pickle_structure", "memo-hole", b"\x80\x02}q\x05h\x04.")
    bad("pickle_structure", "memo-empty", b"\x80\x02h\x00.")
    bad("pickle_structure", "memo-index-huge", b"\x80\x02}r\xff\xff\xff\xff.")
    bad("pickle_structure", "global-without-newline", b"\x80\x02cos")
    bad("pickle_structure", "stack-global-of-numbers", b"\x80\x04K\x01K\x02\x93.")
    bad("pickle_structure", "integer-beyond-64-bits", b"\x80\x02\x8a\x09" + b"\0" * 8 + b"\x01.")
    bad("pickle_structure", "append-to-a-dict", b"\x80\x02}Na.")
    bad("pickle_structure", "item-in-a-list", b"\x80\x02]NNs.")
    bad("pickle_structure", "key-without-value", b"\x80\x02}(Nu.")
    bad("pickle_structure", "list-as-key", b"\x80\x02}]Ns.")
    bad("pickle_structure", "key-twice", b"\x80\x02}(" + text("a") + b"N" + text("a") + b"Nu.")
    bad("pickle_structure", "contains-itself", b"\x80\x02]q\x00h\x00a.")
    bad("pickle_structure", "contains-itself-through-a-dict", b"\x80\x02}q\x00(K\x01]q\x01(h\x00eu.")
    bad("pickle_structure", "nested-too-deep", b"\x80\x02" + b"]" * 200 + b"a" * 199 + b".")
    bad("pickle_structure", "shared-values-unfold", b"\x80\x02)q\x00" +
        b"".join(b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(60)) + b".")
    bad("pickle_structure", "call-of-a-number", b"\x80\x02K\x01)R.")
    bad("pickle_structure", "call-with-a-list", b"\x80\x02" + name("collections", "OrderedDict") + b"]R.")
    bad("pickle_structure", "attributes-of-a-dict", b"\x80\x02}}b.")
    bad("pickle_structure", "attributes-of-a-tensor", dict_of(rebuild() + b"}b"))
    bad("pickle_structure", "call-of-a-result", dict_of(ORDERED + b")R"))
    bad("pickle_structure", "persistent-id-is-a-text", dict_of(text("storage") + b"Q"))
    bad("pickle_structure", "persistent-id-of-four", dict_of(
        b"(" + text("storage") + name("torch", "FloatStorage") + text("0") + text("cpu") + b"tQ"))
    bad("pickle_global", "storage-of-a-foreign-type", dict_of(rebuild(source=storage("system", module="os"))))
    bad("unknown_dtype", "storage-of-what-is-no-storage", dict_of(rebuild(source=storage("Size"))))
    bad("pickle_structure", "key-with-escapes-twice", b"\x80\x02}(" + (text("\x1b[31m\0x") + b"N") * 2 + b"u.")
    bad("pickle_structure", "attributes-that-are-a-number", b"\x80\x02" + ORDERED + b"K\x01b.")
    bad("pickle_structure", "persistent-id-is-a-number", b"\x80\x02K\x01Q.")
    bad("pickle_structure", "persistent-id-of-a-module", dict_of(
        b"(" + text("module") + name("torch", "FloatStorage") + text("0") + text("cpu") + number(4) + b"tQ"))
    bad("pickle_structure", "negative-storage-size", dict_of(rebuild(source=storage(count=-4))))
    bad("pickle_structure", "negative-offset", dict_of(rebuild(offset=-1)))
    bad("pickle_structure", "negative-extent", dict_of(rebuild(shape=(-1,))))
    bad("pickle_structure", "negative-stride", dict_of(rebuild(strides=(-1,))))
    bad("pickle_structure", "more-strides-than-extents", dict_of(rebuild(strides=(4, 1))))
    bad("pickle_structure", "65-dimensions", dict_of(rebuild(shape=(1,) * 65, strides=(1,) * 65)))
    bad("pickle_structure", "tensor-with-too-few-arguments",
        dict_of(name("torch._utils", "_rebuild_tensor_v2") + b"(" + storage() + b"tR"))
    bad("pickle_structure", "tensor-on-a-number", dict_of(rebuild(source=number(1))))
    bad("pickle_structure", "tensor-without-dtype",
        dict_of(rebuild(source=storage("UntypedStorage", module="torch.storage", count=16))))
    bad("bad_offsets", "storage-larger-than-its-entry", dict_of(rebuild(source=storage(count=5))))
    bad("bad_offsets", "storage-smaller-than-its-entry", dict_of(rebuild(source=storage(count=3))))
    bad("bad_offsets", "view-too-long", dict_of(rebuild(shape=(5,))))
    bad("bad_offsets", "view-begins-at-the-end", dict_of(rebuild(shape=(1,), offset=4)))
    bad("bad_offsets", "strides-leave-the-storage", dict_of(rebuild(shape=(2, 2), strides=(3, 1))))
    big = b"\x8a\x08" + struct.pack("<q", 2**62)
    bad("bad_offsets", "reach-overflows",
        dict_of(name("torch._utils", "_rebuild_tensor_v2") + b"(" + storage() + number(0) + counts(5) + b"(" + big +
                b"t\x89" + ORDERED + b"tR"))
    bad("bad_shape", "product-overflows",
        dict_of(name("torch._utils", "_rebuild_tensor_v2") + b"(" + storage() + number(0) + b"(" + big + big + b"t" +
                counts(0, 0) + b"\x89" + ORDERED + b"tR"))
    bad("unknown_dtype", "complex128", dict_of(rebuild(source=storage("ComplexDoubleStorage", count=1))))
    bad("unsupported", "conjugate-view", dict_of(rebuild(more=b"}" + text("conj") + b"\x88s")))
    bad("zip_structure", "key-outside-the-folder", dict_of(rebuild(source=storage(key="../byteorder", count=4))))
    bad("ok", "expanded-view", dict_of(rebuild(shape=(9,), strides=(0,))))
    bad("ok", "empty-view", dict_of(rebuild(shape=(0, 7), strides=(7, 1), offset=4)))


# ---- documents ------------------------------------------------------------------------------------------------------


def indexes():
    def bad(code, what, content):
        put(f"{code}--{what}.index.json", content if isinstance(content, bytes) else content.encode())

    bad("ok", "one-tensor", '{"weight_map":{"a":"x.safetensors"}}')
    for what, shard in (("climbs-out", "../x.safetensors"), ("absolute", "/etc/passwd"), ("sub-folder", "a/b"), ("empty", ""),
                        ("dots", ".."), ("nul", "a\0b"), ("too-long", "x" * 256)):
        bad("shard_outside", what, compact({"weight_map": {"a": shard}}))
    bad("bad_index", "no-map", "{}")
    bad("bad_index", "empty-map", '{"weight_map":{}}')
    bad("bad_index", "map-is-a-list", '{"weight_map":["a"]}')
    bad("bad_index", "map-twice", '{"weight_map":{"a":"x"},"weight_map":{"a":"y"}}')
    bad("bad_index", "tensor-twice", '{"weight_map":{"a":"x","a":"y"}}')
    bad("bad_index", "shard-is-a-number", '{"weight_map":{"a":1}}')
    bad("bad_index", "list", "[]")
    bad("bad_index", "name-of-4097-bytes", compact({"weight_map": {"x" * 4097: "a"}}))
    bad("json_syntax", "cut-short", '{"weight_map":{"a":')
    bad("json_syntax", "not-utf8", b'{"weight_map":{"\xff":"x"}}')
    bad("json_syntax", "empty-file", "")
    bad("json_too_deep", "nested", '{"a":' * 30 + "1" + "}" * 30)


def configs():
    def bad(code, what, content):
        put(f"{code}--{what}.config.json", content if isinstance(content, bytes) else compact(content).encode())

    bad("ok", "fp8", {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["proj_out*"]})
    bad("ok", "key-twice", b'{"quant_method":1,"quant_method":"modelopt","quant_algo":"FP8"}')
    bad("json_type", "no-object", [1])
    bad("json_type", "method-is-a-number", {"quant_method": 8})
    bad("json_type", "ignore-is-a-text", {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": "a"})
    bad("json_type", "ignore-of-numbers", {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": [1]})
    bad("wrong_quant_method", "unknown", {"quant_method": "\x1b]0;x\7"})
    bad("bad_config", "ignore-is-no-pattern", {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["(a*"]})
    bad("bad_config", "too-many-patterns", {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["a*"] * 1001})
    bad("json_syntax", "number-beyond-a-double", b'{"a":1e400}')
    bad("json_syntax", "number-as-key", b'{NaN:1}')
    bad("json_syntax", "not-utf8", b'{"a":"\xc3"}')
    bad("json_syntax", "lone-surrogate", b'{"a":"\\ud800"}')
    bad("json_syntax", "empty-file", b"")
    bad("json_syntax", "two-documents", b"{}{}")
    bad("json_too_deep", "lists", b"[" * 129 + b"]" * 129)
    bad("json_too_deep", "open-brackets", b"[" * 5000)


# ---- patterns, prompts, flags ---------------------------------------------------------------------------------------


def patterns():
    """A pattern, and behind a line "----" the text it is held against."""
    def bad(code, what, pattern, subject="transformer_blocks.0.attn.to_q"):
        subject = subject if isinstance(subject, bytes) else subject.encode()
        put(f"{code}--{what}.pattern", pattern.encode() + b"\n----\n" + subject)

    bad("ok", "of-an-export", r"^transformer_blocks\.\d+\.(attn|ff)\..*$")
    bad("bad_pattern", "open-group", "a(b")
    bad("bad_pattern", "repeat-of-nothing", "*a")
    bad("bad_pattern", "unknown-group", r"(?P=nobody)")
    bad("bad_pattern", "groups-nested-300-times", "(" * 300 + ")" * 300)
    bad("bad_pattern", "unfolds-beyond-the-limit", "((((a{1,99}){1,99}){1,99}){1,99}){1,99}")
    bad("bad_pattern", "4097-bytes", "a" * 4097)
    bad("pattern_too_costly", "nested-repetition", "^(a+)+$", "a" * 40 + "!")
    bad("pattern_too_costly", "alternatives-that-overlap", "^(a|a?)+$", "a" * 40 + "!")
    bad("pattern_too_costly", "quadratic-look-ahead", "a*(?=a*c)", "a" * 1024)
    bad("pattern_too_costly", "text-of-1025-bytes", "a", "a" * 1025)
    bad("pattern_too_costly", "many-optional-parts", "^(a?){50}a{50}$", "a" * 64 + "!")
    bad("bad_text", "not-utf8", "a", b"\xff")


def prompts():
    put("ok--lines.prompts.txt", b"\xef\xbb\xbfa cat\r\na dog")
    put("json_type--numbers.prompts.json", b"[1]")
    put("json_type--object.prompts.json", b"{}")
    put("json_syntax--cut-short.prompts.json", b'["a')
    put("json_too_deep--nested.prompts.json", b"[" * 200)


def perf():
    """perf.json."""
    def run(**changes):
        return compact({"total_duration_ms": 9.5, "steps": [{"name": "DenoisingStage", "duration_ms": 8}],
                        "denoise_steps_ms": [{"step": 0, "duration_ms": 8}], "memory_checkpoints": {},
                        "meta": {"prompt": "a cat", "model": "m"}} | changes).encode()

    put("ok--sglang.perf.json", run())
    put("ok--null-members-and-unknown-keys.perf.json", run(memory_checkpoints=None, meta=None, more=[1]))
    put("json_type--list.perf.json", b"[]")
    put("json_type--no-total.perf.json", b'{"steps":[]}')
    put("json_type--total-is-a-text.perf.json", run(total_duration_ms="9"))
    put("json_type--negative-duration.perf.json", run(steps=[{"name": "a", "duration_ms": -1}]))
    put("json_type--endless-duration.perf.json", run(steps=[{"name": "a", "duration_ms": float("inf")}]))
    put("json_type--stage-without-name.perf.json", run(steps=[{"duration_ms": 1}]))
    put("json_type--steps-are-numbers.perf.json", run(denoise_steps_ms=[1, 2]))
    put("json_type--checkpoint-is-a-list.perf.json", run(memory_checkpoints={"after_forward": []}))
    put("json_type--seed-is-a-text.perf.json", run(meta={"settings": {"seed": "1"}}))
    put("json_type--1001-settings.perf.json", run(meta={"settings": {str(i): i for i in range(1001)}}))
    put("bad_config--two-seeds.perf.json", run(meta={"seed": 1, "settings": {"seed": 2}}))
    put("bad_config--diffusers-backend.perf.json",
        run(steps=[{"name": "DiffusersExecutionStage", "duration_ms": 1}]))
    put("json_syntax--cut-short.perf.json", run()[:40])
    put("json_syntax--number-beyond-a-double.perf.json", b'{"total_duration_ms":1e999}')
    put("json_too_deep--nested.perf.json", b'{"meta":' * 200)


def flags():
    """--config files."""
    put("ok--flags.yaml", b"width: 512\nkeep_bf16_pattern: [a, b]\n")
    put("yaml_syntax--open-list.yaml", b"width: [1\n")
    put("yaml_syntax--unknown-anchor.yaml", b"width: *a\n")
    put("yaml_syntax--nested-too-deep.yaml", b"width: " + b"[" * 5000 + b"\n")
    put("json_type--list.yaml", b"- width\n")
    put("json_type--value-in-a-list.yaml", b"width: [[1]]\n")
    put("json_type--bomb-of-anchors.yaml",
        b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (n, n, n - 1, n - 1) for n in range(ord("b"), ord("z"))))
    put("usage--unknown-flag.yaml", b"widht: 1\n")
    put("usage--list-for-one-value.yaml", b"width: [1, 2]\n")
    put("usage--not-a-boolean.yaml", b"overwrite: perhaps\n")


# ---- pictures and tokenizers ----------------------------------------------------------------------------------------


def pictures():
    good = png()
    put("ok--grey-16-bit.png", png(0, 16))
    put("ok--texts-that-unfold.png", png(extra=chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(10**6), 9))))
    put("bad_picture--empty-file.png", b"")
    put("bad_picture--not-a-picture.png", b"GIF89a")
    put("bad_picture--cut-short.png", good[:-20])
    put("bad_picture--header-cut-short.png", good[:20])
    put("bad_picture--wrong-checksum.png", good.replace(b"IDAT", b"IDAT\1", 1))
    put("bad_picture--rows-missing.png", png(height=3, data=zlib.compress(bytes(16))))
    put("bad_picture--data-is-no-stream.png", png(data=b"12345678"))
    put("bad_picture--no-pixels.png", png(announced=(0, 3)))
    put("bad_picture--too-wide.png", png(announced=(65501, 1)))
    put("bad_picture--bomb.png", png(announced=(65500, 65500)))
    put("bad_picture--one-pixel-row-too-many.png", png(announced=(2**14, 2**13 + 1)))
    put("bad_picture--more-pixels-than-data.png", png(0, 1, announced=(11269, 11779)))
    put("bad_picture--unknown-colour-type.png", good.replace(chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 3, 8, 2, 0, 0, 0)),
                                                             chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 3, 8, 7, 0, 0, 0))))
    put("bad_picture--palette-missing.png", png(3, 8))
    put("bad_picture--unknown-critical-chunk.png", png(extra=chunk(b"CRIT", b"x")))


def tokenizers():
    bpe, _, _ = small_bpe()
    plain, mapped, _ = small_unigram()

    def bad(what, base, change, code="bad_tokenizer"):
        document = json.loads(json.dumps(base))
        change(document)
        put(f"{code}--{what}.tokenizer.json", compact(document).encode())

    bad("bpe", bpe, lambda d: None, "ok")
    bad("unigram", mapped, lambda d: None, "ok")
    bad("ids-with-gaps", bpe, lambda d: d["model"]["vocab"].update({"zz": 99999}))
    bad("id-beyond-64-bits", bpe, lambda d: d["model"]["vocab"].update({"zz": 2**64}))
    bad("token-of-1025-bytes", bpe, lambda d: d["model"]["vocab"].update({"z" * 1025: len(d["model"]["vocab"])}))
    bad("merge-of-unknown-symbols", bpe, lambda d: d["model"]["merges"].append("qq zz"))
    bad("added-token-without-id", bpe, lambda d: d["added_tokens"][0].pop("id"))
    bad("added-token-id-beyond-63-bits", plain, lambda d: d["added_tokens"].append({"id": 2**64 - 1, "content": "x"}))
    bad("unknown-model", bpe, lambda d: d["model"].update({"type": "WordLevel"}))
    bad("unknown-id-outside", plain, lambda d: d["model"].update({"unk_id": 99}))
    bad("unknown-id-negative", plain, lambda d: d["model"].update({"unk_id": -1}))
    bad("piece-twice", plain, lambda d: d["model"]["vocab"].append(["a", -1.0]))
    bad("score-is-a-text", plain, lambda d: d["model"]["vocab"][3].__setitem__(1, "x"))
    bad("charsmap-not-base64", mapped, lambda d: d["normalizer"].update({"precompiled_charsmap": "?"}))
    bad("charsmap-empty", mapped, lambda d: d["normalizer"].update({"precompiled_charsmap": ""}))
    bad("unknown-normalizer", plain, lambda d: d.update({"normalizer": {"type": "Replace", "pattern": {"Regex": "(a+)+"}}}))
    put("bad_tokenizer--cut-short.tokenizer.json", b'{"model":{"type":"BPE","vocab":{"a":0,')
    put("bad_tokenizer--not-utf8.tokenizer.json", b'{"model":"\xff"}')
    put("bad_tokenizer--two-documents.tokenizer.json", b"{}{}")
    put("bad_tokenizer--open-brackets.tokenizer.json", b"[" * 5000)


def spieces():
    def bad(what, content, code="bad_tokenizer"):
        put(f"{code}--{what}.spiece.model", content)

    good = pieces_of()
    bad("plain", good, "ok")
    bad("empty-file", b"")
    bad("cut-short", good[:-3])
    bad("length-of-2-to-63", b"\x0a" + b"\xff" * 8 + b"\x7f")
    bad("endless-varint", b"\x0a" + b"\xff" * 20)
    bad("group-field", good + b"\x0b")
    bad("piece-without-text", good + field(1, field(2, 1.0, 5)))
    bad("piece-not-utf8", good + field(1, field(1, b"\xff")))
    bad("score-not-a-number", good + piece_of("zz", float("nan"), 1))
    bad("byte-piece", good + piece_of("<0x00>", 0.0, 6))
    bad("type-99", good + piece_of("zz", 0.0, 99))
    bad("two-unknown-pieces", good + piece_of("<unk2>", 0.0, 2))
    bad("no-unknown-piece", piece_of("</s>", 0.0, 3) + piece_of("a", 0.0, 1))
    bad("piece-of-1025-bytes", good + piece_of("z" * 1025, 0.0, 1))
    bad("bpe-model", good + field(2, field(3, 2, 0)))
    bad("charsmap-cut-short", good + field(3, field(2, charsmap()[:100])))
    bad("charsmap-leads-out", good + field(3, field(2, struct.pack("<I", 4) + b"\xff\xff\xff\x7f" + b"A\0")))
    bad("charsmap-begins-with-a-leaf", good + field(3, field(2, struct.pack("<I", 4) + b"\xff\xff\xff\xff" + b"A\0")))
    bad("charsmap-that-unfolds", good + field(3, field(2, charsmap(b"A" * 257 + b"\0"))))
    bad("charsmap-without-end", good + field(3, field(2, charsmap(b"A"))))
    bad("charsmap-not-utf8", good + field(3, field(2, charsmap(b"\xff\0"))))


if __name__ == "__main__":
    for old in HERE.glob("*--*"):
        old.unlink()
    safetensors()
    torch_zip()
    torch_pickles()
    indexes()
    configs()
    patterns()
    prompts()
    perf()
    flags()
    pictures()
    tokenizers()
    spieces()
