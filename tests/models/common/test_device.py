import pytest
import torch

from backend.core.errors import BadRequest
from backend.models.common.device import device_of


def test_auto_is_a_gpu_where_there_is_one(monkeypatch):
    assert device_of("cpu") == "cpu"
    for there, name in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert device_of("auto") == name


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadRequest, match="no GPU"):
        device_of("cuda")
    with pytest.raises(BadRequest, match="no device 'tpu'"):
        device_of("tpu")
