"""Attention of responses over prompts that were encoded once."""

from __future__ import annotations

import torch
from torch.nn.functional import scaled_dot_product_attention

from oneshot_rlvr.policy.attention import repeat_heads


class SuffixView:
    """Rows of B responses, each attending to its prompt's keys and values and, causally, to itself.

    keys, values: per layer [P, Hkv, L, D] of P prompts padded on the right to L; lengths_P: their true lengths;
    rows_B: the prompt of each response; own_BTT: what a row's tokens may attend to among themselves, if it is not what
    precedes them.
    """

    def __init__(
        self,
        keys: list[torch.Tensor],
        values: list[torch.Tensor],
        lengths_P: torch.Tensor,
        rows_B: torch.Tensor,
        own_BTT: torch.Tensor | None = None,
    ) -> None:
        self.keys, self.values, self.rows_B = keys, values, rows_B
        self.width = keys[0].shape[2]
        slots = torch.arange(self.width, device=rows_B.device)
        padded = bool((lengths_P != self.width).any())
        self.prompt_mask = (slots < lengths_P[rows_B, None])[:, None, None] if padded else None
        self.own_BTT = own_BTT
        self._mask: torch.Tensor | None = None

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None
    ) -> torch.Tensor:
        """See `KeyValues.attend`. A pure function of its arguments, so that checkpointing may call it again."""
        heads = query.shape[1]
        keys = torch.cat([self._of_rows(self.keys[layer]), key], 2)
        values = torch.cat([self._of_rows(self.values[layer]), value], 2)
        return scaled_dot_product_attention(
            query, repeat_heads(keys, heads), repeat_heads(values, heads), attn_mask=self._mask_of(query), scale=scale
        )

    def _of_rows(self, prefix: torch.Tensor) -> torch.Tensor:
        if prefix.shape[0] == 1:
            return prefix.expand(len(self.rows_B), -1, -1, -1)
        return prefix[self.rows_B]

    def _mask_of(self, query: torch.Tensor) -> torch.Tensor:
        """[1 or B, 1, T, L + T]: the whole prompt, and the response up to the query."""
        length = query.shape[2]
        if self._mask is None or self._mask.shape[2] != length:
            own = self.own_BTT
            if own is None:
                own = torch.ones(1, length, length, dtype=torch.bool, device=query.device).tril()
            if self.prompt_mask is None:
                prompt = torch.ones(1, 1, length, self.width, dtype=torch.bool, device=query.device)
            else:
                prompt = self.prompt_mask.expand(-1, -1, length, -1)
            rows = max(len(own), len(prompt))
            self._mask = torch.cat([prompt.expand(rows, -1, -1, -1), own[:, None].expand(rows, -1, -1, -1)], 3)
        return self._mask
