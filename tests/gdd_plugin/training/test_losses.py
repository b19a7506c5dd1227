"""Tests of the student's and the discriminator's losses against hand calculations."""

import pytest
import torch

from gdd_plugin.training import losses


def test_hinge_generator_agrees_with_a_hand_calculation():
    outputs = [torch.tensor([[1.0, 3.0], [-2.0, 0.0]]), torch.tensor([[4.0], [-1.0]])]
    assert losses.hinge_generator(outputs).item() == pytest.approx(-(2 / 4) - (3 / 2))


def test_hinge_discriminator_agrees_with_a_hand_calculation():
    # Here max(0, 1 - D) is 0 and 0.5.
    real = [torch.tensor([[2.0, 0.5]])]
    # Here max(0, 1 + D) is 0, 1.25, 1 and 0.
    generated = [torch.tensor([[-3.0, 0.25], [0.0, -1.0]])]
    assert losses.hinge_discriminator(real, generated).item() == pytest.approx(0.25 + 2.25 / 4)


def test_r1_penalty_agrees_with_a_hand_calculation():
    """The outputs 3x + y and x * y have the gradients (3, 1) and (y, x)."""
    features = torch.tensor([[1.0, 2.0], [5.0, -1.0]], requires_grad=True)
    linear = (3 * features[:, :1] + features[:, 1:],)
    assert losses.r1_penalty(linear, [features]).item() == pytest.approx((9 + 1) / 2)
    product = (features[:, :1] * features[:, 1:],)
    assert losses.r1_penalty(product, [features]).item() == pytest.approx(
        ((4 + 1) + (1 + 25)) / 2 / 2
    )


def test_r1_penalty_trains_the_head_and_ignores_features_without_outputs():
    head = torch.nn.Linear(2, 1)
    features = torch.ones(5, 2, requires_grad=True)
    penalty = losses.r1_penalty([head(features)[:3]], [features])
    assert penalty.item() == pytest.approx(head.weight.square().sum().item() / 2)
    penalty.backward()
    torch.testing.assert_close(head.weight.grad, head.weight.detach())


def test_distillation_agrees_with_a_hand_calculation_and_trains_only_the_student():
    generated = torch.tensor([[[[1.0, 2.0]]], [[[0.0, 0.0]]]], requires_grad=True)
    teacher = torch.tensor([[[[0.0, 0.0]]], [[[2.0, 0.0]]]], requires_grad=True)
    loss = losses.distillation(generated, teacher, torch.tensor([0.5, 1.0]))
    assert loss.item() == pytest.approx((0.5 * 5 / 2 + 1.0 * 4 / 2) / 2)
    loss.backward()
    assert teacher.grad is None
    torch.testing.assert_close(
        generated.grad.flatten(), torch.tensor([0.5 * 2 / 2 / 2, 0.5 * 4 / 2 / 2, -1.0, 0.0])
    )


def test_energy_distance_agrees_with_a_hand_calculation():
    """The samples of one class are at 0 and 2 on a line, the real points at 1 and 4."""
    generated, real = torch.tensor([[[0.0], [2.0]]]), torch.tensor([[[1.0], [4.0]]])
    between = (1 + 4 + 1 + 2) / 4
    within_generated, within_real = 2.0, 3.0
    expected = (2 * between - within_generated - within_real) / within_real
    assert losses.energy_distance(generated, real).tolist() == pytest.approx([expected], abs=1e-5)


def test_energy_distance_distinguishes_distributions_and_has_a_gradient():
    torch.manual_seed(0)
    real = torch.randn(3, 500, 4)
    same, shifted = (
        torch.randn(3, 500, 4),
        torch.randn(3, 500, 4) + torch.tensor([0.0, 0.5, 2.0])[:, None, None],
    )
    assert losses.energy_distance(same, real).abs().max() < 0.02
    distances = losses.energy_distance(shifted, real)
    assert distances[0] < 0.02 < distances[1] < distances[2]
    shifted.requires_grad_()
    losses.energy_distance(shifted, real).sum().backward()
    assert shifted.grad is not None
    assert torch.isfinite(shifted.grad).all()
    # Descent moves the samples towards the real points.
    assert (shifted.grad[2].mean(0) > 0).all()
