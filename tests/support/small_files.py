"""Small good files of the kinds that ditq reads, made from tracked ones with the standard library alone: seeds of the fuzz
targets, and what tests/hostile/make.py damages.
"""
import base64
import json
import pathlib
import struct
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TINY = ROOT / "models/tiny-flux"
SPACE = "\u2581"


def compact(document):
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def small_bpe():
    """A CLIP tokenizer.json of bytes and five merges; also its vocabulary and merges."""
    document = json.loads((TINY / "tokenizer/tokenizer.json").read_text())
    symbols = [token for token in document["model"]["vocab"] if len(token.removesuffix("</w>")) == 1]
    merges = ["c a", "ca t</w>", "o f</w>", "a a", "aa a</w>"]
    tokens = symbols + [merge.replace(" ", "") for merge in merges] + ["<|startoftext|>", "<|endoftext|>"]
    vocab = {token: i for i, token in enumerate(tokens)}
    document["model"] |= {"vocab": vocab, "merges": merges}
    end = vocab["<|endoftext|>"]
    for token in document["added_tokens"]:
        token["id"] = vocab.get(token["content"], end)
    text = json.dumps(document["post_processor"])
    for content in ("<|startoftext|>", "<|endoftext|>"):
        old = json.loads((TINY / "tokenizer/vocab.json").read_text())[content]
        text = text.replace(f" {old}]", f" {vocab[content]}]")
    document["post_processor"] = json.loads(text)
    return document, vocab, merges


PIECES = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), (SPACE, -2.0), (SPACE + "a", -3.5), ("a", -4.25), ("cat", -5.0),
          ("t", -6.5), (SPACE + "photo", -7.0), ("aaaa", -3.0), ("<extra_id_0>", 0.0)]


def charsmap(text=b"A\0"):
    """A double array with one entry: 'a' becomes 'A'. Units as darts-clone lays them out."""
    units = [0] * 768
    units[0] = 256 << 10
    at = 256 ^ ord("a")
    units[at] = (at ^ 512) << 10 | 1 << 8 | ord("a")
    units[512] = 1 << 31
    return struct.pack("<I", 4 * len(units)) + struct.pack("<768I", *units) + text


def small_unigram():
    """T5 tokenizer.json documents of eleven pieces: without normalizer, with a character map, with another stage."""
    document = json.loads((TINY / "tokenizer_2/tokenizer.json").read_text())
    document["model"] = {"type": "Unigram", "unk_id": 2, "vocab": [list(piece) for piece in PIECES]}
    document["added_tokens"] = [{"id": i, "content": PIECES[i][0], "special": True, "normalized": False,
                                 "lstrip": False, "rstrip": False, "single_word": False} for i in (0, 1, 2, 10)]
    text = json.dumps(document)
    map_text = base64.b64encode(charsmap()).decode()
    for normalizer in (None, {"type": "Precompiled", "precompiled_charsmap": map_text},
                       {"type": "Sequence", "normalizers": [{"type": "Strip", "strip_left": False, "strip_right": True}]}):
        changed = json.loads(text)
        changed["normalizer"] = normalizer
        yield changed


def field(number, content, wire=2):
    """A field of a protobuf message."""
    if wire == 0:
        return bytes([number << 3, content])
    if wire == 5:
        return bytes([number << 3 | 5]) + struct.pack("<f", content)
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([number << 3 | 2]) + length + content


def piece_of(text, score, kind):
    """A SentencePiece of a model."""
    return field(1, field(1, text.encode()) + field(2, score, 5) + field(3, kind, 0))


def pieces_of():
    """The pieces of a small model: T5's special ones and a few words."""
    kinds = {"<pad>": 3, "</s>": 3, "<unk>": 2}
    return b"".join(piece_of(text, score, kinds.get(text, 1)) for text, score in PIECES[:10])


def sentencepieces():
    """spiece.model messages of ten pieces."""
    model = pieces_of()
    trainer = field(2, field(3, 1, 0))
    for normalizer in (b"", field(3, field(3, 1, 0) + field(4, 1, 0) + field(5, 1, 0)), field(3, field(2, charsmap()))):
        yield model + trainer + normalizer


def chunk(kind, content, crc=None):
    """A PNG chunk."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content) if crc is None else crc)


def png(color=2, depth=8, interlace=0, extra=b"", width=5, height=3, announced=None, data=None):
    """A PNG; `announced` is another (width, height) for its header, `data` other bytes than its compressed rows."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    row = b"\1" + bytes(range(200))[: (width * channels * depth + 7) // 8]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *(announced or (width, height)), depth, color, 0, 0, interlace))
    rows = zlib.compress(row * height * (3 if interlace else 1))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", rows if data is None else data) + chunk(b"IEND", b"")


def pictures():
    """Every colour type and depth, and one picture with texts."""
    palette = chunk(b"PLTE", bytes(range(48))) + chunk(b"tRNS", b"\0\x80")
    for color, depths in ((0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)), (6, (8, 16))):
        for depth in depths:
            yield png(color, depth, extra=palette if color == 3 else b"")
    yield png(2, 8, interlace=1)
    yield png(2, 8, extra=chunk(b"tEXt", b"prompt\0a cat") + chunk(b"zTXt", b"x\0\0" + zlib.compress(b"y" * 500)) +
              chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(b"z")))
