"""A tiny cross-encoder, made here: its score of a passage is how often it has the question's words.

It is real ONNX with a real tokenizer, of one-hot embeddings: what is on either side of the pair is
known from the token types alone, and so a score shows that the pair was made well.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

__all__ = ["CONFIG", "WORDS", "made_folder", "model_bytes", "tokenizer_json"]

MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = ("when", "does", "the", "tide", "turn", "turns", "at", "six", "moon", "salt", "stays")
CONFIG: dict[str, object] = {
    "architectures": ["BertForSequenceClassification"],
    "id2label": {"0": "LABEL_0"},
    "max_position_embeddings": 24,
    "model_type": "bert",
    "sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"},
}


def made_folder(folder: Path, *, at: str = "onnx/model.onnx", **config: object) -> Path:
    """The three files of a model, as repositories have them."""
    (folder / at).parent.mkdir(parents=True, exist_ok=True)
    (folder / at).write_bytes(model_bytes())
    (folder / "tokenizer.json").write_text(tokenizer_json())
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    return folder


def tokenizer_json() -> str:
    """One token for each word; it would cut and fill up, if it were let."""
    words = {word: number for number, word in enumerate((*MARKS, *WORDS))}
    tokenizer: Any = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.enable_truncation(6)
    tokenizer.enable_padding(length=16)
    return str(tokenizer.to_str())


def model_bytes(*, outputs: Sequence[str] = ("logits",), numbers: int = 1, more: str = "") -> bytes:
    """The model.

    Args:
        outputs: what its outputs are called; all say the same.
        numbers: how many each has.
        more: an input that no cross-encoder has.
    """
    size = len(MARKS) + len(WORDS)
    table = np.eye(size, dtype=np.float32)
    table[: len(MARKS)] = 0
    names = ("input_ids", "attention_mask", "token_type_ids", *([more] if more else []))
    info = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("Cast", ["token_type_ids"], ["types"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["types", "one"], ["second"]),
        helper.make_node("Unsqueeze", ["mask", "one"], ["both"]),
        helper.make_node("MatMul", ["second", "words"], ["passage"]),
        helper.make_node("MatMul", ["both", "words"], ["all"]),
        helper.make_node("Sub", ["all", "passage"], ["question"]),
        helper.make_node("Mul", ["question", "passage"], ["shared"]),
        helper.make_node("ReduceSum", ["shared", "last"], ["summed"], keepdims=0),
        *(helper.make_node("Concat", ["summed"] * numbers, [name], axis=1) for name in outputs),
    ]
    graph = helper.make_graph(
        nodes,
        "overlap",
        [info(name, TensorProto.INT64, ["b", "t"]) for name in names],
        [info(name, TensorProto.FLOAT, ["b", numbers]) for name in outputs],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.array([1], np.int64), "one"),
            numpy_helper.from_array(np.array([-1], np.int64), "last"),
        ],
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
