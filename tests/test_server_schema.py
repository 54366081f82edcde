"""What the OpenAPI document says is asked in all its variety; no answer is an error of the server's."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck
from schemathesis.checks import not_a_server_error
from serving import TOKEN, Served


@pytest.fixture(scope="module")
def operations(served: Served) -> list[Any]:
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    return [result.ok() for result in schema.get_all_operations()]


def examples(served: Served, operation: Any, many: int) -> None:
    """Asks `many` different things of one operation."""

    @hypothesis.given(case=operation.as_strategy())
    @hypothesis.settings(
        max_examples=many, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    def asked(case: Any) -> None:
        case.call_and_validate(
            base_url=served.url,
            checks=[not_a_server_error],
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=60,
        )

    asked()


def test_no_question_that_the_document_allows_is_an_error_of_the_server(
    served: Served, operations: list[Any]
) -> None:
    assert len(operations) >= 14
    for operation in operations:
        examples(served, operation, 6)


@pytest.mark.slow
def test_nor_are_many_questions(served: Served, operations: list[Any]) -> None:
    for operation in operations:
        examples(served, operation, 300)
