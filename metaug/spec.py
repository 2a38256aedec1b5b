"""The whole description of one training: everything but the seed."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from metaug.errors import UserError

PROTOCOL_VERSION = 2
"""Version of training loop, data path and evaluation together. Raise it when a change to any of
them changes the numbers of every method; a method's own change raises `Method.version`."""

Model = TypeVar("Model", bound=BaseModel)
Scalar = bool | int | float | str | None

_MOST_WHOLE = 2**31 - 1
_MOST = 1e30  # above it, torch cannot turn a number into a float32


class Frozen(BaseModel):
    """Base of every typed setting: immutable, no unknown keys; its numbers are no truth values
    (`yes` is not 1), neither NaN nor infinite, and torch can hold them."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value_is_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[info.field_name or ""]
        kinds = (field.annotation, *get_args(field.annotation))
        if isinstance(value, bool) and bool not in kinds and {int, float} & {*kinds}:
            raise ValueError("it must be a number")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _torch_can_hold_it(cls, value: Any) -> Any:
        if isinstance(value, int) and abs(value) > _MOST_WHOLE:
            raise ValueError(f"it must be at most {_MOST_WHOLE}")
        if isinstance(value, float) and abs(value) > _MOST:
            raise ValueError(f"it must be at most {_MOST:g}")
        return value


class ProbeSpec(Frozen):
    """The evaluation protocol: linear probe and kNN on frozen, cached representations.

    The linear probe is trained with Adam on standardised features; its result is the mean test
    accuracy of its last `averaged_epochs` epochs (paper, section 4.1).
    """

    protocol: Literal["linear_v1"] = "linear_v1"
    split: Literal["test", "validation"] = "test"
    """What is measured on: the test split; or, for every choice made by looking, a class-balanced
    tenth of the training images, held out by trial."""
    epochs: int = Field(40, ge=1)
    averaged_epochs: int = Field(20, ge=1, le=255)
    batch_size: int = Field(256, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    augmented_copies: int = Field(0, ge=0)
    """Cached augmented copies of the training set, one an epoch in turn; 0: un-augmented once."""
    neighbours: int = Field(20, ge=1)


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class TrialSpec(Frozen):
    """One training and its evaluation. Equal specs are trained once, whoever asks for them.

    Attributes:
        scale: name of the scale (smoke, lite, full); in every output path.
        protocol_version: see `PROTOCOL_VERSION`.
        dataset: name of the data set.
        image_size: side of the square input, pixels.
        train_images: size of the class-balanced subset that trains encoder and probe; None: all.
        method, method_version: name and version of the method.
        backbone: `alexnet`, `resnet18` or `resnet50`.
        width: channel multiplier of the backbone (1: as published).
        view_width: further multiplier of each encoder of a method with several views.
        views: colour views, one encoder each.
        augmentation: recipe of every crop, or one recipe for each crop.
        batch_size: images a step; an incomplete last batch is dropped.
        epochs: passes over the training images.
        optimizer, learning_rate, momentum, weight_decay: of the encoder (momentum: SGD only).
        schedule: `step` (x 0.1 at 40, 53 and 67 % of training, as the release's 120, 160 and 200
            of 300 epochs), `cosine` (to 0) or `constant`.
        warmup_epochs: linear warm-up of the learning rate.
        hyper: hyper-parameters of the method, complete (defaults filled in).
        probe: the evaluation protocol.
    """

    scale: str
    protocol_version: int = PROTOCOL_VERSION
    dataset: str
    image_size: int = Field(ge=8, le=1024)
    train_images: int | None = Field(None, ge=2)
    method: str
    method_version: int = Field(1, ge=1)
    backbone: Literal["alexnet", "resnet18", "resnet50"]
    width: float = Field(1.0, gt=0, le=64)
    view_width: float = Field(0.5, gt=0, le=64)
    views: tuple[str, ...] = Field(min_length=1)
    augmentation: Annotated[tuple[str, ...], BeforeValidator(_one_or_more)]
    batch_size: int = Field(ge=2)
    epochs: int = Field(ge=0, le=100_000)
    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = Field(gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    schedule: Literal["step", "cosine", "constant"] = "step"
    warmup_epochs: int = Field(0, ge=0)
    hyper: dict[str, Scalar] = Field({})
    probe: ProbeSpec = ProbeSpec()

    def canonical_json(self) -> str:
        """The spec as JSON: sorted keys, no spaces; the same text on every machine."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of `canonical_json`: the spec's folder name."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()[:12]

    def flat(self) -> dict[str, Any]:
        """All fields with `hyper` and `probe` spread out (`probe.epochs`): one level of keys."""
        fields = self.model_dump(mode="json")
        hyper, probe = fields.pop("hyper"), fields.pop("probe")
        return {**fields, **hyper, **{f"probe.{key}": value for key, value in probe.items()}}

    def difference(self, base: "TrialSpec") -> str:
        """What sets this spec apart from `base`, as `key=value;key=value`, keys sorted.

        This is the `setting` column of the tidy frame.
        """
        ours, theirs = self.flat(), base.flat()
        return ";".join(
            f"{key}={_text(ours[key])}"
            for key in sorted(ours)
            if key not in theirs or ours[key] != theirs[key]
        )

    def __hash__(self) -> int:  # of what is quickly at hand and sets most specs apart
        return hash((self.method, self.dataset, self.backbone, frozenset(self.hyper.items())))

    def __str__(self) -> str:
        return f"{self.method} on {self.dataset} ({self.backbone}, spec {self.hash})"


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "|".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def suggestion(name: object, known: Iterable[str]) -> str:
    """`did you mean 'x'?` for the closest known name, else the list of what is known."""
    names = sorted({*known})
    close = get_close_matches(str(name), names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


def brief(value: object) -> str:
    """A value as text for a message: its beginning, if it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


_KEYS_AND_VALUES = "it must be keys and values, as {key: value}"
_MUST = {
    "string_type": "it must be text",
    "int_type": "it must be a whole number",
    "int_parsing": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "int_parsing_size": f"it must be at most {_MOST_WHOLE}",
    "float_type": "it must be a number",
    "float_parsing": "it must be a number",
    "finite_number": "it must be a finite number",
    "bool_type": "it must be true or false",
    "bool_parsing": "it must be true or false",
    "tuple_type": "it must be a list, as [a, b]",
    "too_short": "it is empty: name at least one",
    "dict_type": _KEYS_AND_VALUES,
    "model_type": _KEYS_AND_VALUES,
    "literal_error": "it must be %(expected)s",
    "greater_than": "it must be more than %(gt)s",
    "greater_than_equal": "it must be at least %(ge)s",
    "less_than": "it must be less than %(lt)s",
    "less_than_equal": "it must be at most %(le)s",
    "invalid_key": "a key must be text",
}
"""What a value must be, by pydantic's type of the error."""


def validated(model: type[Model], values: object, where: str) -> Model:
    """Build `model` from a mapping; what is wrong becomes one line that begins with `where`.

    Raises:
        UserError: names the first bad key by its path and, for an unknown key, the closest one.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{where} is {brief(values)}: {_KEYS_AND_VALUES}")
    for key in values:
        if not isinstance(key, str):
            raise UserError(f"{where}: the key {brief(key)} must be text")
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        kind, path, value = first["type"], first["loc"], first["input"]
        name = ".".join(str(part) for part in path if part != "[key]")
        if kind == "extra_forbidden":
            known = suggestion(path[-1], _keys(model, path[:-1]))
            raise UserError(f"{where}: unknown key {brief(name)}; {known}") from None
        name = name if name.isprintable() else brief(name)
        if kind == "missing":
            raise UserError(f"{where}: {name} is missing") from None
        reason = _MUST.get(kind, "") % first.get("ctx", {})
        reason = reason or first["msg"].removeprefix("Value error, ")
        if kind == "tuple_type" and isinstance(value, str) and value.isidentifier():
            reason = f"it must be a list, as [{value}]"
        shown = f"{name} = {brief(value)}" if name else brief(value)
        raise UserError(f"{where}: {shown}: {reason}") from None


def _keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Field names of the model that `path` leads to (of `model` itself where it cannot tell)."""
    for part in path:
        field = model.model_fields.get(str(part))
        annotation = field.annotation if field else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)
