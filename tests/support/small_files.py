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


# 17 x 11 pixels, written by Pillow 12: baseline, progressive, grey, CMYK, without subsampling.
JPEGS = (
    '|JeWF01!$>Nk#wx0RR9200961|JwjV00;&K2L=TQ2L}fU2?z=d6b%du3k(?&6Au&}8Xq1V8XO!TBrYc)A}k{u94I#_EHE)NG&CP4IXyTsJT5ad'
    'GXL8ELjeg12@DGi7!3^=G9erxGBPqUGBPqUGBPqUGBPqUGBPqUGBPqUGBPqUGBPqUGBPqUGBPqUGBPqUGBPqUGBW?b01*fP3jh%V0U`hb5di}c'
    '0sq7R7ytkR0RaF20000000000000051_KBG!~h)-'
    '00II60|5X4000000000000aRc0x=R4QDOhY02KiN0RR910000000000000001^>hV6cGUc00000000000000000030+5ij#0RRFK0}%i}0OyD;'
    'swxm$R4GFkswxo1DvJqiI^O_i#ykK&|Je',
    '|JeWF01!$>Nk#wx0RR9200961|JwjV01XKW3knDg3knMk4h;_zAQcl55)&sJ9v2`kDKRiEDJ?8BI!Zn>HbyrrEkIX6ModmpQ&KWMT47pHU`kO^'
    'PygEhLjevB4iga*CKVMXPc<zyPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPf!2C01*fP3jh%V0U`hb5di}c'
    '0sq7R7ytkR0RaF20000000000000031OWyA!~him0RaF200000000000000000aNp01N{G00IyL5C8xH<yf094ICf;!~hr&00RL50000000000'
    '00000009CJ5&zl%2mt{A0R;k-'
    'N;pY5|HJ?k5di=I00000000000000001*G$00;pC0RcY&KmWu46cGUc000000000000000000pG+5iXv0s#R(0YCr502B}b000000000000000'
    '0000W|Jncu0RaF8KLTI>!~hf!0RR91000000000000000AphC`2mt{A0Y4#B{{a8m01N{G00IC50000G-'
    '~Ryr!~hf#0RR910000000000000005dYc$2mu2D0Y4Bw|HJ?k5di=I00000000000000001*G$00;pB0RcY{KmWu48V~>j0RRI400000000000'
    '0001Au$nAasS!?2mt{A0Y4DN7{kblK@^7zqyO0',
    '|JeWF01!$>Nk#wx0RR9200961|JwjV00;&K2L=TQ2L}fU2?z=d6b%du3k(?&6Au&}8Xq1V8XO!TBrYc)A}k{u94I#_EHE)NG&CP4IXyTsJT5ad'
    'GXKB;3kU!U01*KJ5di<h02TlN0RaF20000000000000061qc7c038qj0s;a90RR9100000000001OXueF%lF}VgK3y2mt{A06zfF5L;9zL2Xf6'
    't?(v>F;pl+7^*Arj}QOZ',
    '|JeWT01iQ9Z(?NtWB>pF0095n07C!}3k(hn3J?wr4iXU%6BsBO7#0>7F(V}%C^|DeJUKHsH$X^SPC!IgMK?H5ZBbWWVrOV)K233XaAbH~WoKjm'
    'zyK5o01E&S1Va%3O%VWD5dcdO0RO}Q7ytnQ0RaI30000000000000F900syD!~h!*00II70RR910000000000009F85g{=X|Jnc!1VaE#09gP_'
    '002J#<7>sh8u4(Jyj(p1QoLLguNMU?#lsc(75NqU7$&+}39gocYo((KS4%>b($J-Jv|_v>ydu0KAOG0',
    '|JeWF01!$>Nk#wx0RR9200961|JwjV00RO70|EjA0|NsD0|NvF2n7WM1O*BQ2L=cX3JeSj3JVJj4iXRz4iOFu3lJ6%5fc;@6%`B*7Z?^47!ni}'
    '6#v@*LjeN>1O)^I2?YfS6b%av6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6cqo!01*fP3jh%V0TBQK5di}c'
    '0sq7R761VO0RR910000000000000LD2>-'
    '+Y9}oZm0|WyB0000000000000011|k9j1u_#AQeywa02ToO0RaF20000000000000001_%Gd02C1c00000000000000000000|Jncy0|5X65d#'
    'qbKLE*%943)8gb}Tygwh~hbe|vuv~1A`pbc#sG(so^=M5fE5C7Q',
)


def jpegs():
    return [base64.b85decode(text) for text in JPEGS]
