"""The placement table as one flat sequence with positions and a dense mask.

p is the number of context tokens, n that of a passage, e' = min(echo, p-1).
A tail is the echo and the target.

placement  evidence at     evidence sees       tail at  tail sees besides itself
none                                           p        [0, p)
prepend    0 ...           itself              n+p      everything (the context, at n ..., sees the evidence)
append     p ...           [0, p) and itself   p+n      [0, p) and the evidence; the first copies of echoed tokens too
virtual    -n_j ... each   token 0 and itself  p-e'     [0, p-e') and all passages; not the first copies of echoed tokens
"""

from dataclasses import dataclass, field

import torch


@dataclass
class Flat:
    """One sequence: ids, positions, and for each token the indices that it sees."""

    ids: list = field(default_factory=list)
    positions: list = field(default_factory=list)
    sees: list = field(default_factory=list)

    def add(self, tokens, position, seen):
        """Appends tokens from position on, each seeing `seen`, the ones before it here, and itself."""
        first = len(self.ids)
        for i, token in enumerate(tokens):
            self.ids.append(token)
            self.positions.append(position + i)
            self.sees.append(seen + list(range(first, first + i + 1)))
        return list(range(first, len(self.ids)))


def flatten(placement, echo, context, evidence, target):
    """Returns the sequence whose last len(target) rows predict the target's tokens, in order."""
    p, fed = len(context), target[:-1]  # nothing is predicted from the last target token
    flat = Flat()
    if placement != "virtual" and len(evidence) > 1:
        raise ValueError(f"{placement}: several passages are several branches, give one at a time")
    if p < 2 or not evidence:
        placement = "none"
    if placement == "none":
        seen = flat.add(context, 0, [])
        flat.add(fed, p, seen)
    elif placement == "prepend":
        passage = evidence[0]
        seen = flat.add(passage, 0, [])
        seen = seen + flat.add(context, len(passage), seen)
        flat.add(fed, len(passage) + p, seen)
    elif placement == "append":
        passage = evidence[0]
        seen = flat.add(context, 0, [])
        seen = seen + flat.add(passage, p, seen)
        flat.add(context[p - min(echo, p - 1) :] + fed, p + len(passage), seen)
    elif placement == "virtual":
        text = flat.add(context, 0, [])
        first = p - min(echo, p - 1)
        seen = text[:first]
        for passage in evidence:
            seen = seen + flat.add(passage, -len(passage), text[:1])
        flat.add(context[first:] + fed, first, seen)
    else:
        raise ValueError(f"unknown placement {placement!r}")
    return flat


@torch.inference_mode()
def target_logits(model, flat, targets):
    """Returns the logits [targets, vocabulary] of the last rows, in the model's dtype."""
    size = len(flat.ids)
    mask = torch.full((size, size), torch.finfo(model.dtype).min, dtype=model.dtype)
    for row, seen in zip(mask, flat.sees):
        row[seen] = 0
    return model(
        input_ids=torch.tensor([flat.ids], device=model.device),
        position_ids=torch.tensor([flat.positions], device=model.device),
        attention_mask=mask[None, None].to(model.device),
        use_cache=False,
        logits_to_keep=targets,
    ).logits[0]
