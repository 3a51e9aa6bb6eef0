"""Fitting the reader: the likelihoods against other ways to compute them, and what is stored."""

import json

import numpy as np
import pytest

from digitspot.reading import ReadingSettings, fit_settings, read_number
from digitspot.reading.certainty import sigmoid, softmax
from digitspot.reading.likelihood import fit_choice, fit_logistic
from digitspot.types import Detections
from reading_layouts import digits_at, found_in

TRUE = np.array([1.5, -1.0, 0.5])


def test_choice_recovers_the_weights_that_made_it(random: np.random.Generator) -> None:
    features = [random.normal(size=(random.integers(2, 20), 3)) for _ in range(4000)]
    chosen = [random.choice(len(x), p=softmax(x @ TRUE)) for x in features]
    right = [np.arange(len(x)) == choice for x, choice in zip(features, chosen, strict=True)]
    assert fit_choice(features, right, np.zeros(3)) == pytest.approx(TRUE, abs=0.1)


def test_choice_of_two_is_a_logistic_regression_of_their_difference(random: np.random.Generator) -> None:
    features = [random.normal(size=(2, 3)) for _ in range(300)]
    first = random.random(300) < 0.5
    right = [np.array([each, not each]) for each in first]
    differences = np.array([x[0] - x[1] for x in features])
    expected = fit_logistic(differences, first, np.zeros(3), ridge=1.0)
    assert fit_choice(features, right, np.zeros(3), ridge=1.0) == pytest.approx(expected, abs=1e-4)


def test_logistic_regression_is_where_the_penalised_gradient_is_zero(random: np.random.Generator) -> None:
    features = random.normal(size=(200, 3))
    right = random.random(200) < sigmoid(features @ TRUE)
    prior = np.array([0.5, 0.0, 0.0])
    weights = fit_logistic(features, right, prior, ridge=2.0)
    gradient = features.T @ (sigmoid(features @ weights) - right) + 2.0 * (weights - prior)
    assert gradient == pytest.approx(np.zeros(3), abs=1e-2)


def test_images_that_no_candidate_is_right_in_do_not_count() -> None:
    features, right = [np.eye(2), np.eye(2)], [np.array([True, False]), np.array([False, False])]
    once = fit_choice(features[:1], right[:1], np.zeros(2))
    assert fit_choice(features, right, np.zeros(2)) == pytest.approx(once)
    assert fit_choice(features[1:], right[1:], np.ones(2)).tolist() == [1, 1]


def test_far_apart_scores_do_not_overflow() -> None:
    features = [np.array([[1e4, 0.0], [0.0, 1e4]])] * 3
    weights = fit_choice(features, [np.array([False, True])] * 3, np.array([1.0, 0.0]))
    assert weights[1] > weights[0]


def test_what_detectors_miss_is_learnt(random: np.random.Generator) -> None:
    """Boxes of twice the height are never digits here, whatever their score; a threshold cannot know."""
    samples = [found_in(random, "straight", num_false=0) for _ in range(400)]
    numbers = [number for number, _ in samples]
    images = [_with_a_tall_box(found) for _, found in samples]
    settings, right = fit_settings(images[:300], numbers[:300])
    assert right.mean() == settings.accuracy
    fitted, prior = (
        np.mean([read_number(f, each).text == n for f, n in zip(images[300:], numbers[300:], strict=True)])
        for each in (settings, ReadingSettings())
    )
    assert fitted > 0.9 > 0.1 > prior


def _with_a_tall_box(found: Detections) -> Detections:
    height = float(np.median(found.boxes[:, 3] - found.boxes[:, 1]))
    right, top = found.boxes[:, 2].max(), found.boxes[:, 1].min()
    box = np.array([[right, top, right + height, top + 2.5 * height]], np.float32)
    return Detections(
        boxes=np.concatenate([found.boxes, box]),
        labels=np.append(found.labels, 1),
        scores=np.append(found.scores, np.float32(0.95)),
    )


def test_probabilities_mean_what_they_say(random: np.random.Generator) -> None:
    samples = [found_in(random, "straight", num_false=1) for _ in range(1200)]
    broken = [_break(found, random.random() < 0.3) for _, found in samples]
    numbers = [number for number, _ in samples]
    settings, _ = fit_settings(broken[:800], numbers[:800])
    readings = [read_number(found, settings) for found in broken[800:]]
    right = np.mean([reading.text == n for reading, n in zip(readings, numbers[800:], strict=True)])
    assert np.mean([reading.probability for reading in readings]) == pytest.approx(right, abs=0.06)


def _break(found: Detections, wrong: bool) -> Detections:
    """Let the detector take the surest digit for another, though not quite so surely."""
    if not wrong:
        return found
    best = int(found.scores.argmax())
    labels, scores = found.labels.copy(), found.scores.copy()
    labels[best] = labels[best] % 10 + 1
    scores[best] *= 0.9
    return Detections(boxes=found.boxes, labels=labels, scores=scores)


def test_views_of_an_image_are_judged_together(random: np.random.Generator) -> None:
    samples = [found_in(random, "straight", num_false=1) for _ in range(60)]
    detections, numbers = [found for _, found in samples], [number for number, _ in samples]
    one, _ = fit_settings(detections, numbers)
    two, right = fit_settings(detections * 2, numbers * 2, images=[*range(60)] * 2)
    assert (one.num_fitted, two.num_fitted) == (60, 60)
    assert two.risk.answered[0] == 60
    assert right[:60].tolist() == right[60:].tolist()


def test_nothing_to_fit_on_leaves_the_prior() -> None:
    settings, right = fit_settings([], [])
    assert settings == ReadingSettings()
    assert len(right) == 0
    one, _ = fit_settings([Detections.empty()], [None])
    assert read_number(Detections.empty(), one).text is None


def _faint_ends(random: np.random.Generator, lengths: tuple[int, ...]) -> tuple[str, Detections]:
    """Return a number whose last digit is faint, with a faint box behind it that is none."""
    number = random.integers(0, 10, random.choice(lengths))
    scores = [*random.uniform(0.9, 1, len(number) - 1), *random.uniform(0.1, 0.9, 2)]
    digits = [*number.tolist(), int(random.integers(10))]
    rows = [
        (12.0 * index, digit, score) for index, (digit, score) in enumerate(zip(digits, scores, strict=True))
    ]
    return "".join(map(str, number)), digits_at(*rows)


def test_lengths_of_another_domain_are_learnt_from_its_numbers_alone(random: np.random.Generator) -> None:
    """As good as fitting to that domain's images, which needs hundreds of them."""
    settings, _ = fit_settings(
        *zip(*[_faint_ends(random, (2, 3, 4, 5))[::-1] for _ in range(400)], strict=True)
    )
    own = [_faint_ends(random, (4,)) for _ in range(400)]
    told = settings.for_lengths_of(number for number, _ in own[:80])
    fitted, _ = fit_settings([found for _, found in own[:200]], [number for number, _ in own[:200]])

    def accuracy(settings: ReadingSettings) -> float:
        return float(np.mean([read_number(found, settings).text == number for number, found in own[200:]]))

    assert accuracy(settings) < 0.8 < 0.95 < accuracy(told)
    assert accuracy(told) > accuracy(fitted) - 0.03
    assert told.for_lengths_of([]) == told
    assert told.for_lengths_of([None]) == told


def test_numbers_of_the_same_lengths_change_little(random: np.random.Generator) -> None:
    samples = [_faint_ends(random, (2, 3, 4, 5)) for _ in range(400)]
    settings, _ = fit_settings([found for _, found in samples], [number for number, _ in samples])
    same = settings.for_lengths_of(number for number, _ in samples)
    assert np.subtract(same.weights, settings.weights)[2:6] == pytest.approx(0, abs=0.1)
    assert same.weights[1] < settings.weights[1]  # a single digit is seen as seldom in more numbers


def test_settings_survive_json(random: np.random.Generator) -> None:
    samples = [found_in(random, "straight", num_false=1) for _ in range(30)]
    settings, _ = fit_settings([found for _, found in samples], [number for number, _ in samples])
    assert ReadingSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


@pytest.mark.parametrize(
    "change", [{"weights": [1.0]}, {"max_iou": None, "unknown": 1}, {"number_weights": [0.0] * 99}]
)
def test_settings_of_another_version_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="another version"):
        ReadingSettings.from_dict({**ReadingSettings().to_dict(), **change})
