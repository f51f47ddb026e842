"""What operators get wrong: one line says what and what to do, and nothing is changed."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cloud.__main__ import main

PAYMENT = "00112233445566778899aabbccddeeff"


class Terminal:
    """The command `wattpost cloud` with a configuration."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self._file = folder / "cloud.toml"
        self._file.write_text(f'utility = "hillside"\ndatabase = "{database_url}"\nkeys_folder = "keys"\n')

    def run(self, *words: str) -> Result:
        command, *rest = words
        return CliRunner().invoke(main, [command, str(self._file), *rest])


@pytest.fixture
def terminal(tmp_path: Path, database_url: str) -> Terminal:
    terminal = Terminal(tmp_path, database_url)
    assert terminal.run("assign", "gw-1", "EM-1").exit_code == 0
    opened = terminal.run("open-account", "A-1", "--meter", "EM-1", "--price", "25.5")
    assert opened.output == "account A-1 on EM-1, 25.5 KES/kWh\n"
    assert terminal.run("credit", "A-1", "5", "--id", PAYMENT).exit_code == 0
    return terminal


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("assign gw_1 EM-2", "'gw_1' is not 1 to 32 of"),
        ("assign gw-1 EM_2", "'EM_2' is not 1 to 32 of"),
        ("client b!", "'b!' is not 1 to 32 of"),
        ("client billing --effects disconect", "choose of disconnect"),
        ("client billing --meters EM_", "write prefixes"),
        ("open-account A-2 --meter EM-9 --price 3", "meter EM-9 has no gateway"),
        ("open-account A-2 --meter EM-1 --price abc", "'abc' is not a plain decimal number"),
        ("open-account A-2 --meter EM-1 --price=-3", "negative price"),
        ("open-account A-2 --meter EM-1 --price 3 --currency KE", "not within bounds"),
        ("open-account A-2 --meter EM-1 --price 3 --emergency=-5", "not within bounds"),
        ("open-account A_2 --meter EM-1 --price 3", "not within bounds"),
        ("credit A-9 5", "no account A-9"),
        ("credit A-1 abc", "'abc' is not a plain decimal number"),
        ("credit A-1 5.001", "finer than the minor unit"),
        ("credit A-1 -- -5", "not within bounds"),
        ("credit A-1 0", "not within bounds"),
        ("credit A-1 5 --id xyz", "write 32 hexadecimal digits"),
        ("credit A-1 5 --id aabb", "write 32 hexadecimal digits"),
        (f"credit A-1 6 --id {PAYMENT}", "booked before, for another amount or account"),
        ("balance A-9", "no account A-9"),
        ("restored --beyond 2147483647", "not in the range"),
    ],
)
def test_wrong_input_is_refused_in_a_line_and_changes_nothing(terminal: Terminal, words: str, said: str) -> None:
    result = terminal.run(*words.split())
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code != 0
    assert said in result.output.splitlines()[-1]
    assert terminal.run("balance", "A-1").output.startswith("5.00 KES")


def test_what_is_done_again_is_done_once(terminal: Terminal) -> None:
    assert terminal.run("credit", "A-1", "5", "--id", PAYMENT).exit_code == 0
    again = terminal.run("open-account", "A-1", "--meter", "EM-1", "--price", "30")
    assert again.output == "account A-1 was open before; nothing was changed\n"
    assert terminal.run("balance", "A-1").output.startswith("5.00 KES")
