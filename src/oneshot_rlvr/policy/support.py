"""Can this model share a prompt's keys and values? Asked of the model itself, once, when it is loaded.

Plain full attention only: its configuration's layer types must say so, its attention must go through the Transformers
interface, and the shared-prefix pass must give the logits of the ordinary forward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel

from oneshot_rlvr.errors import FOREIGN, OneshotError, first_line
from oneshot_rlvr.policy.attention import NAME, Capture, active, hidden_states, output_layer
from oneshot_rlvr.policy.prefix import SuffixView

LENGTH_DEPENDENT = ("dynamic", "longrope", "su")  # su: longrope as Phi-3 first called it
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}


def shared_prefix_problem(model: PreTrainedModel) -> str | None:
    """Why the model cannot share a prefix; None if it can, and then its attention is switched to ours.

    Raises:
        OneshotError: it cannot be run at all.
    """
    kinds = set(getattr(model.config.get_text_config(), "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"}:
        return f"its layers are {', '.join(sorted(kinds))}"
    rope = length_dependent_rope(model.config.get_text_config())
    if rope is not None:
        return f"its positions ({rope}) change with the text's length"
    ids = torch.arange(12, device=next(model.parameters()).device)[None] % model.config.get_text_config().vocab_size
    before = model.config._attn_implementation or "eager"
    with torch.no_grad():
        try:
            plain = model(input_ids=ids).logits
        except FOREIGN as error:
            raise OneshotError(
                f"the model fails on its first tokens: {first_line(error)}",
                where=model.config._name_or_path,
                fix="See whether Transformers runs it.",
            ) from error
        # The model's code is anybody's: whatever it trips over from here on means that the fast path is not for it.
        try:
            model.set_attn_implementation(NAME)
            ours = _two_part_logits(model, ids)
        except FOREIGN as error:
            reason = f"{type(error).__name__}: {error}"
        else:
            difference = ((ours - plain).norm() / plain.norm()).item()
            if difference < TOLERANCE[plain.dtype]:
                return None
            reason = f"its logits would differ by {difference:.1e}"
    model.set_attn_implementation(before)
    return reason


def length_dependent_rope(config: Any) -> str | None:
    """The kind of rotary positions whose frequencies depend on how long a text is, if the configuration names one.

    A prompt encoded by itself then has other keys than in a long text, which a short probe cannot see.
    """
    found = [getattr(config, name, None) for name in ("rope_parameters", "rope_scaling")]
    while found:
        value = found.pop()
        if isinstance(value, dict):
            kind = value.get("rope_type", value.get("type"))
            if kind in LENGTH_DEPENDENT:
                return str(kind)
            found += value.values()  # some models have parameters for each layer type
    return None


def _two_part_logits(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    """Logits with the first five tokens encoded as a prefix and the rest as a suffix."""
    positions, prefix = torch.arange(ids.shape[1], device=ids.device)[None], Capture()
    with active(prefix):
        first = hidden_states(model, ids[:, :5], positions[:, :5])
    view = SuffixView(prefix.keys, prefix.values, torch.tensor([5], device=ids.device), torch.zeros_like(ids[:, 0]))
    with active(view):
        rest = hidden_states(model, ids[:, 5:], positions[:, 5:])
    return output_layer(model)(torch.cat([first, rest], 1))
