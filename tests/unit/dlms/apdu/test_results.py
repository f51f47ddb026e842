from dlms.apdu.results import ActionResult, DataAccessResult, StateError, result_name


def test_known_results_have_words_and_others_their_number() -> None:
    assert result_name(DataAccessResult.READ_WRITE_DENIED) == "read write denied"
    assert result_name(15, ActionResult) == "long action aborted"
    assert result_name(2, StateError) == "service unknown"
    assert result_name(123) == "result 123"
