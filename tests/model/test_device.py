"""Names of devices, valid and not, and the types that they compute in."""

import pytest
import torch

from yolocore.errors import UsageError
from yolocore.model.device import half_type, select_device


@pytest.mark.parametrize(
    ("name", "gpus", "expected"),
    [
        ("auto", 0, "cpu"),
        ("auto", 1, "cuda"),
        ("cpu", 1, "cpu"),
        ("cuda", 1, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
        ("0", 1, "cuda:0"),
        pytest.param("cuda", 0, "device='cuda': 0 CUDA devices are here; give cpu or auto", id="no GPU"),
        pytest.param("cuda:2", 2, "device='cuda:2': 2 CUDA devices are here", id="a GPU too far"),
        pytest.param("gpu", 1, "device='gpu': give auto, cpu, cuda or cuda:N", id="a name that means nothing"),
        pytest.param("cpu:1", 1, "device='cpu:1': give", id="a second processor"),
        pytest.param("", 1, "device='': give", id="empty"),
    ],
)
def test_selects(monkeypatch, name, gpus, expected):
    # The only way to see both kinds of machine on one of them.
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    if expected.startswith("device="):
        with pytest.raises(UsageError, match=expected):
            select_device(name)
    else:
        assert select_device(name) == torch.device(expected)


def test_half_precision_follows_the_instructions(monkeypatch):
    cpu = torch.device("cpu")
    for capabilities, expected in (
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx2": True}, None),
        ({}, None),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda c=capabilities: c)
        assert half_type(cpu) is expected
