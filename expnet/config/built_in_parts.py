"""What expnet registers: the parts of each kind by name, as ``module:attribute`` that is imported when needed."""

KINDS = {
    "temporal_modules": "temporal module",
    "attention_biases": "attention bias",
    "expression_networks": "expression network",
    "pose_networks": "head-pose network",
    "losses": "loss",
    "corpora": "corpus",
    "callbacks": "callback",
    "metrics": "metric",
    "renderers": "renderer",
}
"""Kinds of parts, with what one of them is called; the entry points of a kind are in the group ``expnet.KIND``."""

_POSITION_BIAS = "expnet.models.attention:PositionBias"

BUILT_IN: dict[str, dict[str, str]] = {
    "temporal_modules": {
        "transformer": "expnet.models.temporal:Transformer",
        "conv": "expnet.models.temporal:Convolution",
        "gru": "expnet.models.temporal:Recurrent",
        "none": "",
    },
    "attention_biases": {
        "alibi": _POSITION_BIAS,
        "alibi_causal": _POSITION_BIAS,
        "alibi_periodic": _POSITION_BIAS,
        "alibi_learned": _POSITION_BIAS,
        "sinusoidal": _POSITION_BIAS,
        "none": _POSITION_BIAS,
    },
    "expression_networks": {
        "expnet": "expnet.models.expression_regressor:ExpressionRegressor",
        "small_convolution": "expnet.models.small_convolution:SmallConvolution",
        "autoregressive": "expnet.models.autoregressive:AutoregressiveRegressor",
    },
    "pose_networks": {
        "expnet": "expnet.models.pose_cvae:PoseCVAE",
        "sadtalker": "expnet.models.sadtalker:SadTalkerPose",
    },
    "losses": {},
    "corpora": {
        "folder": "expnet.data.corpora.folder:read_folder",
        "mat": "expnet.data.corpora.mat:read_mat",
        "hdtf": "expnet.data.corpora.hdtf:read_hdtf",
        "lrs3": "expnet.data.corpora.lrs3:read_lrs3",
        "mead": "expnet.data.corpora.mead:read_mead",
    },
    "callbacks": {},
    "metrics": {},
    "renderers": {
        "mesh": "expnet.render.mesh_renderer:MeshRenderer",
        "sadtalker": "expnet.render.face_vid2vid.renderer:SadTalkerRenderer",
    },
}
"""The parts of each kind; an empty text is no part at all."""
