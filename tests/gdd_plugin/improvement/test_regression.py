import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge

from gdd_plugin.improvement import regression


def test_targets_have_a_mean_of_zero_and_name_the_class():
    targets = regression.targets(torch.tensor([2, 0]), 4)
    assert torch.allclose(targets.sum(1), torch.zeros(2))
    assert targets.argmax(1).tolist() == [2, 0]


@pytest.mark.parametrize("size", [5, 30])
def test_predictions_equal_scikit_learn(size):
    """With fewer features than images, and with more."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(12, size, generator=generator, dtype=torch.float64)
    real = torch.randn(7, size, generator=generator, dtype=torch.float64)
    # Classes of different sizes, so that the targets have a mean.
    labels = regression.targets(torch.arange(12) % 5 % 3, 3).double()
    centred = (features - features.mean(0)).numpy()
    penalty = 0.1 * np.square(centred).sum(1).mean()
    expected = KernelRidge(alpha=penalty).fit(centred, labels).predict(real - features.mean(0))
    predicted = regression.predict(features, labels, real, 0.1)
    np.testing.assert_allclose(predicted, expected, atol=1e-10)
