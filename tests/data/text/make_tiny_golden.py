#!/usr/bin/env python3
"""Token ids of models/tiny-flux as the reference libraries give them.

usage: make_tiny_golden.py PIPELINE GOLDEN.json

Run twice on the same file: with transformers 5 (writes the texts, the fast classes' ids and the decoded texts), then
with transformers 4 (adds the slow classes' ids where they differ). Needs no ftfy.
"""
import json
import platform
import shutil
import sys
import tempfile
import unicodedata
from pathlib import Path

import tokenizers
import transformers

transformers.logging.set_verbosity_error()
PIPELINE, OUT = Path(sys.argv[1]), Path(sys.argv[2])
V5 = int(transformers.__version__.split(".")[0]) >= 5

TEXTS = [
    "a large red circle on a navy background",
    "a green triangle left of a yellow star on a gray background",
    "a red cross, a white star and a cyan circle in a row on a black background",
    "a red circle left of a blue square on a gray background",
    "a large yellow star on a navy background",
    "a green triangle above a white ring on a black background",
    "a small purple cross on a beige background",
    "a cyan square right of a orange circle on a teal background",
    "a red star, a green circle and a blue triangle in a row on a maroon background",
    "a white cross below a red ring on a gray background",
    "a large blue triangle on a beige background",
    # empty, white space of every kind
    "", " ", "   ", "\t\n\r ", " leading", "trailing ", "in  the   middle", "a\u00a0b\u2003c\u3000d", "a\u2028b\u2029c",
    "tab\there", "line\nbreak\r\nwindows", "\u0085next line\u0085", "\u200bzero\u200bwidth\u200b",
    # control and format characters
    "nul\u0000inside", "bell\u0007and\u001bescape", "soft\u00adhyphen", "\ufeffbom", "a\u200db", "rtl\u202eoverride",
    "replacement\ufffdcharacter", "private\ue000use",
    # special tokens, their near misses
    "<|startoftext|>a red circle<|endoftext|>", "<|STARTOFTEXT|>", "<|EndOfText|>!!", "<|end\u200doftext|>", "<|\u017ftartoftext|>",
    "</s>a", "a</s>", "a </s> b", "<pad><unk>", "\uff1cpad\uff1e", "<extra_id_0>", "x <extra_id_99> y", "\x1e <extra_id_0>\x1c b", "</w>", "<|", "<pad",
    # apostrophes, numbers, case
    "it's we'll I'VE don'T 'street '", "it\u2019s", "'\u017f 's", "8k 1024x768 3.14", "\u00b2\u00bd\u2167\u2460\u0663",
    "RED Circle", "\u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3 \u03a3\u03a3. \u03a3", "\u0130stanbul I\u0131", "\u1e9e \u01c5 \u212a",
    # accents, composition, marks
    "caf\u00e9 cafe\u0301 e\u0302\u0323x e\u0323\u0302x", "\u0345a\u0345 \u1fb3", "\ufb01re \uff41\uff42\uff43", "n\u0e4a\u0d3b", "\U00011935\U00011930",
    # scripts and emoji
    "\u4e00\u53ea\u732b red \uf900", "\u3042\u30ab\u3099\uff76\uff9e", "\uc11c\uc6b8 \u1112\u1161\u11ab", "\u0928\u092e\u0938\u094d\u0924\u0947", "\u05e9\u05c1\u05dc\u05d5\u05dd",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f", "\U0001d4d0\U0001d7d8",
    # SentencePiece's own space, punctuation runs, equal scores
    "\u2581red \u2581\u2581", "-- __ ggg ...", "a,b;c:d (e) [f] {g} \\ ^ ` ~ |", "\"quoted\" & <b>html</b> &amp;",
    "circlecircle", "aredcircle", "x" * 100, "red " * 100,
]


def load(kind, folder, **more):
    return getattr(transformers, kind).from_pretrained(str(folder), **more)


def with_transformers_5():
    clip = load("CLIPTokenizer", PIPELINE / "tokenizer")
    t5 = load("T5Tokenizer", PIPELINE / "tokenizer_2")
    library = tokenizers.Tokenizer.from_file(str(PIPELINE / "tokenizer_2/tokenizer.json"))
    library.no_padding()
    library.no_truncation()
    cases = []
    for text in TEXTS:
        clip_ids, t5_ids = clip(text).input_ids, library.encode(text).ids
        assert t5(text).input_ids == t5_ids, text
        cases.append({"text": text, "clip": clip_ids, "t5": t5_ids,
                      "clip_decoded": clip.decode(clip_ids), "t5_decoded": t5.decode(t5_ids)})
    return {"versions": {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__}}, cases


def with_transformers_4():
    golden = json.loads(OUT.read_text())
    clip = load("CLIPTokenizer", PIPELINE / "tokenizer")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("spiece.model", "special_tokens_map.json", "tokenizer_config.json"):
            shutil.copyfile(PIPELINE / "tokenizer_2" / name, Path(folder) / name)
        legacy = load("T5Tokenizer", folder)
        modern = load("T5Tokenizer", folder, legacy=False, extra_ids=100)
    for case in golden["cases"]:
        slow = {"clip_slow": clip(case["text"]).input_ids, "t5_spiece": legacy(case["text"]).input_ids,
                "t5_spiece_modern": modern(case["text"]).input_ids}
        case.update({name: ids for name, ids in slow.items() if ids != case[name.split("_")[0]]})
    golden["meta"]["versions_slow"] = {"transformers": transformers.__version__, "python": platform.python_version(),
                                       "unicodedata": unicodedata.unidata_version}
    return golden["meta"], golden["cases"]


meta, cases = with_transformers_5() if V5 else with_transformers_4()
with open(OUT, "w") as out:
    out.write('{"meta": ' + json.dumps(meta) + ',\n"cases": [\n')
    out.write(",\n".join(json.dumps(case) for case in cases) + "\n]}\n")
