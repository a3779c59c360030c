"""Targets: each scalar by its formula, and what is refused."""

import pytest
import torch
from tiny_clip import PROMPTS, inputs_of, save

from napari_vlexplain import load_model
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.methods.targets import TARGETS, Target, objective

COSINES = torch.tensor([[0.3, 0.1, -0.2], [0.0, 0.5, 0.5]], dtype=torch.float64)
OTHERS = [[1, 2], [0, 2], [0, 1]]


def logit(c):
    return 20 * c - 3


def test_similarity_and_logit():
    assert objective(Target("similarity"), COSINES, logit) is COSINES
    torch.testing.assert_close(objective(Target("logit"), COSINES, logit), 20 * COSINES - 3)


def test_margin_is_to_the_best_other():
    expected = torch.stack([20 * (COSINES[:, k] - COSINES[:, OTHERS[k]].amax(dim=1)) for k in range(3)], dim=1)
    torch.testing.assert_close(objective(Target("margin"), COSINES, logit), expected)


def test_softmax_is_over_all_prompts():
    found = objective(Target("softmax"), COSINES, logit)
    powers = (20 * COSINES).exp()
    torch.testing.assert_close(found, powers / powers.sum(dim=1, keepdim=True))


@pytest.mark.parametrize("name", TARGETS)
def test_any_leading_axes(name):
    many = torch.linspace(-1, 1, 24).view(2, 4, 3)
    found = objective(Target(name), many, logit)
    assert found.shape == many.shape
    torch.testing.assert_close(found[1, 2], objective(Target(name), many[1, 2], logit))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(save(tmp_path_factory.mktemp("targets") / "clip")), device="cpu")


@pytest.mark.parametrize("name", ["margin", "softmax"])
def test_contrasts_count_but_are_not_explained(model, name):
    inputs = inputs_of(model, PROMPTS[:2], Target(name, against=PROMPTS[2:]))
    everything = inputs_of(model, PROMPTS, name)
    cosines = torch.linspace(-0.1, 0.1, len(PROMPTS))
    assert inputs.objective(cosines).shape == (2,)
    torch.testing.assert_close(inputs.objective(cosines), everything.objective(cosines)[:2])


@pytest.mark.parametrize("name", TARGETS)
def test_own_objective_moves_with_its_own_cosine_only(model, name):
    inputs = inputs_of(model, PROMPTS, name)
    fixed = torch.linspace(-0.1, 0.1, len(PROMPTS))
    prompts = torch.tensor([1, 2])
    moved = torch.tensor([[0.04, 0.05, 0.06], [-0.01, 0.0, 0.01]], requires_grad=True)
    found = inputs.own_objective(moved, prompts, fixed)
    for i, k in enumerate(prompts.tolist()):
        for j in range(3):
            cosines = fixed.clone()
            cosines[k] = moved[i, j]
            torch.testing.assert_close(found[i, j], inputs.objective(cosines)[k])
    (gradient,) = torch.autograd.grad(found.sum(), [moved])
    step = torch.zeros_like(moved)
    step[0, 1] = 1e-3
    with torch.no_grad():
        rise = inputs.own_objective(moved + step, prompts, fixed) - inputs.own_objective(moved - step, prompts, fixed)
    assert (rise[1] == 0).all()
    torch.testing.assert_close(rise[0, 1] / 2e-3, gradient[0, 1], rtol=0.02, atol=1e-3)


def test_what_is_refused():
    with pytest.raises(VLExplainError, match="did you mean similarity"):
        Target("similarty").checked(1)
    for name in ("margin", "softmax"):
        with pytest.raises(VLExplainError, match="compares prompts"):
            Target(name).checked(1)
        assert Target(name).checked(2).name == name
        assert Target(name, against=("another",)).checked(1).against == ("another",)
