"""How strongly the score reacts to each patch: the norm of its gradient at the pixels, to a power."""

from dataclasses import dataclass

from napari_vlexplain.methods import MethodInfo, param


@dataclass(frozen=True)
class GradientNorm:
    power: float = param(1.0, "above 1 strong patches stand out", low=0.1, high=4.0)


def gradient_norm(inputs, parameters, run):
    """Scores (K, gh, gw) of K prompts; words get none."""
    import torch

    from napari_vlexplain.methods import Scores, no_words

    model, (gh, gw) = inputs.model, inputs.model.image.grid
    with torch.enable_grad():
        pixels = inputs.pixels.clone().requires_grad_()
        values = inputs.objective(model.similarity(model.encode_image(pixels), model.encode_text(inputs.texts)))[0]
        gradients = [torch.autograd.grad(value, pixels, retain_graph=True)[0] for value in values]
    norms = torch.cat(gradients).unflatten(3, (gw, -1)).unflatten(2, (gh, -1)).pow(2).sum(dim=(1, 3, 5)).sqrt()
    return Scores(norms**parameters.power, no_words(inputs))


INFO = MethodInfo(
    name="gradient_norm",
    title="Gradient norm",
    summary="How strongly the score reacts to each patch.",
    source="this file",
    parameters_form=GradientNorm,
    requires=frozenset({"gradients"}),
    entry="vlexplain_alike:gradient_norm",
)
