"""What a notebook shows of an explanation, an answer and segments."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from IPython.core.formatters import HTMLFormatter
from PIL import Image

from napari_vlexplain import Explanation, ask, explain, segment
from napari_vlexplain.datasets.worlds import stickers
from napari_vlexplain.drawing.overlay import overlay


class Page(HTMLParser):
    """Tags that were opened and not closed, words, and the picture."""

    def __init__(self, html):
        super().__init__()
        self.open, self.said, self.tags, self.source = [], [], [], ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.append((tag, dict(attributes)))

    def handle_startendtag(self, tag, attributes):
        assert tag == "img"
        self.source = dict(attributes)["src"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.said.append(data)

    @property
    def picture(self):
        kind, data = self.source.split(",")
        assert kind == "data:image/jpeg;base64"
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


@pytest.fixture(scope="module")
def scene():
    return stickers.render(stickers.sample(3, 0, count=2, distinct=True, word=False))


@pytest.fixture(scope="module")
def found(scene):
    return explain(scene.image, f"a photo of {stickers.article(scene.names[0])}", name="scene")


def test_an_explanation_is_its_overlay_and_its_words(found):
    page = Page(found._repr_html_())
    assert page.picture.shape == (224, 224, 3)
    assert np.abs(page.picture.astype(float) - overlay(found.image, found.heatmap)).mean() < 4  # but for JPEG
    spans = [attributes for tag, attributes in page.tags if tag == "span"]
    scores = [score for _, score in found.word_scores()]
    assert [float(span["title"]) for span in spans] == pytest.approx(scores, rel=1e-3, abs=1e-12)
    red, _, blue = (int(n) for n in re.findall(r"\d+", spans[int(np.argmax(scores))]["style"])[:3])
    assert red > 2 * blue
    text = "".join(page.said)
    assert all(word in text for word, _ in found.word_scores())
    assert "relevance on mini" in text and "never for clinical use" in text


def test_ipython_takes_it(found):
    assert HTMLFormatter()(found) == found._repr_html_()


def test_a_large_picture_is_made_small(found):
    tall = explain(np.zeros((900, 450), np.uint8), "a cat", method="rollout")
    assert Page(tall._repr_html_()).picture.shape == (360, 180, 3)


def test_a_loaded_explanation_has_no_image_but_its_heatmap(found, tmp_path):
    again = Explanation.load(found.save(tmp_path / "kept"))
    bright = Page(again._repr_html_()).picture.mean(axis=2)
    assert np.corrcoef(bright.ravel(), found.heatmap.ravel())[0, 1] > 0.7


def test_words_of_strangers_are_text(found):
    hostile = "<script>alert(1)</script>"
    html = replace(found, tokens=(hostile,), words=(0,), token_scores=np.ones(1, np.float32))._repr_html_()
    html += replace(found, provenance={"warning": hostile})._repr_html_()
    assert "<script" not in html and html.count("&lt;script&gt;") == 2


def test_a_map_that_says_nothing_says_so(found):
    assert "it says nothing" in replace(found, patch_scores=np.zeros((14, 14), np.float32))._repr_html_()
    assert "it says nothing" not in found._repr_html_()


def test_an_answer(scene):
    answer = ask(scene.image, "what is this? <b>", name="scene")
    page = Page(answer._repr_html_())
    assert page.picture.shape == (224, 224, 3)
    assert "".join(page.said).startswith("what is this") and f"{answer.probability:.3f}" in "".join(page.said)
    assert repr(answer) == f"Answer('what is this? <b>', {answer.answer!r}, relevance on mini-vqa)"


def test_segments(scene):
    segments = segment(scene.image)
    page = Page(segments._repr_html_())
    assert page.picture.shape == (224, 224, 3)
    assert f"{segments.count} segments, mini" in "".join(page.said)
    assert repr(segments) == f"Segmentation({segments.count} segments, mini)"


def test_one_line_says_what_it_is(found):
    assert repr(found) == f"Explanation({found.prompt!r}, relevance on mini, score {found.score:.4g})"
