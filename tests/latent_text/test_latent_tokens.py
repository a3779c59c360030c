"""Latent tokens: the identities of the specification, on random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import family_checks as check
import numpy as np
import pytest
import tiny_clip
import torch
import torch.nn.functional as F

from napari_vlexplain import load_model
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.latent_text import Drift, Reading, Smoothing, drift, interpret, text_bank
from napari_vlexplain.latent_text.retrieval import nearest
from napari_vlexplain.latent_text.tails import latent_tokens, layer_tokens, own_projection
from napari_vlexplain.latent_text.texts.vocabularies import vocabulary
from napari_vlexplain.models.dual_encoder import DualEncoder
from napari_vlexplain.models.pools import MeanPool

WORDS = [f"{colour} {thing}" for colour in ("red", "blue", "old") for thing in ("cat", "car", "tree", "lung", "word")]
PLAIN = Reading()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from napari_vlexplain.latent_text.texts import banks as text_banks

    monkeypatch.setattr(text_banks, "folder", lambda: tmp_path / "banks")
    text_banks.forget_banks()
    return tmp_path / "banks"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DualEncoder:
    return load_model(str(tiny_clip.save(tmp_path_factory.mktemp("tiny"))), "cpu")


@pytest.fixture
def z(model: DualEncoder) -> torch.Tensor:
    pixels = torch.cat([model.pixels(tiny_clip.picture(seed=seed))[0] for seed in (0, 1, 2)])
    return model.image.embed(pixels)


def all_layers(model: DualEncoder, z: torch.Tensor, reading: Reading = PLAIN, seed: int = 0) -> torch.Tensor:
    layers = range(model.image.depth + 1)
    return latent_tokens(model.image, z, layers, reading, torch.Generator().manual_seed(seed))


def masked_run(model: DualEncoder, z: torch.Tensor, layer: int) -> torch.Tensor:
    """The published way: the whole network with an additive mask that is 0 on the diagonal from ``layer`` on."""
    tower = model.image
    only_self = torch.full((z.shape[1],) * 2, float("-inf")).fill_diagonal_(0)
    for index, block in enumerate(tower.blocks):
        z = block.explicit(z, only_self if index >= layer else None)[0]
    return torch.stack([tower.pool.tokens(row) for row in z])


def test_the_growing_stack_equals_one_masked_run_per_layer(model: DualEncoder, z: torch.Tensor) -> None:
    found = all_layers(model, z)
    for layer in range(model.image.depth + 1):
        torch.testing.assert_close(found[layer], masked_run(model, z, layer), atol=1e-5, rtol=1e-5)


def test_one_layer_alone_or_some_of_them_are_the_same_numbers(model: DualEncoder, z: torch.Tensor) -> None:
    found = all_layers(model, z)
    streams = model.image.streams(z, range(model.image.depth + 1))
    for layer, stream in streams.items():
        alone = layer_tokens(model.image, stream, layer, PLAIN)
        torch.testing.assert_close(alone, found[layer], atol=1e-5, rtol=1e-5)
    some = latent_tokens(model.image, z, (1, 3), PLAIN)
    torch.testing.assert_close(some, found[[1, 3]], atol=1e-5, rtol=1e-5)


def test_the_last_layers_first_token_is_the_embedding(model: DualEncoder, z: torch.Tensor) -> None:
    embedding = model.image.tail(z, 0, model.image_rows(len(z)))
    torch.testing.assert_close(all_layers(model, z)[-1][:, 0], embedding, atol=1e-5, rtol=1e-5)


def test_tokens_travel_alone(model: DualEncoder, z: torch.Tensor) -> None:
    bank, order = text_bank(model, vocabulary(WORDS), "{}"), torch.randperm(z.shape[1])
    before = layer_tokens(model.image, z, 1, PLAIN)
    torch.testing.assert_close(layer_tokens(model.image, z[:, order], 1, PLAIN), before[:, order])
    other = z.clone()
    other[:, 5] = 3 * torch.randn(z.shape[-1])
    after = layer_tokens(model.image, other, 1, PLAIN)
    same = torch.arange(z.shape[1]) != 5
    assert torch.equal(after[:, same], before[:, same])
    for axis, alone in (("embedding", True), ("token", False)):
        reading = replace(PLAIN, norm_axis=axis)
        scores = [nearest(u, bank, reading, k=3).scores[:, same] for u in (before, after)]
        assert torch.equal(*scores) == alone, axis


def test_skipping_attention_is_another_method(model: DualEncoder, z: torch.Tensor) -> None:
    skipped = all_layers(model, z, Reading(mode="skip"))
    y = z
    for block in model.image.blocks:
        y = y + block.mlp(block.norm2(y))
    torch.testing.assert_close(skipped[0], model.image.pool.tokens(y))
    assert not torch.allclose(skipped[0], all_layers(model, z)[0], atol=1e-2)


def test_merged_projections_belong_to_their_own_tower(model: DualEncoder, tmp_path: Path) -> None:
    other = load_model(str(tiny_clip.save(tmp_path / "other", seed=1)), "cpu")
    assert own_projection(model.image) is own_projection(model.image)
    assert not torch.equal(own_projection(model.image)[0].weight, own_projection(other.image)[0].weight)


def test_zero_shot_at_the_last_layer_equals_the_models_own(model: DualEncoder) -> None:
    image = tiny_clip.picture()
    found = interpret(model, image, WORDS, "a photo of a {}", k=2)
    texts = model.encode_text(model.tokenize([f"a photo of a {word}" for word in WORDS]))
    cosines = model.similarity(model.encode_image(model.pixels(image)[0]), texts)[0]
    best = cosines.topk(2)
    assert [text for text, _ in found.says(-1, 0)] == [WORDS[i] for i in best.indices]
    np.testing.assert_allclose([score for _, score in found.says(-1, 0)], best.values, atol=1e-5)


def test_scores_do_not_depend_on_the_length_of_texts_or_on_repeats(model: DualEncoder) -> None:
    image = tiny_clip.picture()
    found = interpret(model, image, WORDS, "{}", k=3)
    again = interpret(model, image, [*WORDS, WORDS[3], "", "  ", f" {WORDS[0]}\n"], "{}", k=3)
    assert np.array_equal(found.indices, again.indices)
    dropped = again.provenance["vocabulary"]
    assert (dropped["empty_dropped"], dropped["repeats_dropped"]) == (2, 2)


def test_chunks_of_texts_change_nothing_and_the_first_of_equals_wins(
    model: DualEncoder, z: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_vlexplain.latent_text.texts import banks as text_banks

    # The tokenizer lower-cases, so that each text has a twin with the same embedding.
    twins = [text.upper() for text in WORDS]
    bank = text_bank(model, vocabulary([*WORDS, *twins]), "{}")
    u = all_layers(model, z)
    whole = nearest(u, bank, PLAIN, k=4)
    assert (whole.indices[..., 0] < len(WORDS)).all() and (whole.indices[..., 1] == whole.indices[..., 0] + 15).all()
    monkeypatch.setattr(text_banks, "IN_MEMORY", 0)
    monkeypatch.setattr(text_banks, "CHUNK", 2)
    pieces = nearest(u, bank, PLAIN, k=4)
    assert torch.equal(whole.indices % 15, pieces.indices % 15)
    torch.testing.assert_close(whole.scores, pieces.scores)


def test_centring_takes_each_lists_mean_away(model: DualEncoder, z: torch.Tensor) -> None:
    lists = vocabulary(WORDS[:5], WORDS[5:])
    bank = text_bank(model, lists, "{}")
    assert lists.parts == (("pasted list", 5), ("pasted list", 10))
    u = all_layers(model, z)
    cosines = F.normalize(u, dim=-1) @ bank.rows(range(15)).T
    expected = cosines.clone()
    for part in (slice(0, 5), slice(5, 15)):
        expected[..., part] -= cosines[..., part].mean(dim=(0, 2, 3), keepdim=True)
    found = nearest(u, bank, Reading(centre=True), k=15)
    torch.testing.assert_close(found.scores, expected.sort(-1, descending=True).values, atol=1e-5, rtol=1e-4)
    one = text_bank(model, vocabulary(WORDS), "{}")
    centred, plain = nearest(u, one, Reading(centre=True), k=3), nearest(u, one, PLAIN, k=3)
    assert torch.equal(centred.indices, plain.indices)


def test_several_templates_are_averaged(model: DualEncoder) -> None:
    bank = text_bank(model, vocabulary(WORDS), ("a photo of {}", "{w}"))
    unit = [
        F.normalize(model.encode_text(model.tokenize([t.format(w) for w in WORDS])), dim=-1)
        for t in ("a photo of {}", "{}")
    ]
    torch.testing.assert_close(bank.rows(range(15)), F.normalize(unit[0] + unit[1], dim=-1))


class TestSmoothing:
    def test_noise_is_divided_as_published(self) -> None:
        drift_of = Drift(torch.ones(2, 3, 4), 1)
        assert Smoothing(drift_of).last_divisor == 10 and Smoothing(drift_of, "all").last_divisor == 1
        assert Smoothing(drift_of, "all").inner == 20 and Smoothing(drift_of, outer=3.0).last_divisor == 3

    def statistics(self, model: DualEncoder, z: torch.Tensor, legacy: bool) -> torch.Tensor:
        found = []
        for block in model.image.blocks:
            after = block.fused(z)
            found.append((after.mean(0) - block.local(after if legacy else z).mean(0)).abs())
            z = after
        return torch.stack(found)

    def pixels(self, model: DualEncoder) -> list[torch.Tensor]:
        return [model.pixels(tiny_clip.picture(seed=seed))[0] for seed in (0, 1, 2)]

    @pytest.mark.parametrize("legacy", [False, True])
    def test_drift(self, model: DualEncoder, z: torch.Tensor, legacy: bool) -> None:
        pixels = self.pixels(model)
        found = drift(model, [torch.cat(pixels[:2]), pixels[2]], legacy)
        assert found.images == 3 and found.legacy == legacy
        torch.testing.assert_close(found.delta, self.statistics(model, z, legacy), atol=1e-5, rtol=1e-4)

    @pytest.mark.parametrize("where", ["final", "all"])
    def test_no_drift_is_no_smoothing(self, model: DualEncoder, z: torch.Tensor, where: Any) -> None:
        still = Drift(torch.zeros(model.image.depth, *z.shape[1:]), 1)
        plain = all_layers(model, z)
        rounded = all_layers(model, z, Reading(smoothing=Smoothing(still, where)))  # a hundred samples in one product
        torch.testing.assert_close(rounded, plain, rtol=0, atol=check.TOLERANCE * float(plain.abs().max()))

    @pytest.mark.parametrize("where", ["final", "all"])
    def test_the_seed_decides(self, model: DualEncoder, z: torch.Tensor, where: Any) -> None:
        reading = Reading(smoothing=Smoothing(drift(model, self.pixels(model)), where, samples=4))
        first, again, other = (all_layers(model, z, reading, seed) for seed in (1, 1, 2))
        assert torch.equal(first, again) and not torch.equal(first, other)
        assert torch.equal(first[-1], other[-1]) == (where == "all")  # nothing for the last layer

    def test_final_noise_has_the_published_size(self, model: DualEncoder, z: torch.Tensor) -> None:
        """A linear readout has the unsmoothed mean; its spread over draws is delta / 10 through the projection."""
        statistics = drift(model, self.pixels(model))
        pool = replace(model.image.pool, norm=None)
        tower = replace(model.image, pool=pool)
        noise = torch.Generator().manual_seed(0)
        draws = torch.stack(
            [
                latent_tokens(tower, z, (1,), Reading(smoothing=Smoothing(statistics, samples=1)), noise)[0]
                for _ in range(600)
            ]
        )
        plain = latent_tokens(tower, z, (1,), PLAIN)[0]
        spread = ((statistics.delta[-1] / 10) ** 2 @ (pool.project.weight**2).T).sqrt()
        torch.testing.assert_close(draws.std(0), spread.expand(3, -1, -1), rtol=0.25, atol=1e-4)
        assert ((draws.mean(0) - plain).abs() < 6 * spread / 600**0.5 + 1e-5).all()

    def test_every_tail_block_but_the_first_is_noised(self, model: DualEncoder, z: torch.Tensor) -> None:
        """Drift in block j alone reaches the layers whose tail holds block j + 1 behind their own first block."""
        depth = model.image.depth
        plain = all_layers(model, z)
        for j in range(depth):
            delta = torch.zeros(depth, *z.shape[1:])
            delta[j] = 1.0
            smooth = all_layers(model, z, Reading(smoothing=Smoothing(Drift(delta, 1), "all", samples=2)))
            rounding = check.TOLERANCE * float(plain.abs().max())
            moved = [bool((a - b).abs().max() > rounding) for a, b in zip(smooth, plain, strict=True)]
            last = depth - 1
            assert moved == [layer < depth if j == last else layer <= j for layer in range(depth + 1)], j

    def test_bad_options_are_refused(self, model: DualEncoder, z: torch.Tensor) -> None:
        still = Drift(torch.zeros(3, 17, 32), 1)
        for wrong in ({"where": "some"}, {"samples": 0}):
            with pytest.raises(VLExplainError, match="Smoothing"):
                Smoothing(still, **wrong)  # type: ignore[arg-type]
        with pytest.raises(VLExplainError, match="at least one image"):
            drift(model, [])


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"layers": [4]}, "layers 0 .* to 3"),
            ({"layers": []}, "no layer"),
            ({"k": 0}, "at least 1"),
            ({"template": "a photo"}, "needs one {}"),
            ({"template": "{} and {}"}, "needs one {}"),
            ({"vocabulary": []}, "empty"),
            ({"vocabulary": "no such list"}, "no vocabulary"),
            ({"vocabulary": ["word " * 99], "too_long": "error"}, "longer than the 32 tokens"),
        ],
    )
    def test_bad_input(self, model: DualEncoder, options: dict[str, Any], says: str) -> None:
        with pytest.raises(VLExplainError, match=says):
            interpret(model, tiny_clip.picture(), **{"vocabulary": WORDS, **options})

    def test_readings(self) -> None:
        with pytest.raises(VLExplainError, match="mode"):
            Reading(mode="off")  # type: ignore[arg-type]
        with pytest.raises(VLExplainError, match="norm_axis"):
            Reading(norm_axis="row")  # type: ignore[arg-type]

    def test_pools_that_read_no_single_token(self, model: DualEncoder) -> None:
        class Blind:
            single_row = False

        blind = replace(model, image=replace(model.image, pool=Blind()))  # type: ignore[arg-type]
        with pytest.raises(VLExplainError, match="Blind, has no value path"):
            interpret(blind, tiny_clip.picture(), WORDS)

    def test_towers_without_blocks(self, model: DualEncoder) -> None:
        with pytest.raises(VLExplainError, match="no transformer with a text tower"):
            interpret(replace(model, image=replace(model.image, blocks=())), tiny_clip.picture(), WORDS)


def test_a_tower_that_reads_the_mean_is_read_too(model: DualEncoder, z: torch.Tensor) -> None:
    pool = model.image.pool
    tower = replace(model.image, pool=MeanPool(pool.norm, None, pool.project, 1))
    found = latent_tokens(tower, z, (3,), PLAIN)[0]
    embedding = tower.tail(z, 0, model.image_rows(3))
    torch.testing.assert_close(found[:, 1:].mean(1), embedding, atol=1e-5, rtol=1e-4)


class TestResult:
    @pytest.fixture
    def found(self, model: DualEncoder) -> Any:
        return interpret(model, tiny_clip.picture(), WORDS, "{}", k=3)

    def test_shapes(self, found: Any) -> None:
        assert found.indices.shape == found.scores.shape == (4, 17, 3)
        assert (np.diff(found.scores, axis=-1) <= 1e-6).all()
        assert found.winners(0).shape == (4, 4) and sum(n for _, n in found.counts(2)) == 16
        assert found.winners(2)[1, 3] == found.indices[2, found.token_of(1, 3), 0]

    def test_search(self, found: Any) -> None:
        text, _ = found.says(1, 6)[2]
        ranks = found.ranks(f" {text.upper()} ")
        assert ranks[1, 6] == 2
        assert ((ranks >= 0) == (found.indices == WORDS.index(text)).any(-1)).all()
        assert (found.ranks("nothing of the kind") == -1).all()

    def test_patches_lie_where_they_came_from(self, model: DualEncoder) -> None:
        wide = interpret(model, np.zeros((40, 80, 3), np.uint8), WORDS, "{}", layers=[-1], k=1)
        assert wide.patch_at(0.5, 20.5) == (0, 0) and wide.patch_at(39.5, 59.5) == (3, 3)
        assert wide.patch_at(0.5, 19) is None and wide.patch_at(20, 61) is None
        with pytest.raises(VLExplainError, match="Layer 0 was not read"):
            wide.says(0, 0)

    def test_export(self, found: Any, tmp_path: Path) -> None:
        import csv
        import json

        data = json.loads(found.save(tmp_path / "new" / "a.json").read_text())
        assert data["layers"][2]["tokens"][5]["texts"] == [text for text, _ in found.says(2, 5)]
        assert data["layers"][0]["tokens"][0]["kind"] == "class" and data["provenance"]["template"] == ["{}"]
        with found.save(tmp_path / "a.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert len(rows) == 4 * 17 * 3
        assert rows[-1] == {
            "layer": "3",
            "token": "16",
            "kind": "patch",
            "row": "3",
            "column": "3",
            "rank": "2",
            "text": found.says(3, 16)[2][0],
            "score": str(found.says(3, 16)[2][1]),
        }
        with pytest.raises(VLExplainError, match=r"\.json or \.csv"):
            found.save(tmp_path / "a.txt")
        (tmp_path / "file").write_text("")
        with pytest.raises(VLExplainError, match="cannot be written"):
            found.save(tmp_path / "file" / "a.csv")


def test_mini_reads_what_lies_under_its_patches() -> None:
    from napari_vlexplain.datasets.worlds import stickers

    scene = stickers.sample(5, 0, names=["dog", "banana"], word=False, texture="striped")
    drawn = stickers.render(scene)
    found = interpret("mini", drawn.image, "stickers", layers=[9, 12], k=3, device="cpu")
    words = [found.table[int(i)] for i in found.winners(12).ravel()]
    covered = drawn.masks.reshape(2, 14, 16, 14, 16).mean(axis=(2, 4)).reshape(2, -1)
    for name, cover in zip(("a dog", "a banana"), covered, strict=True):
        under = [word for word, share in zip(words, cover, strict=True) if share > 0.9]
        assert len(under) > 3 and under.count(name) / len(under) > 0.7
    bare = [word for word, share in zip(words, covered.sum(0), strict=True) if share == 0]
    assert bare.count("a striped background") / len(bare) > 0.8
    assert "trained to be readable" in found.provenance["note"]


def test_importing_the_package_imports_no_torch() -> None:
    import subprocess
    import sys

    use = "from napari_vlexplain import latent_text as t; t.vocabulary('demo'), t.EditPlan"
    code = f"import sys; {use}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
