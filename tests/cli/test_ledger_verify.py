"""How `tidegate ledger verify` is said, and how far it is while it reads."""

from gateway.cli.ledger_verify import PROGRESS_EVERY_S, Progress, verification_json, verification_text
from gateway.ledger.base import Damage, Verification

HURT = Damage(17, "hot/03.seg", 4096, "the record\x1b[2J's checksum is wrong")


def verification(**changes) -> Verification:
    told = {
        "verdict": "damaged", "records": 1234, "first_seq": 1, "last_seq": 1240, "head": "ab" * 32, "damage": [HURT],
        "gaps": [{"from_seq": 3, "to_seq": 5, "reason": "retention", "records": 3}, {"dropped": 7}], "seconds": 0.5,
    }  # fmt: skip
    return Verification(**(told | changes))


def test_people_read_what_is_wrong_and_where():
    assert verification_text(verification()).splitlines() == [
        "damaged: 1,234 records, 1 to 1240, 0.50 s",
        "head: " + "ab" * 32,
        "damage from record 17 on: hot/03.seg at 4096: the record\N{REPLACEMENT CHARACTER}[2J's checksum is wrong",
        "declared: 3 to 5: retention (records 3)",
        "declared: no reason given (dropped 7)",
    ]


def test_a_torn_tail_is_told_as_what_it_is():
    text = verification_text(verification(tail=Damage(0, "hot/00.seg", 8192, "torn")))
    assert text.splitlines()[-1] == "tail: hot/00.seg at 8192: torn (never acknowledged)"


def test_a_tail_is_a_key_of_the_json_only_where_there_is_one():
    assert "tail" not in verification_json(verification())
    assert '"tail":{' in verification_json(verification(tail=Damage(0, "hot/00.seg", 8192, "torn")))


def test_progress_is_told_now_and_then_and_leaves_the_line(capsys):
    now_s = 0.0
    progress = Progress(lambda: now_s)
    progress.tell(1 << 20, 1 << 30)
    now_s = PROGRESS_EVERY_S
    progress.tell(1 << 29, 1 << 30)
    progress.tell(1 << 30, 1 << 30)
    progress.end()
    assert capsys.readouterr().err.split() == ["512", "MiB", "of", "1.0", "GiB", "50", "%"]


def test_a_short_verification_tells_no_progress(capsys):
    progress = Progress(lambda: 0.0)
    progress.tell(1, 2)
    progress.end()
    assert capsys.readouterr().err == ""
