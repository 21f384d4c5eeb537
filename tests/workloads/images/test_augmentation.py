"""Augmented images are those that they were made from, shifted and mirrored."""

from __future__ import annotations

import torch
from torch.nn.functional import pad

from tests.workloads.images.problems import workload


def test_augmentation_shifts_and_mirrors() -> None:
    """Every image is one of the 9 × 9 shifts of its original, or of its mirror image."""
    problem, plain = workload(), workload(augment=False)
    found = []
    for step in range(3):
        changed, original = (each.batch(1, step)[0] for each in (problem, plain))
        assert torch.equal(changed, workload().batch(1, step)[0])
        black = problem._scaled(torch.zeros(1, 3, 16, 16))[0]
        for image, before in zip(changed, original, strict=True):
            border = pad(before - black, (4, 4, 4, 4)) + black[:, :1, :1]
            cuts = {
                (down, right): border[:, down : down + 16, right : right + 16]
                for down in range(9)
                for right in range(9)
            }
            candidates = {(*at, False): cut for at, cut in cuts.items()}
            candidates |= {(*at, True): cut.flip(-1) for at, cut in cuts.items()}
            (match,) = (
                at for at, cut in candidates.items() if torch.allclose(cut, image, atol=1e-5)
            )
            found.append(match)
    shifts = {match[:2] for match in found}
    assert len(shifts) > 12
    assert {match[2] for match in found} == {False, True}
