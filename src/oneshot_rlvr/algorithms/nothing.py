"""No policy gradient: what is left are the penalties and the optimizer's weight decay."""

from __future__ import annotations

from oneshot_rlvr.algorithms.experience import LossInputs, Surrogate
from oneshot_rlvr.algorithms.registries import SURROGATES


@SURROGATES.register("none")
def nothing(inputs: LossInputs) -> Surrogate:
    """0 at every token, and gradient 0: rewards move nothing. Source: arXiv 2504.20571, Table 5 rows 1, 8 to 10."""
    return 0.0 * inputs.logprobs_BT, {}
