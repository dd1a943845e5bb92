from expnet.data.even_spacing import evenly_spaced, evenly_spaced_indices


def test_indices_include_both_ends_and_are_rounded():
    assert evenly_spaced_indices(10, 4).tolist() == [0, 3, 6, 9]
    assert evenly_spaced_indices(8, 4).tolist() == [0, 2, 5, 7]  # 0, 2.33, 4.67, 7
    assert evenly_spaced_indices(10, 1).tolist() == [0]
    assert evenly_spaced_indices(10, 0).tolist() == []


def test_indices_are_distinct():
    for length in range(40):
        for count in range(50):
            assert len(set(evenly_spaced_indices(length, count).tolist())) == min(length, count)


def test_all_items_where_there_are_few_or_no_limit():
    assert evenly_spaced("abc", 5) == ["a", "b", "c"]
    assert evenly_spaced("abc", None) == ["a", "b", "c"]
    assert evenly_spaced([], 3) == []
