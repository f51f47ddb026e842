"""The example in prepay's README does what it says."""

import doctest
from pathlib import Path

README = Path(__file__).parents[2] / "prepay" / "README.md"


def test_the_example_in_the_readme_runs_as_printed() -> None:
    parser = doctest.DocTestParser()
    example = parser.get_doctest(README.read_text(encoding="utf-8"), {}, README.name, str(README), 0)
    assert len(example.examples) >= 5
    report: list[str] = []
    results = doctest.DocTestRunner(verbose=False).run(example, out=report.append)
    assert results.failed == 0, "".join(report)
