"""M2IB: its closed forms, its symmetries, and the cached tail against the loop spelled out."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_clip import PROMPTS, inputs_of, picture, save, scores_of

from napari_vlexplain import explain, load_model
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.methods.bottleneck.m2ib import bottleneck, divergence
from napari_vlexplain.methods.bottleneck.parameters import M2IB
from napari_vlexplain.running.run import Run

# At alpha = 5 and sigma = 1: KL = AT_START + PER_SQUARE x^2.
AT_START, PER_SQUARE = 4.506737745615884, 0.4933295462024626


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(save(tmp_path_factory.mktemp("m2ib") / "clip")), device="cpu")


@pytest.fixture
def alphas(monkeypatch):
    """What Adam optimised, after every step."""
    seen = []

    class Watched(torch.optim.Adam):
        def step(self, *args):
            super().step(*args)
            seen.append(self.param_groups[0]["params"][0].detach().clone())

    monkeypatch.setattr(torch.optim, "Adam", Watched)
    return seen


def noise_of(shape, seed=0):
    source = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=source)


def stream(model, inputs, layer=1):
    with torch.no_grad():
        return model.image.run(model.image.embed(inputs.pixels), 0, layer + 1)


def fit_of(model, inputs, layer=1, prompt=0):
    """Noised streams (k, S, T, D) -> cosine with one prompt (k, S)."""
    embedded = model.encode_text(inputs.texts)[prompt : prompt + 1]

    def fit(t):
        image = model.image.tail(t.flatten(0, 1), layer + 1, model.image_rows(t.shape[0] * t.shape[1]))
        return model.similarity(image, embedded)[:, 0].unflatten(0, t.shape[:2])

    return fit


def no_fit(t):
    return torch.zeros(t.shape[:2]) + 0 * t.sum()


@pytest.mark.parametrize("settings", [{}, {"beta": 50.0}, {"samples": 2}])
@pytest.mark.parametrize("form", ["stable", "reference"])
def test_one_step_has_a_closed_form(model, settings, form):
    """Whatever the text, the price, the seed."""
    inputs = inputs_of(model, seed=len(settings))
    found = scores_of("m2ib", inputs, layer=1, text_layer=1, steps=1, kl_form=form, **settings)
    x = stream(model, inputs)
    image = x.shape[-1] * AT_START + PER_SQUARE * x.square().sum(dim=-1)
    # 1 - sigmoid(5) keeps five digits in the published form.
    tolerance = {"rtol": 1e-6 if form == "stable" else 1e-5, "atol": 1e-5}
    for k in range(len(PROMPTS)):
        torch.testing.assert_close(found.image[k].flatten(), image[0, 1:], **tolerance)
    for k, prompt in enumerate(inputs.explained.prompts):
        z = model.text.run(model.text.embed(torch.tensor([prompt.ids])), 0, 2)[0]
        words = z.shape[-1] * AT_START + PER_SQUARE * z.square().sum(dim=-1)
        torch.testing.assert_close(found.text[k, : len(words)], words, **tolerance)


def test_adams_first_step_is_a_sign(model, alphas):
    inputs = inputs_of(model)
    x = stream(model, inputs)
    noise = noise_of((1, 4, *x.shape[1:]))
    bottleneck(M2IB(steps=1), x, fit_of(model, inputs), noise, Run())
    (alpha,) = alphas
    assert torch.minimum((alpha - 4).abs(), (alpha - 6).abs()).max() < 1e-3


def test_divergence_is_that_of_two_normals():
    x, alpha = torch.randn(4, 50, 6, generator=torch.Generator().manual_seed(0)).double(), torch.linspace(-6, 9, 50)
    alpha = alpha.double()[:, None]
    for sigma in (0.3, 1.0, 2.0):
        keep = alpha.sigmoid()
        ours = torch.distributions.Normal(keep * x, sigma * (1 - keep))
        expected = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0))
        for form in ("stable", "reference"):
            torch.testing.assert_close(divergence(x, alpha, sigma, form), expected, rtol=1e-9, atol=1e-9)


def test_divergence_rises_with_alpha_is_even_and_starts_at_nothing():
    x = torch.linspace(-4, 4, 81, dtype=torch.float64)
    alpha = torch.linspace(-9, 9, 40, dtype=torch.float64)[:, None].expand(-1, 81).clone().requires_grad_()
    kl = divergence(x, alpha, 1.0)
    (slope,) = torch.autograd.grad(kl.sum(), [alpha])
    keep = alpha.detach().sigmoid()
    torch.testing.assert_close(slope, keep**2 * ((1 - keep) * x**2 + 2 - keep))
    assert (slope > 0).all()
    assert (kl >= 0).all()
    torch.testing.assert_close(kl, kl.flip(1))
    assert divergence(x, torch.full_like(x, -30.0), 1.0).max() < 1e-12


def test_single_precision_stays_finite():
    x, alpha = torch.tensor([3.0]), torch.tensor([-90.0, 40.0, 90.0])
    assert divergence(x, alpha, 1.0).isfinite().all()


def test_a_high_price_silences_everything(model, alphas):
    inputs = inputs_of(model)
    x = stream(model, inputs)
    noise = noise_of((1, 4, *x.shape[1:]))
    bottleneck(M2IB(beta=1e3), x, fit_of(model, inputs), noise, Run())
    assert all((later < earlier).all() for earlier, later in itertools.pairwise(alphas))
    assert alphas[-1].max() < 0
    assert float(alphas[-1].mean()) == pytest.approx(-3.9, abs=0.5)


def test_what_passes_falls_with_its_price(model):
    inputs = inputs_of(model)
    x = stream(model, inputs)

    def passed(beta):
        noise = noise_of((1, 4, *x.shape[1:]))
        return float(bottleneck(M2IB(beta=beta), x, fit_of(model, inputs), noise, Run()).mean())

    found = [passed(beta) for beta in (0.0, 1e-3, 0.1, 1.0, 1e3)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 2 * found[-1]


@pytest.mark.parametrize("prompt", [0, 2])
def test_the_cached_stream_gives_the_full_reruns_bits(model, prompt):
    """The loop by its definition, from the pixels at every step; the same noise, the same numbers."""
    inputs = inputs_of(model, (PROMPTS[prompt],))
    found = scores_of("m2ib", inputs, layer=1, text_layer=1, steps=4, samples=3).image

    tower, fit = model.image, fit_of(model, inputs)
    source = inputs.generator("m2ib", "image", "0")
    alpha = torch.full((1, 17, 32), 5.0, requires_grad=True)
    adam = torch.optim.Adam([alpha], lr=1.0)
    for _ in range(4):
        with torch.no_grad():
            x = tower.run(tower.embed(inputs.pixels), 0, 2)
        epsilon = torch.randn(3, 17, 32, generator=source)[None]
        t = (alpha.sigmoid() * x)[:, None] + (-alpha).sigmoid()[:, None] * epsilon
        kl = divergence(x, alpha, 1.0)
        loss = 0.1 * kl.mean() - fit(t).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert (found.flatten() - kl.detach().sum(dim=-1)[0, 1:]).abs().max() == 0.0


def test_map_is_read_before_the_last_update_unless_asked(model):
    inputs = inputs_of(model, PROMPTS[:1])
    common = {"layer": 1, "text_layer": 1, "samples": 3}
    three = scores_of("m2ib", inputs, steps=3, **common).image
    refreshed = scores_of("m2ib", inputs, steps=2, final_refresh=True, **common).image
    torch.testing.assert_close(refreshed, three, rtol=0, atol=0)
    assert (scores_of("m2ib", inputs, steps=3, final_refresh=True, **common).image != three).any()


def test_variance_one_is_the_default_and_others_differ(model):
    inputs = inputs_of(model, PROMPTS[:1])
    default = scores_of("m2ib", inputs, steps=3, samples=3).image
    assert torch.equal(scores_of("m2ib", inputs, steps=3, samples=3, variance=1.0).image, default)
    assert (scores_of("m2ib", inputs, steps=3, samples=3, variance=0.1).image != default).any()


@pytest.mark.parametrize("variance", [0.25, 1.0, 4.0])
def test_what_is_let_through_by_the_formula(variance):
    x = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(0))
    seen = []

    def watched(t):
        seen.append(t.detach())
        return no_fit(t)

    bottleneck(M2IB(steps=2, variance=variance), x, watched, noise_of((1, 3, 6, 8), seed=5), Run())
    epsilon, keep = noise_of((1, 3, 6, 8), seed=5)(), torch.sigmoid(torch.tensor(5.0))
    torch.testing.assert_close(seen[0], keep * x[:, None] + variance**0.5 * (1 - keep) * epsilon, rtol=1e-4, atol=1e-5)
    assert len(seen) == 2
    assert (seen[1] != seen[0]).all()  # fresh noise, another λ


def test_both_forms_of_the_logarithm_agree(model):
    inputs = inputs_of(model, PROMPTS[:1])
    stable, published = (scores_of("m2ib", inputs, kl_form=form).image for form in ("stable", "reference"))
    torch.testing.assert_close(stable, published, rtol=1e-3, atol=1e-2)


def test_repeats_are_averaged_and_the_first_is_the_single_run(model):
    inputs = inputs_of(model, PROMPTS[:1])
    once, twice, thrice = (scores_of("m2ib", inputs, steps=5, samples=1, repeats=n) for n in (1, 2, 3))
    for one, two, three in ((once.image, twice.image, thrice.image), (once.text, twice.text, thrice.text)):
        runs = [one, 2 * two - one, 3 * three - 2 * two]
        for a, b in itertools.combinations(runs, 2):
            assert (a - b).abs().max() > 1e-5 * one.abs().max(), "each run draws noise of its own"
        assert math.isclose(float(one.mean()), float(three.mean()), rel_tol=0.2)


def test_doubling_the_samples_with_the_same_noise_changes_nothing(model):
    inputs = inputs_of(model)
    x = stream(model, inputs)
    single = noise_of((1, 3, *x.shape[1:]))
    twice = noise_of((1, 3, *x.shape[1:]))
    one = bottleneck(M2IB(steps=4), x, fit_of(model, inputs), single, Run())
    two = bottleneck(M2IB(steps=4), x, fit_of(model, inputs), lambda: twice().repeat(1, 2, 1, 1), Run())
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("target", ["similarity", "logit"])
def test_a_prompt_has_the_same_bits_in_any_company(model, target):
    """Each is optimised alone, at its own length; nothing of the others is rounded into it."""
    prompts = [*PROMPTS, "a very small cat beside a large dog", "dog"]
    together = explain(picture(), prompts, model, "m2ib", target=target, samples=3)
    for k, prompt in enumerate(prompts):
        for company in ([prompt], [prompt, *prompts[::-1][:2]]):
            found = explain(picture(), company, model, "m2ib", target=target, samples=3)[0]
            np.testing.assert_array_equal(found.patch_scores, together[k].patch_scores)
            np.testing.assert_array_equal(found.token_scores, together[k].token_scores)


def test_where_nothing_fits_only_norms_count():
    x = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(0))
    turned = (x * torch.tensor([1.0, -1.0] * 4)).flip(2)

    def solve(some):
        return bottleneck(M2IB(), some, no_fit, noise_of((1, 2, 6, 8)), Run()).sum(dim=2)

    torch.testing.assert_close(solve(x), solve(turned))


def test_the_first_step_is_nearly_noiseless(model):
    """1 - λ is 0.0067 there, so the fit is about the clean cosine, and the price is that of the closed form."""
    inputs = inputs_of(model)
    x = stream(model, inputs)
    fit, seen = fit_of(model, inputs), []

    def watched(t):
        seen.append(fit(t))
        return seen[-1]

    noise = noise_of((1, 10, *x.shape[1:]))
    kl = bottleneck(M2IB(steps=1), x, watched, noise, Run())
    clean = model.similarity(model.encode_image(inputs.pixels), model.encode_text(inputs.texts))[0, 0]
    assert float(seen[0].detach().mean()) == pytest.approx(float(clean), abs=0.02)
    assert float(kl.mean()) == pytest.approx(AT_START + PER_SQUARE * float(x.square().mean()), rel=1e-5)


def test_padding_is_as_good_as_absent(model):
    inputs = inputs_of(model, PROMPTS[:1])
    length = inputs.texts.ids.shape[1]
    padded = torch.nn.functional.pad(inputs.texts.ids, (0, 32 - length), value=2047)
    filled = replace(inputs, texts=replace(inputs.texts, ids=padded))
    expected = scores_of("m2ib", inputs, steps=4, samples=3).text
    found = scores_of("m2ib", filled, steps=4, samples=3).text
    torch.testing.assert_close(found[:, :length], expected, rtol=1e-4, atol=1e-4)


def test_the_heatmap_spans_nought_to_one(model):
    found = explain(picture(), "a cat", model, "m2ib", steps=3, samples=2)
    assert (found.heatmap.min(), found.heatmap.max()) == (0.0, 1.0)


@pytest.mark.parametrize("layer", [2, 7])
def test_behind_the_last_block_there_is_no_bottleneck(model, layer):
    with pytest.raises(VLExplainError, match="choose 0 to 1"):
        scores_of("m2ib", inputs_of(model, PROMPTS[:1]), layer=layer)


def test_the_bottleneck_follows_three_quarters_of_the_blocks():
    mini = load_model("mini", device="cpu")
    notes = scores_of("m2ib", inputs_of(mini, PROMPTS[:1]), steps=1, samples=1).notes
    assert (notes["layer"], notes["text_layer"]) == (9, 4)
