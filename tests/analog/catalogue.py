"""Modules and networks that people put on chips, each with an example of its inputs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize, prune, rnn


@dataclass(frozen=True)
class Case:
    "A module, its inputs, and how the conformance suite checks it."

    make: Callable[[], nn.Module]
    make_inputs: Callable[[], Any]
    options: dict[str, Any] = field(default_factory=dict)  # attributes of the suite
    slow: bool = False


CASES: dict[str, Case] = {}


def add(name, make, make_inputs, **options):
    "Add a case that takes a second at most."
    assert name not in CASES
    CASES[name] = Case(make, make_inputs, options)


def add_slow(name, make, make_inputs, **options):
    "Add a case that takes longer."
    assert name not in CASES
    CASES[name] = Case(make, make_inputs, options, slow=True)


def randn(*shape):
    "Return a function that draws a tensor."
    return lambda: torch.randn(shape)


NO_AIHWKIT = {"aihwkit": ""}  # aihwkit has no such layer


# ---- linear layers
add("Linear", lambda: nn.Linear(6, 5), randn(3, 6))
add("LinearWithoutBias", lambda: nn.Linear(6, 5, bias=False), randn(2, 3, 6))
add("LinearOfOneVector", lambda: nn.Linear(6, 5), randn(6), batch_dim=None)
add("LinearOnManyTiles", lambda: nn.Linear(530, 515), randn(2, 530))
add("LinearOfOneOutput", lambda: nn.Linear(6, 1), randn(3, 6))


class Projection(nn.Linear):
    "A subclass that keeps the forward pass."


class Doubling(nn.Module):
    "Twice the weight."

    def forward(self, weight):
        return 2 * weight

    def right_inverse(self, weight):
        return weight / 2


def pruned():
    layer = nn.Linear(6, 5)
    prune.l1_unstructured(layer, "weight", 0.5)
    prune.remove(layer, "weight")
    return layer


def materialised():
    layer = nn.LazyLinear(5)
    layer(torch.zeros(1, 6))
    return layer


PARAMETRISED = {"keeps_names": False}
add("SubclassOfLinear", lambda: Projection(6, 5), randn(3, 6))
add(
    "WeightNorm", lambda: parametrizations.weight_norm(nn.Linear(6, 5)), randn(3, 6), **PARAMETRISED
)
add(
    "SpectralNorm",
    lambda: parametrizations.spectral_norm(nn.Linear(6, 5)),
    randn(3, 6),
    compares_training=False,
    **PARAMETRISED,
)
add(
    "OrthogonalLinear",
    lambda: parametrizations.orthogonal(nn.Linear(6, 5)),
    randn(3, 6),
    dtypes=(),
    **PARAMETRISED,
)


def doubled():
    layer = nn.Conv1d(2, 4, 3)
    parametrize.register_parametrization(layer, "weight", Doubling())
    return layer


add("OwnParametrization", doubled, randn(3, 2, 7), **PARAMETRISED, aihwkit="compiled")
add("Pruned", pruned, randn(3, 6))
add("LazyWithWeights", materialised, randn(3, 6))

# ---- convolutions
SIZES = {1: (7,), 2: (7, 6), 3: (5, 4, 6)}
GEOMETRIES = {
    "": dict(kernel_size=3),
    "Padded": dict(kernel_size=3, padding=1),
    "Reflect": dict(kernel_size=3, padding=1, padding_mode="reflect"),
    "Replicate": dict(kernel_size=4, padding=2, padding_mode="replicate"),
    "Circular": dict(kernel_size=3, padding=1, padding_mode="circular"),
    "Same": dict(kernel_size=4, padding="same"),
    "Valid": dict(kernel_size=2, padding="valid"),
    "StridedDilated": dict(kernel_size=2, stride=2, padding=1, dilation=2),
    "Grouped": dict(kernel_size=3, groups=2),
    "Depthwise": dict(kernel_size=3, padding="same", groups=4),
    "Pointwise": dict(kernel_size=1),
}


def on_aihwkit(dims, geometry):
    "Return the tiles of aihwkit that have a convolution."
    plain = geometry.get("padding_mode", "zeros") == "zeros" and "groups" not in geometry
    if not plain or geometry.get("padding") == "same" and geometry["kernel_size"] % 2 == 0:
        return ""
    if dims == 2:
        return "torch"
    return "" if "dilation" in geometry else "compiled"


for dims, kind in ((1, nn.Conv1d), (2, nn.Conv2d), (3, nn.Conv3d)):
    for words, geometry in GEOMETRIES.items():
        add(
            f"{words}{kind.__name__}",
            lambda kind=kind, geometry=geometry: kind(4, 8, **geometry),
            randn(2, 4, *SIZES[dims]),
            aihwkit=on_aihwkit(dims, geometry),
        )

TRANSPOSED = {
    "": dict(kernel_size=3),
    "Strided": dict(kernel_size=3, stride=2, padding=1, output_padding=1),
    "Dilated": dict(kernel_size=2, dilation=3, padding=2),
    "Grouped": dict(kernel_size=3, stride=2, groups=2, bias=False),
}
for dims, kind in ((1, nn.ConvTranspose1d), (2, nn.ConvTranspose2d)):
    for words, geometry in TRANSPOSED.items():
        add(
            f"{words}{kind.__name__}",
            lambda kind=kind, geometry=geometry: kind(4, 8, **geometry),
            randn(2, 4, *SIZES[dims]),
            **NO_AIHWKIT,
        )


# ---- recurrent layers
def sequences(*shape):
    return randn(*shape)


def packed(batch_first=False, enforce_sorted=False):
    def draw():
        x = torch.randn(3, 5, 6)
        if not batch_first:
            x = x.transpose(0, 1)
        lengths = [5, 2, 1] if enforce_sorted else [2, 5, 1]
        return (rnn.pack_padded_sequence(x, lengths, batch_first, enforce_sorted),)

    return draw


IN_STEPS = {"batch_dim": 1}
add("RNN", lambda: nn.RNN(6, 4), randn(5, 3, 6), **IN_STEPS)
add(
    "RNNWithReLU", lambda: nn.RNN(6, 4, nonlinearity="relu", bias=False), randn(5, 3, 6), **IN_STEPS
)
add("LSTM", lambda: nn.LSTM(6, 4), randn(5, 3, 6), **IN_STEPS)
add(
    "LSTMBothWays",
    lambda: nn.LSTM(6, 4, 2, bidirectional=True, batch_first=True),
    randn(3, 5, 6),
)
add("LSTMProjected", lambda: nn.LSTM(6, 4, 2, proj_size=3), randn(5, 3, 6), **IN_STEPS)
add(
    "LSTMWithState",
    lambda: nn.LSTM(6, 4),
    lambda: (torch.randn(5, 3, 6), (torch.randn(1, 3, 4), torch.randn(1, 3, 4))),
    **IN_STEPS,
)
add("LSTMUnbatched", lambda: nn.LSTM(6, 4, 2), randn(5, 6), batch_dim=None)
add("LSTMPacked", lambda: nn.LSTM(6, 4, bidirectional=True), packed(), batch_dim=None)
add(
    "LSTMPackedBatchFirst",
    lambda: nn.LSTM(6, 4, 2, batch_first=True),
    packed(True, True),
    batch_dim=None,
)
add("GRU", lambda: nn.GRU(6, 4), randn(5, 3, 6), **IN_STEPS)
add(
    "GRUBothWays",
    lambda: nn.GRU(6, 4, 2, bidirectional=True, dropout=0.3),
    randn(5, 3, 6),
    **IN_STEPS,
)
add("GRUPacked", lambda: nn.GRU(6, 4), packed(), batch_dim=None)
add(
    "LSTMCell",
    lambda: nn.LSTMCell(6, 4),
    lambda: (torch.randn(3, 6), (torch.randn(3, 4), torch.randn(3, 4))),
)
add("GRUCell", lambda: nn.GRUCell(6, 4), lambda: (torch.randn(3, 6), torch.randn(3, 4)))
add(
    "RNNCell",
    lambda: nn.RNNCell(6, 4, nonlinearity="relu"),
    lambda: (torch.randn(3, 6), torch.randn(3, 4)),
)


# ---- attention and transformers
def attended(n=3, length=5, keys=5, widths=(8, 8, 8), **kwargs):
    def draw():
        query, key, value = widths
        x = torch.randn(length, n, query)
        of_keys = torch.randn(keys, n, key)
        of_values = torch.randn(keys, n, value)
        return {"query": x, "key": of_keys, "value": of_values, **kwargs}

    return draw


def self_attention(**kwargs):
    def draw():
        x = torch.randn(3, 5, 8)
        return {"query": x, "key": x, "value": x, **kwargs}

    return draw


PADDING = torch.tensor([[False] * 5, [False] * 3 + [True] * 2, [False] + [True] * 4])
CAUSAL = nn.Transformer.generate_square_subsequent_mask(5)
add("Attention", lambda: nn.MultiheadAttention(8, 2), attended(), **IN_STEPS)
add(
    "SelfAttention",
    lambda: nn.MultiheadAttention(8, 2, batch_first=True),
    self_attention(need_weights=False),
)
add(
    "AttentionOfOtherWidths",
    lambda: nn.MultiheadAttention(8, 2, kdim=6, vdim=4),
    attended(keys=4, widths=(8, 6, 4)),
    **IN_STEPS,
)
add(
    "AttentionWithAddedKeys",
    lambda: nn.MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True, bias=False),
    attended(average_attn_weights=False),
    **IN_STEPS,
)
add(
    "AttentionWithMasks",
    lambda: nn.MultiheadAttention(8, 2, dropout=0.2),
    attended(key_padding_mask=PADDING, attn_mask=CAUSAL < 0),
    batch_dim=None,
)
add(
    "AttentionCausal",
    lambda: nn.MultiheadAttention(8, 2),
    attended(attn_mask=CAUSAL, is_causal=True, need_weights=False),
    batch_dim=None,
)
add(
    "AttentionUnbatched",
    lambda: nn.MultiheadAttention(8, 2),
    lambda: (torch.randn(5, 8),) * 3,
    batch_dim=None,
)
add(
    "EncoderLayer",
    lambda: nn.TransformerEncoderLayer(8, 2, 12, 0.0, batch_first=True),
    randn(3, 5, 8),
)
add(
    "EncoderLayerNormFirst",
    lambda: nn.TransformerEncoderLayer(
        8, 2, 12, 0.0, activation="gelu", norm_first=True, bias=False
    ),
    randn(5, 3, 8),
    **IN_STEPS,
)
add(
    "Encoder",
    lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 12, 0.0, batch_first=True), 2, enable_nested_tensor=False
    ),
    lambda: {"src": torch.randn(3, 5, 8), "src_key_padding_mask": PADDING},
    batch_dim=None,
)
add(
    "DecoderLayer",
    lambda: nn.TransformerDecoderLayer(8, 2, 12, 0.0),
    lambda: (torch.randn(5, 3, 8), torch.randn(4, 3, 8)),
    **IN_STEPS,
)
add(
    "Decoder",
    lambda: nn.TransformerDecoder(
        nn.TransformerDecoderLayer(8, 2, 12, 0.0, norm_first=True), 2, nn.LayerNorm(8)
    ),
    lambda: {"tgt": torch.randn(5, 3, 8), "memory": torch.randn(4, 3, 8), "tgt_mask": CAUSAL},
    batch_dim=None,
)
add(
    "Transformer",
    lambda: nn.Transformer(8, 2, 1, 1, 12, 0.0, batch_first=True),
    lambda: (torch.randn(3, 5, 8), torch.randn(3, 4, 8)),
)


# ---- networks of their own kind
def shared():
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.Tanh(), nn.Sequential(layer), nn.Linear(6, 3))


class Tied(nn.Module):
    "A language model whose decoder has the weights of its embedding."

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 6)
        self.rnn = nn.GRU(6, 6, batch_first=True)
        self.head = nn.Linear(6, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        return self.head(self.rnn(self.embed(tokens))[0])


class TiedPair(nn.Module):
    "An autoencoder with one parameter in two layers."

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = nn.Linear(6, 6)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(x).relu())


class Around(nn.Module):
    "Read a weight as torchvision's Swin does."

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(6, 9)

    def forward(self, x):
        return F.linear(x, self.qkv.weight, self.qkv.bias)


class TwoHeads(nn.Module):
    "Return a dictionary."

    def __init__(self):
        super().__init__()
        self.trunk = nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 6)])
        self.heads = nn.ModuleDict({"mean": nn.Linear(6, 2), "spread": nn.Linear(6, 2)})

    def forward(self, x):
        for layer in self.trunk:
            x = x + layer(x).tanh()
        return {name: head(x) for name, head in self.heads.items()}


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.branch = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, groups=8),
            nn.GroupNorm(2, 8),
            nn.PReLU(8),
            nn.Conv2d(8, 8, 1),
        )
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.norm(self.stem(x)).relu()
        x = x + self.branch(x)
        return self.head(x.mean((2, 3)))


class Speech(nn.Module):
    "Convolutions, a GRU and a classifier."

    def __init__(self):
        super().__init__()
        self.convolutions = nn.Sequential(nn.Conv1d(4, 6, 3, 2, 1), nn.BatchNorm1d(6), nn.ReLU())
        self.gru = nn.GRU(6, 5, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        y, _ = self.gru(self.convolutions(x).transpose(1, 2))
        return self.head(y.mean(1))


class Translator(nn.Module):
    "An encoder whose state begins a decoder of single steps."

    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(6, 5, batch_first=True)
        self.cell = nn.LSTMCell(6, 5)
        self.head = nn.Linear(5, 6)

    def forward(self, x):
        _, (h, c) = self.encoder(x)
        state = h[0], c[0]
        y = x[:, -1]
        steps = []
        for _ in range(3):
            state = self.cell(y, state)
            y = self.head(state[0])
            steps.append(y)
        return torch.stack(steps, 1)


class Scores(nn.Module):
    "A bilinear layer, which stays digital."

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 4)
        self.bilinear = nn.Bilinear(4, 4, 3)

    def forward(self, x):
        y = self.linear(x)
        return self.bilinear(y, y.tanh())


class Positions(nn.Module):
    "A token and positions that the module adds itself."

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 6))
        self.positions = nn.Parameter(torch.randn(6, 6))
        self.linear = nn.Linear(6, 4)

    def forward(self, x):
        tokens = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        return self.linear(tokens + self.positions)


def unet():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1),
        nn.InstanceNorm2d(4, affine=True),
        nn.SiLU(),
        nn.ConvTranspose2d(4, 3, 4, 2, 1),
    )


def voxels():
    return nn.Sequential(
        nn.Conv3d(1, 4, 3), nn.ReLU(), nn.ConvTranspose3d(4, 2, 2), nn.Flatten(), nn.Linear(128, 3)
    )


def tokens(*shape, words=7):
    return lambda: torch.randint(words, shape)


def mixer():
    "Linear layers over both dimensions."
    return nn.Sequential(
        nn.Linear(6, 8),
        nn.GELU(),
        nn.LayerNorm(8),
        nn.Unflatten(2, (2, 4)),
        nn.Flatten(2),
        nn.Linear(8, 6),
    )


add("SharedModule", shared, randn(3, 6))
add("TiedEmbedding", Tied, tokens(3, 5))
add("TiedPair", TiedPair, randn(3, 6))
add("WeightReadAround", Around, randn(3, 6), aihwkit=None)
add("TwoHeads", TwoHeads, randn(3, 6))
add("Residual", Residual, randn(2, 3, 8, 8), **NO_AIHWKIT)
add("Speech", Speech, randn(2, 4, 9), aihwkit="compiled")
add("Translator", Translator, randn(2, 4, 6))
add("BilinearNamed", Scores, randn(3, 6), digital=("bilinear",))
add("ParametersNamed", Positions, randn(3, 5, 6), digital=("token", "positions"))
add("Autoencoder", unet, randn(2, 3, 8, 8), **NO_AIHWKIT)
add("Voxels", voxels, randn(2, 1, 5, 5, 5), digital=("2",), aihwkit="compiled")
add(
    "BagOfWords",
    lambda: nn.Sequential(nn.EmbeddingBag(7, 6), nn.Linear(6, 3)),
    tokens(3, 4),
)
add("Mixer", mixer, randn(2, 3, 6))


# ---- models of torchvision: narrow ones, and those that people use
def torchvision(name):
    "Import a module of torchvision.models when a case needs it."
    import torchvision.models as models

    return getattr(models, name)


def vision_transformer():
    net = torchvision("VisionTransformer")(16, 8, 2, 2, 8, 16, num_classes=5)
    nn.init.normal_(net.heads.head.weight)  # it begins with zeros
    return net


def swin():
    return torchvision("SwinTransformer")(
        [4, 4], 8, [2, 1], [2, 2], [2, 2], stochastic_depth_prob=0.0, num_classes=5
    )


def swin_v2():
    from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2

    return torchvision("SwinTransformer")(
        [4, 4],
        8,
        [1, 2],
        [2, 2],
        [2, 2],
        stochastic_depth_prob=0.0,
        num_classes=5,
        block=SwinTransformerBlockV2,
        downsample_layer=PatchMergingV2,
    )


def convnext():
    from torchvision.models.convnext import CNBlockConfig

    blocks = [CNBlockConfig(8, 12, 1), CNBlockConfig(12, None, 1)]
    return torchvision("ConvNeXt")(blocks, 0.0, layer_scale=1.0, num_classes=5)


def resnet():
    from torchvision.models.resnet import Bottleneck

    return torchvision("ResNet")(Bottleneck, [1, 1, 1, 1], 5, width_per_group=4, groups=2)


def mobilenet_v3():
    from torchvision.models.mobilenetv3 import InvertedResidualConfig

    blocks = [
        InvertedResidualConfig(8, 3, 8, 8, True, "RE", 2, 1, 1.0),
        InvertedResidualConfig(8, 5, 16, 12, True, "HS", 1, 1, 1.0),
    ]
    return torchvision("MobileNetV3")(blocks, 16, 5, dropout=0.0)


def efficientnet():
    from torchvision.models.efficientnet import MBConvConfig

    blocks = [MBConvConfig(1, 3, 1, 8, 8, 1, 1.0, 1.0), MBConvConfig(4, 5, 2, 8, 12, 1, 1.0, 1.0)]
    return torchvision("EfficientNet")(blocks, 0.0, 0.0, 5, last_channel=16)


def densenet():
    return torchvision("DenseNet")(4, (2, 2), 8, 2, 0.0, 5)


def shufflenet():
    return torchvision("ShuffleNetV2")([1, 1, 1], [8, 8, 16, 16, 16], 5)


def regnet():
    from torchvision.models.regnet import BlockParams

    params = BlockParams([1, 1], [8, 16], [4, 8], [1.0, 1.0], [2, 2], 0.25)
    return torchvision("RegNet")(params, 5, stem_width=8)


def vgg():
    from torchvision.models.vgg import make_layers

    features = make_layers([4, "M", 8, "M"], True)
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 5))


def squeezenet():
    return torchvision("SqueezeNet")("1_1", 5, 0.0)


def mnasnet():
    return torchvision("MNASNet")(0.35, 5, 0.0)


IMAGES = randn(2, 3, 32, 32)
add(
    "VisionTransformer", vision_transformer, randn(2, 3, 16, 16), digital=("encoder.pos_embedding",)
)
add("Swin", swin, randn(2, 3, 16, 16), digital=("*relative_position_bias_table",), aihwkit=None)
add("SwinV2", swin_v2, randn(2, 3, 16, 16), aihwkit=None)
add("ConvNeXt", convnext, IMAGES, **NO_AIHWKIT)
add("MobileNetV3", mobilenet_v3, IMAGES, **NO_AIHWKIT)
add("EfficientNet", efficientnet, IMAGES, **NO_AIHWKIT)
add("DenseNet", densenet, IMAGES)
add("ShuffleNet", shufflenet, IMAGES, **NO_AIHWKIT)
add("RegNet", regnet, IMAGES, **NO_AIHWKIT)
add("VGG", vgg, randn(2, 3, 8, 8))
add_slow("ResNeXt", resnet, IMAGES, **NO_AIHWKIT)
add_slow("SqueezeNet", squeezenet, randn(2, 3, 48, 48))
add_slow("MNASNet", mnasnet, IMAGES, **NO_AIHWKIT)


# ---- models of Hugging Face, tiny ones without downloads
def transformers_model(name, config_name, **settings):
    "Return a function that makes a model of the package transformers."

    def make():
        import transformers

        config = getattr(transformers, config_name)(**settings)
        return getattr(transformers, name)(config)

    return make


TEXT = dict(vocab_size=11, max_position_embeddings=8)
BERT_LIKE = TEXT | dict(
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)


def text(**kwargs):
    def draw():
        return {"input_ids": torch.randint(11, (2, 5)), **kwargs}

    return draw


UNCACHED = {"use_cache": False}
SEEN = torch.tensor([[1] * 5, [1, 1, 1, 0, 0]])
add_slow(
    "Bert",
    transformers_model("BertForSequenceClassification", "BertConfig", **BERT_LIKE),
    text(attention_mask=SEEN),
    batch_dim=None,
)
add_slow("BertMasked", transformers_model("BertForMaskedLM", "BertConfig", **BERT_LIKE), text())
add_slow(
    "DistilBert",
    transformers_model(
        "DistilBertForSequenceClassification",
        "DistilBertConfig",
        vocab_size=11,
        max_position_embeddings=8,
        dim=8,
        n_layers=2,
        n_heads=2,
        hidden_dim=12,
        dropout=0.0,
        attention_dropout=0.0,
        seq_classif_dropout=0.0,
    ),
    text(),
)
add_slow(
    "Roberta",
    transformers_model("RobertaForTokenClassification", "RobertaConfig", **BERT_LIKE),
    text(),
)
add_slow(
    "GPT2",
    transformers_model(
        "GPT2LMHeadModel",
        "GPT2Config",
        vocab_size=11,
        n_positions=8,
        n_embd=8,
        n_layer=2,
        n_head=2,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        **UNCACHED,
    ),
    text(),
)
add_slow(
    "GPTNeoX",
    transformers_model(
        "GPTNeoXForCausalLM",
        "GPTNeoXConfig",
        **TEXT,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=12,
        **UNCACHED,
    ),
    text(),
)
add_slow(
    "Llama",
    transformers_model(
        "LlamaForCausalLM",
        "LlamaConfig",
        **TEXT,
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        **UNCACHED,
    ),
    text(),
)
add_slow(
    "Mamba",
    transformers_model(
        "MambaForCausalLM",
        "MambaConfig",
        vocab_size=11,
        hidden_size=8,
        state_size=4,
        num_hidden_layers=1,
        **UNCACHED,
    ),
    text(),
    # Their weights are read around them; of lm_head the type, which aihwkit's layers lack.
    digital=("*.A_log", "*.conv1d", "*.dt_proj", "lm_head"),
)
add_slow(
    "T5",
    transformers_model(
        "T5ForConditionalGeneration",
        "T5Config",
        vocab_size=11,
        d_model=8,
        d_kv=4,
        d_ff=12,
        num_layers=2,
        num_heads=2,
        dropout_rate=0.0,
        **UNCACHED,
    ),
    lambda: {
        "input_ids": torch.randint(11, (2, 5)),
        "decoder_input_ids": torch.randint(11, (2, 4)),
    },
)
add_slow(
    "Bart",
    transformers_model(
        "BartForConditionalGeneration",
        "BartConfig",
        **TEXT,
        d_model=8,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=12,
        decoder_ffn_dim=12,
        dropout=0.0,
        attention_dropout=0.0,
        **UNCACHED,
    ),
    text(),
)
add_slow(
    "ViT",
    transformers_model(
        "ViTForImageClassification",
        "ViTConfig",
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=12,
        image_size=16,
        patch_size=8,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    ),
    lambda: {"pixel_values": torch.randn(2, 3, 16, 16)},
    digital=("vit.embeddings.position_embeddings",),
    aihwkit=None,  # the network reads the type of a weight, which aihwkit's layers do not have
)
add_slow(
    "CLIPText",
    transformers_model(
        "CLIPTextModel",
        "CLIPTextConfig",
        **TEXT,
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
    ),
    text(),
)
add_slow(
    "Wav2Vec2",
    transformers_model(
        "Wav2Vec2ForCTC",
        "Wav2Vec2Config",
        vocab_size=11,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=12,
        conv_dim=(6, 6),
        conv_stride=(2, 2),
        conv_kernel=(4, 3),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
        final_dropout=0.0,
        layerdrop=0.0,
        mask_time_prob=0.0,
    ),
    lambda: {"input_values": torch.randn(2, 40)},
    compares_training=False,  # it asks for gradients of the inputs itself
    **PARAMETRISED,
    **NO_AIHWKIT,
)
add_slow(
    "Whisper",
    transformers_model(
        "WhisperForConditionalGeneration",
        "WhisperConfig",
        vocab_size=11,
        num_mel_bins=6,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=12,
        decoder_ffn_dim=12,
        d_model=8,
        max_source_positions=8,
        max_target_positions=8,
        dropout=0.0,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        **UNCACHED,
    ),
    lambda: {
        "input_features": torch.randn(2, 6, 16),
        "decoder_input_ids": torch.randint(11, (2, 4)),
    },
    **NO_AIHWKIT,
)


# ---- networks of the project's spaces
def of_space(dataset, seed=0):
    def make():
        from analognas.search_spaces.config_space import ConfigSpace

        space = ConfigSpace(dataset)
        config = min(
            space.sample_arch_uniformly(20, rng=seed), key=lambda c: space.stats([c])["params"][0]
        )
        return space.build_network(config)

    return make


def cell(seed):
    def make():
        from analognas.search_spaces.nasbench201 import NASBench201Space

        space = NASBench201Space("CIFAR-10", channels=4, cells_per_stage=1)
        return space.build_network(space.sample_arch(rng=seed))

    return make


def images_of(dataset):
    def draw():
        from analognas.core import DATASETS

        return torch.randn(2, *DATASETS[dataset].input_dim)

    return draw


add("Cell1", cell(5), IMAGES)
add("Cell2", cell(1), IMAGES)
add_slow("ResNetOfKWS", of_space("KWS"), images_of("KWS"))


# ---- whole models, of which only the most important checks are run
def big(name, make, make_inputs=IMAGES, **options):
    "Add a model of millions of weights."
    BIG[name] = Case(make, make_inputs, options, slow=True)


BIG: dict[str, Case] = {}
big("resnet18", lambda: torchvision("resnet18")(num_classes=5))
big("mobilenet_v3_small", lambda: torchvision("mobilenet_v3_small")(num_classes=5))
big("efficientnet_b0", lambda: torchvision("efficientnet_b0")(num_classes=5))
big("ResNetOfCIFAR10", of_space("CIFAR-10"))
big(
    "swin_t",
    lambda: torchvision("swin_t")(num_classes=5),
    digital=("*relative_position_bias_table",),
)
big("convnext_tiny", lambda: torchvision("convnext_tiny")(num_classes=5))
