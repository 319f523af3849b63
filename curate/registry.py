"""Names of scorers, selectors, annotators and analyses, as strings: nothing is imported until it is used.

Third parties add theirs by entry points in the groups `curate.scorers`, `curate.selectors`, `curate.annotators`,
`curate.analyses`:

    [project.entry-points."curate.scorers"]
    sharpness = "my_package.sharpness:Sharpness"
"""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from curate.errors import CurateError, InputError, UnknownNameError

SCORERS: dict[str, str] = {
    "exact-duplicate": "curate.scorers.duplicates.exact:ExactDuplicate",
    "near-duplicate": "curate.scorers.duplicates.near:NearDuplicate",
    "phash": "curate.scorers.duplicates.phash:PerceptualHash",
    "minhash": "curate.scorers.duplicates.minhash:MinHash",
    "image-basics": "curate.scorers.quality.image:ImageBasics",
    "text-basics": "curate.scorers.quality.text:TextBasics",
    "audio-basics": "curate.scorers.quality.audio:AudioBasics",
    "consensus": "curate.annotators.consensus.scorer:Consensus",
    "confident-learning": "curate.scorers.noise.confident.scorer:ConfidentLearning",
    "label-errors": "curate.scorers.noise.label_noise.scorer:LabelErrors",
    "expected-answers": "curate.scorers.noise.expected.scorer:ExpectedAnswers",
    "out-of-fold": "curate.scorers.noise.out_of_fold:OutOfFold",
    "combine": "curate.scorers.combine.combined:Combine",
    "knn-agreement": "curate.scorers.noise.neighbours.agreement:KnnAgreement",
    "knn-shapley": "curate.scorers.noise.neighbours.shapley:KnnShapley",
    "class-gaussian": "curate.scorers.noise.neighbours.gaussian:ClassGaussian",
    "outlier": "curate.scorers.noise.neighbours.outlier:Outlier",
    "lemon": "curate.scorers.noise.neighbours.lemon:Lemon",
    "label-probs": "curate.scorers.noise.structure.label_probs:LabelProbs",
    "multilabel-errors": "curate.scorers.noise.structure.multilabel:MultilabelErrors",
    "token-errors": "curate.scorers.noise.structure.sequence:TokenErrors",
    "regression-errors": "curate.scorers.noise.structure.regression:RegressionErrors",
    "positive-unlabelled": "curate.scorers.noise.structure.unlabelled:PositiveUnlabelled",
    "missing-labels": "curate.scorers.noise.structure.missing:MissingLabels",
    "training-dynamics": "curate.scorers.noise.dynamics.scorer:TrainingDynamics",
    "ldr-loss": "curate.scorers.noise.dynamics.trained:LdrLoss",
    "aldr-loss": "curate.scorers.noise.dynamics.trained:AldrLoss",
    "aum": "curate.scorers.noise.dynamics.trained:AumScore",
    "memorisation": "curate.scorers.noise.dynamics.subsets:MemorisationScore",
    "self-rescaling": "curate.scorers.noise.dynamics.subsets:SelfRescaling",
    "ctc-alignment": "curate.scorers.speech.ctc_scorer:CtcAlignmentScore",
    "speech-relevance": "curate.scorers.speech.relevance_scorer:SpeechRelevance",
    "transcript-errors": "curate.scorers.speech.transcripts:TranscriptErrors",
    "speech-rate": "curate.scorers.speech.rate_scorer:SpeechRate",
    "sound-embedding": "curate.scorers.speech.spectrum:SoundEmbedding",
    "min-k": "curate.scorers.text.contamination:MinK",
    "ches": "curate.scorers.text.preference:Ches",
    "faulty-pairs": "curate.scorers.text.pairs:FaultyPairs",
    "faulty-questions": "curate.scorers.text.faulty:FaultyQuestions",
    "rating-agreement": "curate.scorers.alignment.ratings:RatingAgreement",
    "pixel-embedding": "curate.scorers.embedding.pixel:PixelEmbedding",
    "clip": "curate.scorers.embedding.clip:Clip",
    "clip-score": "curate.scorers.embedding.clip:ClipScore",
    "fga-blip2": "curate.scorers.alignment.fga.scorer:FgaBlip2",
    "blip2-itm": "curate.scorers.alignment.blip2:Blip2Itm",
    "ref-clip-score": "curate.scorers.alignment.similarity:RefClipScore",
    "pair-filter": "curate.scorers.alignment.pairs.filter:PairFilter",
    "caption-reward": "curate.scorers.alignment.pairs.reward_scorer:CaptionReward",
    "reward-head": "curate.scorers.alignment.reward:RewardHead",
    "pn-vqa": "curate.scorers.alignment.vqa.scorers:PnVqa",
    "vq2": "curate.scorers.alignment.vqa.scorers:Vq2",
    "vqa-score": "curate.scorers.alignment.vqa.scorers:VqaScore",
    "elements": "curate.scorers.alignment.elements.scorer:Elements",
    "local-elements": "curate.scorers.alignment.elements.local:LocalElements",
    "tifa": "curate.scorers.alignment.vqa.aggregates:Tifa",
    "dsg": "curate.scorers.alignment.vqa.aggregates:Dsg",
    "judge-score": "curate.scorers.alignment.judges.rating:JudgeScore",
    "pairwise-judge": "curate.scorers.alignment.judges.rating:PairwiseJudge",
    "element-judge": "curate.scorers.alignment.judges.grounded:ElementJudge",
    "model-elements": "curate.scorers.alignment.judges.splitting:ModelElements",
    "minilm": "curate.scorers.embedding.minilm:MiniLM",
    "instance-density": "curate.selectors.reweighting.densest:InstanceDensity",
    "gradients": "curate.scorers.influence.encoders:Gradients",
    "model-gradients": "curate.scorers.influence.model_gradients:ModelGradients",
    "less": "curate.scorers.influence.aligned:Less",
    "tracin": "curate.scorers.influence.aligned:TracIn",
    "gist": "curate.scorers.influence.aligned:Gist",
    "datainf": "curate.scorers.influence.curved:DataInf",
    "trak": "curate.scorers.influence.curved:Trak",
    "self-influence": "curate.scorers.influence.difficulty:SelfInfluence",
    "el2n": "curate.scorers.influence.difficulty:El2n",
    "grand": "curate.scorers.influence.difficulty:Grand",
    "loss-drop": "curate.scorers.influence.difficulty:LossDrop",
}

SELECTORS: dict[str, str] = {
    "top": "curate.selectors.threshold.top:Top",
    "random": "curate.selectors.threshold.uniform:Random",
    "stratified": "curate.selectors.threshold.stratified:Stratified",
    "representative": "curate.selectors.threshold.representative:Representative",
    "balanced": "curate.selectors.threshold.balanced:Balanced",
    "label-mapping": "curate.selectors.pruning.items:LabelMapping",
    "feature-mapping": "curate.selectors.pruning.items:FeatureMapping",
    "cw-erm": "curate.selectors.reweighting.items:CwErm",
    "class-dro": "curate.selectors.reweighting.items:ClassDroWeights",
    "importance-resampling": "curate.selectors.reweighting.items:ImportanceResampling",
    "group-weights": "curate.selectors.reweighting.items:GroupWeights",
    "instance-selection": "curate.selectors.reweighting.densest:InstanceSelection",
    "facility-location": "curate.selectors.coreset.items:FacilityLocation",
    "k-center": "curate.selectors.coreset.items:KCenter",
    "herding": "curate.selectors.coreset.items:Herding",
    "graph-cut": "curate.selectors.coreset.items:GraphCut",
    "craig": "curate.selectors.coreset.items:Craig",
    "grad-match": "curate.selectors.coreset.items:GradMatch",
    "moderate": "curate.selectors.coreset.items:Moderate",
    "prototypes": "curate.selectors.coreset.items:Prototypes",
    "semdedup": "curate.selectors.coreset.items:SemDeDup",
    "ccs": "curate.selectors.coreset.scored:Ccs",
    "hardest": "curate.selectors.coreset.scored:Hardest",
    "d2": "curate.selectors.coreset.scored:D2",
    "query": "curate.selectors.coreset.scored:Query",
    "pursuit": "curate.selectors.pursuit.items:Pursuit",
    "information-projection": "curate.selectors.pursuit.items:InformationProjection",
    "soft-cap": "curate.selectors.pursuit.items:SoftCap",
}

ANNOTATORS: dict[str, str] = {
    "label-studio": "curate.annotators.label_studio.connector:LabelStudio",
    "offline": "curate.annotators.offline.connector:Offline",
}

ANALYSES: dict[str, str] = {
    "annotators": "curate.annotators.consensus.analyses:Annotators",
    "drift": "curate.scorers.noise.health.drift:Drift",
    "embedding-health": "curate.scorers.noise.health.embedding:EmbeddingHealth",
    "fairness": "curate.annotators.consensus.analyses:Fairness",
    "generator-ranking": "curate.scorers.alignment.generators:GeneratorRanking",
    "group-health": "curate.scorers.noise.health.grouped:GroupHealth",
    "label-audit": "curate.scorers.noise.label_noise.analysis:LabelAudit",
    "label-conflicts": "curate.scorers.noise.health.conflicts:LabelConflicts",
    "label-health": "curate.scorers.noise.health.labels:LabelHealth",
    "score-contributions": "curate.scorers.combine.shares:ScoreContributions",
}

PAGES: dict[str, str] = {
    "view": "curate.report:view_html",
    "item": "curate.report:item_html",
    "run": "curate.report:run_html",
}
"""What draws an object in a notebook, by kind of object: the report knows the store, not the other way round."""

TOOLS: dict[str, str] = {
    "templates": "curate.annotators.tasks.listing:list_templates",
    "rounds": "curate.annotators.rounds.reading:read_rounds",
}
"""Functions of parts that the command line calls by name."""

GROUPS: dict[str, dict[str, str]] = {
    "scorers": SCORERS,
    "selectors": SELECTORS,
    "annotators": ANNOTATORS,
    "analyses": ANALYSES,
}


@cache
def _third_party(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=f"curate.{group}")}


def names(group: str) -> list[str]:
    """All registered names of a group, ours and third parties', sorted."""
    return sorted({*GROUPS[group], *_third_party(group)})


def load(group: str, name: str) -> type[Any]:
    """The class behind a name. Raises UnknownNameError with the nearest, or MissingExtraError naming the extra."""
    target = GROUPS[group].get(name)
    if target is not None:
        module, _, attribute = target.partition(":")
        loaded: type[Any] = getattr(importlib.import_module(module), attribute)
        return loaded
    if name in _third_party(group):
        return _third_party(group)[name].load()  # type: ignore[no-any-return]
    raise UnknownNameError(_one_of(group), name, names(group))


def _one_of(group: str) -> str:
    return "analysis" if group == "analyses" else group.removesuffix("s")


def build(group: str, name: str, params: Mapping[str, Any] | None = None) -> Any:
    """A configured component: unknown parameters and wrong types are refused with what exists.

    Values are checked against the dataclass's annotations (a number in quotes is one, "far" is none); NaN and negative seeds
    are refused; one string does where several are meant.
    """
    from pydantic import TypeAdapter, ValidationError

    cls = load(group, name)
    known = {f.name: f for f in dataclasses.fields(cls) if f.init}
    given = dict(params or {})
    if unknown := [key for key in given if key not in known]:
        others = f"Nor is there {', '.join(map(repr, unknown[1:]))}." if unknown[1:] else ""
        raise UnknownNameError(f"parameter of {name!r}", unknown[0], known, others)
    for key in given:
        if _is_one_of_several(given[key], known[key]):
            given[key] = (given[key],)
    adapter = TypeAdapter(cls)
    try:
        made = adapter.validate_python(given)
    except ValidationError as error:
        first = error.errors()[0]
        own = first.get("ctx", {}).get("error")
        if isinstance(own, CurateError):
            # What the component said itself, in a new error: the old one, raised, would hold what holds it, which is never
            # freed, and with it the frames of whoever called.
            raise InputError(str(own)) from error
        told: dict[str, str] = {}
        for one in error.errors():
            where = ".".join(str(part) for part in one["loc"]) or name
            missing = one["type"] == "missing"
            said = " is needed, and not given" if missing else f": {one['msg']}, got {one['input']!r}"
            told.setdefault(where.partition(".")[0], f"parameter {where!r}{said}")
        raise InputError(f"{name}: {'; '.join(told.values())}") from error
    _check_numbers(name, {key: getattr(made, key) for key in given})
    return made


def _check_numbers(name: str, values: Mapping[str, Any]) -> None:
    """Raises InputError for what is a number by its type and none that any component could use."""
    for key, value in values.items():
        if isinstance(value, float) and math.isnan(value):
            raise InputError(f"{name}: parameter {key!r} is NaN, and a number is meant")
        if key == "seed" and isinstance(value, int) and value < 0:
            raise InputError(f"{name}: parameter 'seed': whole numbers from 0 on start a draw, got {value}")


def _is_one_of_several(value: Any, field: dataclasses.Field[Any]) -> bool:
    """Whether one name stands where several may stand. A list with commas in a string is no name."""
    return isinstance(value, str) and "," not in value and field.type in ("tuple[str, ...]", tuple[str, ...])


def tool(name: str) -> Any:
    """A function of a part that the command line knows by this name."""
    module, _, function = TOOLS[name].partition(":")
    return getattr(importlib.import_module(module), function)


def draw(what: str, shown: Any) -> str:
    """HTML for a notebook cell."""
    module, _, function = PAGES[what].partition(":")
    html: str = getattr(importlib.import_module(module), function)(shown)
    return html


def about(group: str, name: str) -> str:
    """The first line of a component's docstring, read from its source: nothing is imported."""
    import ast

    target = GROUPS[group].get(name) or _third_party(group)[name].value
    module, _, attribute = target.partition(":")
    source = _source_of(module)
    if source is None:
        return ""
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == attribute:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def _source_of(module: str) -> Path | None:
    """Where a module lies. Ours are found beside this file: `find_spec` would import the packages around them."""
    own, *parts = module.split(".")
    if own == __name__.partition(".")[0]:
        return Path(__file__).parent.joinpath(*parts).with_suffix(".py")
    from importlib.util import find_spec

    spec = find_spec(module)
    return Path(spec.origin) if spec is not None and spec.origin else None
