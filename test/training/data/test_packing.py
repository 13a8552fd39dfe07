from pathlib import Path

import torch

from training.data.packing import pack
from training.data.prepared_arrays import PreparedArrays, PreparedArraysWriter


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.view(torch.int32)


def test_tensors_come_back_from_disk_bit_for_bit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    eight_bit = torch.randint(0, 256, (3, 1, 2, 3, 40, 40)) / 255.0
    mean, std = torch.tensor([0.48, 0.46, 0.41])[:, None, None], torch.tensor([0.27, 0.26, 0.28])[:, None, None]
    few_values, per_channel, many_values = (eight_bit - 0.5) / 0.5, (eight_bit - mean) / std, torch.randn(3, 1, 70_000)
    few_values[0, 0, 0, 0, 0, 0], few_values[0, 0, 0, 0, 0, 1] = 0.0, -0.0
    mask, grid = torch.ones(3, 1, 2, 40, 40, dtype=torch.int64), torch.tensor([[1, 4, 4]])
    with PreparedArraysWriter(tmp_path / "windows.arrow") as writer:
        for i in range(3):
            writer.append({"a": few_values[i], "b": per_channel[i], "c": many_values[i], "mask": mask[i], "grid": grid})
    shard = PreparedArrays(tmp_path / "windows.arrow")
    assert len(shard) == 3
    for i in (2, 0):
        window = shard[i]
        for name, tensor in (("a", few_values), ("b", per_channel), ("c", many_values)):
            assert torch.equal(bits(window[name]), bits(tensor[i]))
        assert torch.equal(window["mask"], mask[i])
        assert window["mask"].dtype == torch.int64
        assert window["grid"].tolist() == [[1, 4, 4]]
    size = (tmp_path / "windows.arrow").stat().st_size - 4 * many_values.numel() - 8 * mask.numel()
    assert size < 0.6 * 4 * (few_values.numel() + per_channel.numel())


def test_what_is_read_can_be_written_into(tmp_path: Path) -> None:
    with PreparedArraysWriter(tmp_path / "windows.arrow") as writer:
        writer.append({"x": torch.zeros(1, 5), "empty": torch.zeros(0, 2, dtype=torch.float64)})
    shard = PreparedArrays(tmp_path / "windows.arrow")
    shard[0]["x"].fill_(1)
    assert shard[0]["x"].sum() == 0
    assert shard[0]["empty"].shape == (0, 2)


def test_a_tensor_of_few_values_takes_a_byte_an_entry() -> None:
    packed = pack(torch.arange(256, dtype=torch.float32).repeat(100))
    assert packed.table is not None
    assert packed.codes.nbytes == 25_600
