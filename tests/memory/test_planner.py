from littoral.memory.planner import Codes, Kind, parts_of, plan, rescored_of

USUAL = Codes(parts=96, hardness=750)


def test_a_few_vectors_are_all_compared() -> None:
    chosen = plan(600, None, 384, 10, codes=USUAL)
    assert (chosen.kind, chosen.rescored) == (Kind.EXACT, 0)
    assert chosen.reasons[0] == "all 600 vectors"


def test_without_codes_all_are_compared_however_many() -> None:
    chosen = plan(200_000, None, 384, 10, codes=None)
    assert chosen.kind is Kind.EXACT
    assert "no codes" in chosen.reasons[1]


def test_many_are_scanned_by_their_codes_and_the_best_compared() -> None:
    chosen = plan(100_000, None, 384, 10, codes=USUAL)
    assert (chosen.kind, chosen.rescored) == (Kind.SCAN, 191)
    assert chosen.reasons == (
        "all 100,000 vectors",
        "codes scanned, the best 191 compared exactly: about 123 us, all exactly 4,758",
    )


def test_who_wants_none_left_out_has_all_compared() -> None:
    assert plan(100_000, None, 384, 10, codes=USUAL, exact=True).kind is Kind.EXACT
    assert plan(100_000, 9_000, 384, 10, codes=USUAL, exact=True).kind is Kind.GATHERED


def test_few_candidates_are_gathered_and_many_scanned_through_a_view() -> None:
    few = plan(100_000, 100, 384, 10, codes=USUAL)
    many = plan(100_000, 10_000, 384, 10, codes=USUAL)
    assert (few.kind, many.kind) == (Kind.GATHERED, Kind.VIEW)
    assert few.reasons[0] == "100 candidates of 100,000 vectors (0.1%)"


def test_of_fewer_candidates_fewer_are_compared_but_never_few() -> None:
    compared = [
        plan(100_000, few, 384, 10, codes=USUAL).rescored for few in (1_000, 10_000, 90_000)
    ]
    assert compared == [96, 136, 189]
    assert plan(100_000, 3_000, 384, 100, codes=Codes(96, 100)).rescored == 200


def test_a_view_is_not_made_for_one_search() -> None:
    chosen = plan(100_000, 10_000, 384, 10, codes=USUAL, kept=False)
    assert chosen.kind is Kind.GATHERED
    assert "this search alone" in chosen.reasons[1]


def test_codes_that_rank_badly_lose_against_comparing_all() -> None:
    assert plan(100_000, None, 384, 100, codes=Codes(96, 100_000)).kind is Kind.EXACT


def test_a_scan_never_compares_more_than_there_are() -> None:
    chosen = plan(20_000, None, 1_536, 1_000, codes=Codes(384, 3_000))
    assert chosen.rescored <= 20_000


def test_more_neighbours_want_more_compared_but_less_for_each() -> None:
    each = [rescored_of(count, 750) / count for count in (1, 10, 100, 1_000)]
    assert each == sorted(each, reverse=True)
    assert rescored_of(100, 750) == 1_200
    assert rescored_of(1_000, 1) == 2_000


def test_a_code_has_a_bit_for_each_dimension_of_a_long_vector_and_more_of_a_short_one() -> None:
    found = {dimensions: parts_of(dimensions) for dimensions in (2, 64, 128, 384, 768, 1_536)}
    assert found == {2: 2, 64: 64, 128: 64, 384: 96, 768: 192, 1_536: 384}


def test_a_code_covers_dimensions_that_divide_badly() -> None:
    assert parts_of(1_021) * 4 >= 1_021
    assert parts_of(1) == 1


def test_no_vectors_need_no_plan_but_have_one() -> None:
    assert plan(0, None, 8, 10, codes=None).kind is Kind.EXACT
    assert plan(0, 0, 8, 10, codes=None).reasons[0] == "0 candidates of 0 vectors (0.0%)"
