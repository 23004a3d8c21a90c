"""Whether what is pulled can be added by its name is seen before anything is fetched."""

from dataclasses import dataclass
from typing import cast

import pytest

from littoral.adapters.models import Catalogue
from littoral.delivery.manifest import FileRow
from littoral.node.delivery.adding import check_name
from littoral.terms.errors import BadRequestError, ConflictError, NotFoundError
from littoral.terms.ids import ModelName
from tests.adapters.artifacts.made import made, noise

ROW, *_ = made({"Some-Model.gguf": [noise(1, 100)]}).manifest.files


@dataclass
class OneModel:
    """A catalogue in which this is named `taken`."""

    digest: str

    def get(self, name: ModelName) -> "OneModel":
        if name != "taken":
            raise NotFoundError("there is none")
        return self


def check(digest: str, name: str | None, *files: FileRow) -> None:
    check_name(cast("Catalogue", OneModel(digest)), files, "hf:lab/model", name)


def test_a_name_is_free_or_the_models_own_already() -> None:
    assert ROW.sha256 is not None
    check("another", "free", ROW)
    check(ROW.sha256, "taken", ROW)
    with pytest.raises(ConflictError, match="another model is named taken"):
        check("another", "taken", ROW)


def test_without_a_name_it_is_its_files_own_and_what_is_no_model_needs_none() -> None:
    check("another", None, ROW)
    check("another", None)
    check("another", None, ROW, ROW)
    for files in ((), (ROW, ROW)):
        with pytest.raises(BadRequestError, match="none is mine"):
            check("another", "mine", *files)
