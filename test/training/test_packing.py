from pathlib import Path

import torch

from training.packing import PackedInputs


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.view(torch.int32)


def test_packed_tensors_come_back_bit_for_bit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    eight_bit = torch.randint(0, 256, (3, 1, 2, 3, 40, 40)) / 255.0
    mean, std = torch.tensor([0.48, 0.46, 0.41])[:, None, None], torch.tensor([0.27, 0.26, 0.28])[:, None, None]
    few_values, per_channel, many_values = (eight_bit - 0.5) / 0.5, (eight_bit - mean) / std, torch.randn(3, 1, 70_000)
    per_channel[0, 0, 0, 0, 0, :2] = torch.tensor([0.0, -0.0])
    grid = torch.tensor([[[1, 4, 4]]] * 3)
    mask = torch.randint(0, 2, (3, 1, 2, 40, 80))
    packed = PackedInputs()
    for row in range(3):
        packed.append(
            {"a": few_values[row], "b": per_channel[row], "c": many_values[row], "grid": grid[row], "mask": mask[row]}
        )
    torch.save(packed.state(), tmp_path / "inputs.pt")
    for source in (packed, PackedInputs.from_state(torch.load(tmp_path / "inputs.pt", weights_only=True))):
        batch = source.take([2, 0])
        assert len(source) == 3
        for name, tensor in (("a", few_values), ("b", per_channel), ("c", many_values)):
            assert torch.equal(bits(batch[name]), bits(torch.cat([tensor[2], tensor[0]])))
        assert torch.equal(batch["mask"], torch.cat([mask[2], mask[0]]))
        assert batch["mask"].dtype == torch.int64
        assert batch["grid"].tolist() == [[1, 4, 4], [1, 4, 4]]
    size = (tmp_path / "inputs.pt").stat().st_size
    assert size < 0.6 * 4 * (few_values.numel() + per_channel.numel()) + 4 * many_values.numel()


def test_packing_takes_a_copy() -> None:
    tensor = torch.zeros(1, 5)
    packed = PackedInputs()
    packed.append({"x": tensor})
    tensor.fill_(1)
    assert packed.take([0])["x"].sum() == 0
