"""Writes seeds for the fuzz targets, made from tracked files with the standard library alone.

Usage: python3 make_corpus.py FOLDER. One folder a target; small files, because short inputs run fast.
"""
import collections
import io
import itertools
import json
import pathlib
import pickle
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HOSTILE = ROOT / "tests/hostile"
DATA = ROOT / "tests/data"
LARGEST = 6000  # bytes of a seed
CUT = b"----\n"
OUT = pathlib.Path(sys.argv[1])

sys.path.append(str(ROOT / "tests/support"))
from small_files import TINY, charsmap, compact, jpegs, pictures, sentencepieces, small_bpe, small_unigram  # noqa: E402


def put(target, contents):
    folder = OUT / target
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(contents):
        content = content.encode() if isinstance(content, str) else content
        if len(content) <= LARGEST:
            (folder / f"seed-{number}").write_bytes(content)


def files(*patterns):
    found = itertools.chain.from_iterable(ROOT.glob(pattern) for pattern in patterns)
    return [path.read_bytes() for path in sorted(found)]


def pickles():
    for path in sorted(HOSTILE.glob("*.pt")) + sorted((DATA / "format").glob("*.pt")):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for entry in archive.infolist():
                    if entry.filename.endswith("data.pkl") and entry.compress_type == 0 and not entry.flag_bits & 1:
                        try:
                            yield archive.read(entry)
                        except (zipfile.BadZipFile, EOFError, OSError, RuntimeError):
                            continue


class Stored:
    """A tensor as torch pickles it: a view of a storage of eight BF16 values."""

    def __init__(self, storage, shape, strides):
        self.storage, self.shape, self.strides = storage, shape, strides


class TorchPickler(pickle._Pickler):
    """Writes the names of torch's functions without torch."""

    dispatch = dict(pickle._Pickler.dispatch)

    def name(self, module, attribute):
        self.write(pickle.GLOBAL + f"{module}\n{attribute}\n".encode())

    def save_stored(self, tensor):
        self.name("torch._utils", "_rebuild_tensor_v2")
        self.write(pickle.MARK + pickle.MARK)
        self.save("storage")
        self.name("torch", "BFloat16Storage")
        for value in (tensor.storage, "cpu", 8):
            self.save(value)
        self.write(pickle.TUPLE + pickle.BINPERSID)
        for value in (0, tensor.shape, tensor.strides, False, collections.OrderedDict()):
            self.save(value)
        self.write(pickle.TUPLE + pickle.REDUCE)

    dispatch[Stored] = save_stored


def calibrations():
    def checkpoint(bits, blocks, factors):
        quantizer = {"_num_bits": bits, "_block_sizes": blocks, "_disabled": False, "_axis": None}
        modes = [("quantize", {"config": {}, "metadata": {"quantizer_state": {}}}),
                 ("max_calibrate", {"config": {}, "metadata": {"quantizer_state": {
                     "a.weight_quantizer": quantizer, "a.input_quantizer": dict(quantizer, _disabled=True)}}})]
        state = collections.OrderedDict({"a.weight": Stored("1", (2, 4), (4, 1)),
                                         "a.weight_quantizer._amax": Stored("0", (), ()),
                                         "a.input_quantizer._amax": Stored("0", (), ())})
        if factors:
            state["a.weight_quantizer._svdquant_lora_a"] = Stored("0", (2, 4), (1, 2))
            state["a.weight_quantizer._svdquant_lora_b"] = Stored("1", (2, 2), (2, 1))
        out = io.BytesIO()
        TorchPickler(out, 2).dump({"modelopt_state": {"modelopt_state_dict": modes, "modelopt_version": "0.47.0"},
                                   "model_state_dict": state})
        return out.getvalue()

    yield checkpoint((4, 3), None, False)
    yield checkpoint((2, 1), {-1: 16, "type": "dynamic", "scale_bits": (4, 3)}, True)
    yield checkpoint(8, None, False)


def indexes():
    yield compact({"metadata": {"total_size": 8}, "weight_map": {"a.weight": "model-00001-of-00002.safetensors",
                                                                 "b": "model-00002-of-00002.safetensors"}})
    yield '{"weight_map":{"a":"../x.safetensors"}}'
    yield '{"weight_map":{"a":"x","a":"y"}}'


def configs():
    yield from files("models/*/transformer/config.json", "models/*/config.json", "models/*/model_index.json",
                     "tests/data/family/*.json", "models/tiny-flux/*/config.json", "tests/data/convert/*/*/config.json")
    yield '{"a":[NaN,-Infinity,Infinity,1e400,-0.0,1E-5,123456789012345678901234567890],"\\ud83d\\ude00":null}'
    for method in ({"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["proj_out*", "a.(b|c)", "x_embedder"]},
                   {"quantization": {"quant_algo": "NVFP4", "exclude_modules": ["*norm*"]}, "producer": {"name": "m"}},
                   {"quant_method": "fp8", "activation_scheme": "dynamic"}):
        yield compact(method)
        yield compact({"_class_name": "FluxTransformer2DModel", "quantization_config": method})


def perf_files():
    """Pairs: the second one after a cut."""
    def run(steps, meta, stages=("TextEncodingStage", "DenoisingStage", "DecodingStage")):
        return compact({"timestamp": "2026-04-01T00:00:00+00:00", "request_id": "r", "commit_hash": "N/A", "tag": "cli_generate",
                        "total_duration_ms": 1234.5, "steps": [{"name": name, "duration_ms": 100.25} for name in stages],
                        "denoise_steps_ms": [{"step": step, "duration_ms": 25} for step in range(steps)],
                        "memory_checkpoints": {"after_forward": {"peak_reserved_mb": 2048.5}}, "meta": meta}).encode()

    sglang = run(4, {"prompt": "a cat", "model": "m"})
    settings = {"seed": 42, "width": 64, "offload": {"dit_cpu_offload": False}, "topology": {"num_gpus": 1}, "graphs": True}
    ours = run(4, {"prompt": "a cat", "device": "cuda:0 (NVIDIA H100)", "seed": 42, "settings": settings})
    old = run(0, {}, ["denoising_step_0", "denoising_step_1", "BeforeDenoisingStage", "VideoRefinementStage"])
    for first, second in itertools.product((sglang, ours, old), repeat=2):
        yield first + b"\n" + CUT + second
    yield run(1, {"backend": "diffusers"}, ["DiffusersExecutionStage"]) + b"\n" + CUT + b"{}"


def patterns():
    for pattern in (r"^transformer\.(\d+)\.(attn|ff)\b", r"(a+)+$", r"(?:a|aa)*b", r"(?<!x)y{2,5}?[^\W\d_]", r"\Z", r".*?(?=q$)",
                    r"(?P<n>a)(?P=n)\1", r"[\w.-]*proj_(in|out)", r"(?i)ATTN|\bff\b", r"x*", r"((a{0,9}){0,9}){0,9}"):
        for text in ("transformer_blocks.0.attn.to_q", "a" * 40 + "!", "\u00e9\u00e9"):
            yield pattern.encode() + CUT + text.encode()


def main():
    put("safetensors", files("tests/hostile/*.safetensors", "tests/data/format/*.safetensors"))
    put("checkpoint_index", list(indexes()) + files("tests/hostile/*.index.json"))
    put("torch_file", files("tests/hostile/*.pt", "tests/data/format/*.pt"))
    put("pickle", pickles())
    put("calibration", calibrations())
    put("json", list(configs()) + files("tests/hostile/*.config.json"))
    put("regex", patterns())
    config = (TINY / "tokenizer/tokenizer_config.json").read_bytes()
    t5_config = (TINY / "tokenizer_2/tokenizer_config.json").read_bytes()
    bpe, vocab, merges = small_bpe()
    put("tokenizer_json", [compact(bpe).encode() + CUT + config] +
        [compact(document).encode() + CUT + t5_config for document in small_unigram()])
    tables = compact(vocab).encode() + CUT + ("#version: 0.2\n" + "\n".join(merges) + "\n").encode()
    names = (TINY / "tokenizer/special_tokens_map.json").read_bytes()
    added = compact({"<|extra|>": len(vocab)}).encode()
    put("tokenizer_files", [tables, tables + CUT + config, tables + CUT + b'{"tokenizer_class":"CLIPTokenizer"}' + CUT + names,
                            tables + CUT + b"{}" + CUT + names + CUT + added])
    put("spiece", sentencepieces())
    put("charsmap", [charsmap(), charsmap(b"\xc3\x84\0B\0")])
    put("prompt", ["a photo of a cat", "<|startoftext|>caf\u00e9 <extra_id_0>\u4e2d\u6587  \t\u200d\U0001f600 n't they're",
                   b"\xff\xfe bad", "\u03a3\u03c3\u03c2 \u0130 e\u0301\u0323 \u1100\u1161\u11a8 \u00a0\u3000"])
    put("perf", perf_files())
    put("png", pictures())
    put("jpeg", jpegs())
    put("prompts", ["a cat\na dog\r\n\n", '["a cat","two\\nlines"]', b"\xef\xbb\xbfx\n"])
    put("config_file", ["width: 512\noverwrite: true\nkeep_bf16_pattern: [a, 'b*']\ncomponent_paths:\n  vae: /x\n",
                        '{"width":512,"component-paths":{"vae":"/x"},"vae-path":"/y"}', "a: &b [1]\nc: *b\n? {x: y}\n: z\n",
                        "transformer_path: x\nnull_key: ~\n--- !!str t\n"])
    put("requirements", ["cosine>=0.99,psnr>=28", "last.rmse<1e-3, ssim > +.5", "mae<=-0"])


main()
