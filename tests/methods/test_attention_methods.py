"""Raw attention, rollout and attention Grad-CAM: by hand on a linear model, and what must follow."""

import linear_clip
import pytest
import torch
from tiny_clip import PROMPTS, inputs_of, save, scores_of

from napari_vlexplain import load_model
from napari_vlexplain.methods.attention.maps import rollout_row


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(save(tmp_path_factory.mktemp("attention") / "clip")), device="cpu")


@pytest.fixture
def linear():
    """The stream, two blocks, and the attention (H, T, T) of each."""
    first, second = linear_clip.attention(5), linear_clip.attention(6)
    z = 0.3 * linear_clip.stream()  # calm scores, so that no head looks at one token only
    return z, [first, second], [first.probabilities(z), second.probabilities(first.after(z))]


def close(scores, expected):
    torch.testing.assert_close(scores.image.flatten().double(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("block", [0, 1, -1])
def test_raw_attention_by_hand(linear, block):
    z, attentions, probabilities = linear
    found = scores_of("raw_attention", linear_clip.inputs_of(linear_clip.model(z, attentions)), block=block)
    close(found, probabilities[block].mean(dim=0)[0, 1:])


@pytest.mark.parametrize("start", [0, 1])
def test_rollout_by_hand(linear, start):
    z, attentions, probabilities = linear
    joint = torch.eye(linear_clip.TOKENS, dtype=torch.float64)
    for a in probabilities[start:]:
        step = a.mean(dim=0) + torch.eye(len(joint), dtype=torch.float64)
        joint = step / step.sum(dim=1, keepdim=True) @ joint
    found = scores_of("rollout", linear_clip.inputs_of(linear_clip.model(z, attentions)), start_block=start)
    close(found, joint[0, 1:])


def test_grad_cam_by_hand(linear):
    z, attentions, probabilities = linear
    gradient = torch.einsum("c,hcd,jd->hj", linear_clip.text_embedding(), attentions[1].moved(), attentions[0].after(z))
    weights = gradient[:, 1:].mean(dim=1, keepdim=True)
    expected = (weights * probabilities[1][:, 0, 1:]).mean(dim=0)
    assert expected.min() < 0 < expected.max()  # clamped after the mean over heads
    found = scores_of("attention_grad_cam", linear_clip.inputs_of(linear_clip.model(z, attentions)))
    close(found, expected.clamp(min=0))


def test_rollout_rows_sum_to_one(model):
    inputs = inputs_of(model)
    image = rollout_row(model.image, model.image.embed(inputs.pixels), 0, model.image_rows(1))
    text = rollout_row(model.text, model.text.embed(inputs.texts.ids), 0, inputs.texts.rows)
    torch.testing.assert_close(image.sum(dim=1), torch.ones(1))
    torch.testing.assert_close(text.sum(dim=1), torch.ones(len(PROMPTS)))


def test_rollout_of_identity_attention_is_the_identity():
    angles = torch.arange(linear_clip.TOKENS, dtype=torch.float64) * 2 * torch.pi / linear_clip.TOKENS
    z = torch.stack([angles.cos(), angles.sin(), torch.zeros_like(angles)], dim=1).repeat(1, linear_clip.HEADS)
    attention = linear_clip.attention(0)  # each token is most like itself, in every head
    attention.query = attention.key = 100 * torch.eye(linear_clip.WIDTH, dtype=torch.float64)
    attention.value.zero_()
    tower = linear_clip.model(z, [attention, attention]).image
    row = rollout_row(tower, tower.embed(torch.zeros(1)), 0, torch.tensor([0]))
    torch.testing.assert_close(row, torch.eye(linear_clip.TOKENS)[:1])


@pytest.mark.parametrize("method", ["raw_attention", "rollout"])
def test_without_gradients_the_prompt_does_not_matter_to_the_image(model, method):
    image = scores_of(method, inputs_of(model)).image
    assert (image == image[:1]).all()
    assert (image >= 0).all()


def test_grad_cam_follows_the_prompt(model):
    image = scores_of("attention_grad_cam", inputs_of(model, PROMPTS)).image
    assert (image >= 0).all()
    assert len({tuple(row) for row in image.flatten(1).tolist()}) > 1
