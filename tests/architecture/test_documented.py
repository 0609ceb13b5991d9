"""Every command that README and the guides show is run by `make test-install`, or says why not."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.support.documented import ROOT, Block, Step, blocks, fences, files, pages

PAGE = """\
# A page

<!-- run: fleet; without: fleet flash (needs a card), make test (hours) -->
```sh
export A=1   # a comment
.venv/bin/splitsight fleet init --host x \\
    --folder y
splitsight fleet flash --disk /dev/sdX
```

<!-- run: cloud,learn; where 374ea4bb is candidate: (\\S+) -->
```console
$ splitsight fleet candidate show 374ea4bb
it prints what it likes
$ splitsight fleet release publish
error: nothing is ready
```

<!-- not run: needs a robot -->
```sh
splitsight robot
```

```sh
splitsight forgotten
```

```yaml
# rounds.yaml; paths start from its folder
base: base.npz
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_commands_are_read_with_who_runs_them_and_how_they_end(page: Path) -> None:
    first, second, third, last = blocks(page)
    init = "splitsight fleet init --host x --folder y"
    steps = (Step("export A=1   # a comment", 5), Step(f".venv/bin/{init}", 6))
    assert first == Block(page, 4, ("fleet",), "", steps)
    assert second.extras == ("cloud", "learn")
    assert second.named == {"374ea4bb": r"candidate: (\S+)"}
    assert [step.fails for step in second.steps] == [False, True]
    assert (third.extras, third.why) == ((), "needs a robot")
    assert (last.extras, last.why) == ((), "")


def test_a_file_that_a_page_shows_is_read_with_its_name(page: Path) -> None:
    shown = "# rounds.yaml; paths start from its folder\nbase: base.npz\n"
    assert files(page) == {"rounds.yaml": shown}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_each_block_says_what_it_is_and_each_command_who_runs_it(page: Path) -> None:
    assert [line for line, language, _, _ in fences(page) if not language] == []
    assert [block.line for block in blocks(page) if not block.extras and not block.why] == []


def test_only_extras_that_there_are_are_named_and_each_has_a_page() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    offered = project["optional-dependencies"].keys() - {"dev", "site", "release"}
    named = {extra for page in pages() for block in blocks(page) for extra in block.extras}
    assert named == offered
