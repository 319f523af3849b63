"""Fixtures shared by all tests."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("CURATE_DATA", Path(__file__).parents[1].parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}: set CURATE_DATA to the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def save_language_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Saves a small causal language model with random weights, and a tokenizer of bytes, and gives the folder.

    `kind` gpt2 or llama; `limit` the tokens it takes; `begin` and `end`, `pad` the special tokens its tokenizer knows;
    `side` where the tokenizer would pad.
    """
    torch = pytest.importorskip("torch", reason="extra train not installed")
    transformers = pytest.importorskip("transformers", reason="extra train not installed")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    def save(
        kind: str = "gpt2",
        limit: int = 64,
        begin: bool = False,
        end: bool = False,
        pad: str = "",
        side: str = "right",
    ) -> str:
        torch.set_num_threads(1)  # tests side by side should not wait for each other
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        names = ["<s>", "</s>", "<pad>"]
        vocabulary = {token: i for i, token in enumerate([*alphabet, *names])}
        bytes_ = Tokenizer(models.BPE(vocabulary, []))
        bytes_.pre_tokenizer, bytes_.decoder = (
            pre_tokenizers.ByteLevel(add_prefix_space=False),
            decoders.ByteLevel(),
        )
        template = " ".join(["<s>"] * begin + ["$A"] + ["</s>"] * end)
        bytes_.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=[(n, vocabulary[n]) for n in names]
        )
        special = {"bos_token": "<s>"} if begin else {}
        special |= {"eos_token": "</s>"} if end else {}
        special |= {"pad_token": pad} if pad else {}
        folder = tmp_path_factory.mktemp("language-model")
        transformers.PreTrainedTokenizerFast(
            tokenizer_object=bytes_, padding_side=side, **special
        ).save_pretrained(folder)
        sizes = {"vocab_size": len(vocabulary), "bos_token_id": None, "eos_token_id": None}
        if kind == "gpt2":
            config = transformers.GPT2Config(n_positions=limit, n_embd=32, n_layer=2, n_head=2, **sizes)
        else:
            config = transformers.LlamaConfig(
                max_position_embeddings=limit,
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=1,
                **sizes,
            )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = transformers.AutoModelForCausalLM.from_config(config)
            with torch.no_grad():
                for (
                    weights
                ) in model.parameters():  # small as they come: every token would be as likely as any other
                    weights.mul_(6 if weights.ndim > 1 else 1)
        model.save_pretrained(folder)
        return str(folder)

    return save


def _words_and_bytes(words: tuple[str, ...], special: tuple[str, ...]) -> Any:
    """A tokenizer of bytes that knows a few words, with a space before them and without, and special tokens."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {token: i for i, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges: list[tuple[str, str]] = []
    for word in (prefix + word for word in words for prefix in ("", "Ġ")):
        for end in range(2, len(word) + 1):
            if word[:end] not in vocabulary:
                vocabulary[word[:end]] = len(vocabulary)
                merges.append((word[: end - 1], word[end - 1]))
    vocabulary |= {token: len(vocabulary) + i for i, token in enumerate(special)}
    bytes_ = Tokenizer(models.BPE(vocabulary, merges))
    bytes_.pre_tokenizer, bytes_.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bytes_,
        pad_token="<pad>",
        eos_token="</s>",
        additional_special_tokens=list(special[2:]),
    )


@pytest.fixture(scope="session")
def save_vision_language_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Saves a small vision-language model with random weights and its processor, and gives the folder.

    `kind` qwen2-vl, qwen3-vl or llava-next; `words` that are tokens of their own; `limit` the tokens it takes; `chat` whether its
    processor has a template.
    """
    torch = pytest.importorskip("torch", reason="extra vision not installed")
    transformers = pytest.importorskip("transformers", reason="extra vision not installed")

    def save(
        kind: str = "qwen2-vl",
        words: tuple[str, ...] = ("yes", "Yes", "no", "No"),
        limit: int = 1024,
        chat: bool = True,
    ) -> str:
        torch.set_num_threads(1)
        mark = "<|image_pad|>" if kind != "llava-next" else "<image>"
        special = ("<pad>", "</s>", mark, "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
        tokenizer = _words_and_bytes(words, special)
        pad, end, image, video, first, last = tokenizer.convert_tokens_to_ids(list(special))
        small = {
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": limit,
            "bos_token_id": None,
            "eos_token_id": end,
            "pad_token_id": pad,
        }
        shown = f"<|vision_start|>{mark}<|vision_end|>" if kind != "llava-next" else mark
        template = (
            "{% for m in messages %}{{ m['role'] }}: {% for c in m['content'] %}{% if c['type'] == 'image' %}"
            + shown
            + "{% else %}{{ c['text'] }}{% endif %}{% endfor %}\n{% endfor %}assistant:"
        )
        chatting = {"chat_template": template} if chat else {}
        if kind != "llava-next":
            vision = {
                "depth": 2,
                "hidden_size": 32,
                "num_heads": 2,
                "patch_size": 14,
                "spatial_merge_size": 2,
            }
            rope = {"rope_type": "default", "mrope_section": [2, 3, 3]}
            if kind == "qwen3-vl":  # which gives the states of several layers of its tower
                layers = {"deepstack_visual_indexes": [0, 1], "num_position_embeddings": 64}
                vision |= {"out_hidden_size": 32, "intermediate_size": 48, **layers}
            else:
                vision |= {"embed_dim": 32, "mlp_ratio": 2}
            family = transformers.Qwen3VLConfig if kind == "qwen3-vl" else transformers.Qwen2VLConfig
            config = family(
                text_config=small | {"rope_scaling": rope, "head_dim": 16},
                vision_config=vision | {"temporal_patch_size": 2},
                image_token_id=image,
                video_token_id=video,
                vision_start_token_id=first,
                vision_end_token_id=last,
            )
            pictures = transformers.Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=28 * 28 * 12)
            if kind == "qwen3-vl":
                processor = transformers.Qwen3VLProcessor(
                    pictures, tokenizer, transformers.Qwen3VLVideoProcessor(), **chatting
                )
            else:
                processor = transformers.Qwen2VLProcessor(
                    pictures, tokenizer, transformers.Qwen2VLVideoProcessor(), **chatting
                )
        else:
            grid = [[28, 56], [56, 28], [56, 56]]
            config = transformers.LlavaNextConfig(
                text_config=transformers.MistralConfig(**small, sliding_window=None),
                vision_config=transformers.CLIPVisionConfig(
                    hidden_size=32,
                    intermediate_size=48,
                    num_hidden_layers=2,
                    num_attention_heads=2,
                    image_size=28,
                    patch_size=7,
                ),
                image_token_index=image,
                image_grid_pinpoints=grid,
            )
            processor = transformers.LlavaNextProcessor(
                transformers.LlavaNextImageProcessor(
                    size={"shortest_edge": 28},
                    crop_size={"height": 28, "width": 28},
                    image_grid_pinpoints=grid,
                ),
                tokenizer,
                patch_size=7,
                vision_feature_select_strategy="default",
                num_additional_image_tokens=1,
                **chatting,
            )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = transformers.AutoModelForImageTextToText.from_config(config)
            with torch.no_grad():
                for weights in model.parameters():  # small as they come: every token would be as likely
                    weights.mul_(6 if weights.ndim > 1 else 1)
        folder = tmp_path_factory.mktemp(kind)
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        return str(folder)

    return save


@pytest.fixture(scope="session")
def save_speech_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Saves a small model of speech with random weights, its feature extractor and tokenizer, and gives the folder.

    `kind`: "ctc" (wav2vec2; `norm` "group" or "layer"), "whisper", or "qwen2-audio" (which hears a second at a time).
    """
    torch = pytest.importorskip("torch", reason="extra train not installed")
    transformers = pytest.importorskip("transformers", reason="extra train not installed")
    import json

    def ctc(folder: Path, norm: str) -> Any:
        letters = ["<pad>", "<s>", "</s>", "<unk>", "|", "'", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
        (folder / "vocab.json").write_text(json.dumps({letter: i for i, letter in enumerate(letters)}))
        transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
        transformers.Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer").save_pretrained(folder)
        config = transformers.Wav2Vec2Config(
            vocab_size=len(letters),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=24,
            conv_dim=(8, 8, 8),
            conv_stride=(5, 8, 8),
            conv_kernel=(10, 8, 8),
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=2,
            feat_extract_norm=norm,
            do_stable_layer_norm=norm == "layer",
            pad_token_id=0,
        )
        return transformers.Wav2Vec2ForCTC(config)

    def words(folder: Path, special: list[str], side: str = "right") -> None:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers

        names = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
        bytes_ = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, []))
        bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bytes_.decoder = decoders.ByteLevel()
        transformers.PreTrainedTokenizerFast(
            tokenizer_object=bytes_, padding_side=side, pad_token="<pad>", eos_token="</s>"
        ).save_pretrained(folder)

    def whisper(folder: Path) -> Any:
        words(folder, ["<pad>", "</s>", "<s>"])
        transformers.WhisperFeatureExtractor(feature_size=8, chunk_length=2).save_pretrained(folder)
        config = transformers.WhisperConfig(
            vocab_size=259,
            num_mel_bins=8,
            d_model=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=24,
            decoder_ffn_dim=24,
            max_source_positions=100,
            max_target_positions=12,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=1,
            decoder_start_token_id=2,
            begin_suppress_tokens=None,
            suppress_tokens=None,
        )
        return transformers.WhisperForConditionalGeneration(config)

    def qwen2_audio(folder: Path) -> Any:
        words(folder, ["<pad>", "</s>", "<|AUDIO|>"])
        transformers.WhisperFeatureExtractor(feature_size=8, chunk_length=1).save_pretrained(folder)
        audio = {
            "num_mel_bins": 8,
            "d_model": 16,
            "encoder_layers": 1,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 24,
            "max_source_positions": 50,
        }
        text = {
            "model_type": "qwen2",
            "vocab_size": 259,
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
        }
        config = transformers.Qwen2AudioConfig(audio_config=audio, text_config=text, audio_token_index=2)
        return transformers.Qwen2AudioForConditionalGeneration(config)

    def save(kind: str = "ctc", norm: str = "group") -> str:
        torch.set_num_threads(1)
        folder = tmp_path_factory.mktemp(kind)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            if kind == "ctc":
                model = ctc(folder, norm)
            else:
                model = whisper(folder) if kind == "whisper" else qwen2_audio(folder)
            with torch.no_grad():
                for (
                    name,
                    weights,
                ) in model.named_parameters():  # small as they come: every frame would be like any other
                    if weights.ndim > 1 and "parametrizations" not in name:
                        weights.mul_(4)
        model.save_pretrained(folder)
        return str(folder)

    return save


BLIP2_WORDS = (  # noqa: SIM905 - as a text it can be read
    "[PAD] [UNK] [CLS] [SEP] [MASK] a red green blue car dog on the street left of two st bernard [ ] ##s ##pet "
    "dec sep very , ' - guitar with square dark bright"
).split()
"""What the tokenizer of `save_blip2` knows: [PAD] comes first, as in BERT."""


@pytest.fixture(scope="session")
def save_blip2(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Saves a BLIP-2 for image-text retrieval, and a tokenizer of `BLIP2_WORDS` and `more`, and gives the folder."""
    torch = pytest.importorskip("torch", reason="extra train not installed")
    transformers = pytest.importorskip("transformers", reason="extra train not installed")

    def save(seed: int = 0, more: tuple[str, ...] = (), dropout: float = 0.1, **changed: Any) -> Path:
        torch.set_num_threads(1)
        words = [*BLIP2_WORDS, *more]
        config = transformers.Blip2Config(
            vision_config={
                "hidden_size": 24,
                "intermediate_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": 28,
                "patch_size": 14,
            },
            qformer_config={
                "vocab_size": len(BLIP2_WORDS) + 1,
                "hidden_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "intermediate_size": 48,
                "max_position_embeddings": 48,
                "use_qformer_text_input": True,
                "encoder_hidden_size": 24,
                "hidden_dropout_prob": dropout,
                "attention_probs_dropout_prob": dropout,
                **changed,
            },
            num_query_tokens=4,
            image_text_hidden_size=8,
        )
        folder = tmp_path_factory.mktemp("blip2")
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            net = transformers.Blip2ForImageTextRetrieval(config)
            with torch.no_grad():
                for weights in net.parameters():  # as they come, every pair would score the same
                    weights.copy_(torch.randn_like(weights) * (0.3 if weights.ndim > 1 else 0.2))
                for name, weights in net.named_parameters():
                    if "norm" in name.lower() and name.endswith("weight"):
                        weights.add_(1)
        net.save_pretrained(folder)
        vocabulary = {word: i for i, word in enumerate(words)}
        transformers.BertTokenizer(vocab=vocabulary).save_pretrained(folder)
        return folder

    return save


@pytest.fixture
def chat_endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server on loopback that speaks the chat protocol, and the environment that leads to it.

    `answer(body)` gives the text to reply, or (text, places) with the likeliest tokens of each place; `faults` are
    taken first, one for each request: an HTTP status, `hang`, `drop`, `half`, `html`, `(429, seconds)`, or the error
    of a 400.
    `asked` are the bodies that were answered with a reply: what would have been paid for; `requests` counts all.
    """
    server = _ChatServer(("127.0.0.1", 0), _ChatHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-the-tests")
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


class _ChatServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.answer: Callable[[dict[str, Any]], Any] = lambda body: "yes"
        self.faults: list[Any] = []
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.requests = self.together = self.most_together = 0
        self.gate = threading.Lock()
        self.released = threading.Event()

    def handle_error(self, *_: Any) -> None:
        """A client that hung up is part of the tests."""


class _ChatHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    server: _ChatServer

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.gate:
            server.requests += 1
            server.headers.append(dict(self.headers))
            server.together += 1
            server.most_together = max(server.most_together, server.together)
            fault = server.faults.pop(0) if server.faults else None
        try:
            self._reply(body, fault)
        finally:
            with server.gate:
                server.together -= 1

    def _reply(self, body: dict[str, Any], fault: Any) -> None:
        if fault == "hang":
            self.server.released.wait(5)
            return
        if fault == "drop":
            self.connection.close()
            return
        if isinstance(fault, dict):
            self._send(400, json.dumps({"error": fault}).encode(), {})
            return
        if isinstance(fault, (int, tuple)):
            code, after = fault if isinstance(fault, tuple) else (fault, None)
            error = json.dumps({"error": {"message": f"no: {self.headers['Authorization']}"}}).encode()
            self._send(code, error, {"Retry-After": str(after)} if after is not None else {})
            return
        if fault == "html":
            self._send(200, b"<html>busy</html>", {})
            return
        said = self.server.answer(body)
        text, places = said if isinstance(said, tuple) else (said, None)
        choice: dict[str, Any] = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        if places is not None and body.get("logprobs"):
            content = [
                {"top_logprobs": [{"token": t, "logprob": p} for t, p in place.items()]} for place in places
            ]
            choice["logprobs"] = {"content": content}
        usage = {"prompt_tokens": 100, "completion_tokens": 10}
        data = json.dumps({"choices": [choice], "usage": usage}).encode()
        if fault == "half":
            self._send(200, data[: len(data) // 2], {}, len(data))
            return
        with self.server.gate:
            self.server.asked.append(body)
        self._send(200, data, {})

    def _send(self, code: int, data: bytes, headers: dict[str, str], length: int | None = None) -> None:
        self.send_response(code)
        for name, value in {
            **headers,
            "Content-Length": str(len(data) if length is None else length),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture(scope="session")
def label_studio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A running Label Studio. Where there is none: skipped, but REQUIRE_LABEL_STUDIO=1 makes that a failure."""
    folder = str(Path(__file__).parent / "annotators" / "label_studio")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    from label_studio_server import LabelStudioServer, ServerUnavailable

    running = LabelStudioServer(tmp_path_factory.mktemp("label-studio"))
    try:
        running.start()
    except ServerUnavailable as error:
        (pytest.fail if os.environ.get("REQUIRE_LABEL_STUDIO") else pytest.skip)(str(error))
    yield running
    running.stop()
