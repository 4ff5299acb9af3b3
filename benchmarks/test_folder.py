"""How soon the images of a large folder are listed, and what memory that takes."""

LIST = """\
import sys
from equibench.loading.suites import case_names, load_suite
print(len(case_names(load_suite(f"folder,path={sys.argv[1]}"))))
"""


def test_listing_100_000_images_takes_two_seconds_and_no_more_memory_than_their_names(
    benchmark, cost, report, tmp_path
):
    few, many = tmp_path / "few", tmp_path / "many"
    for folder, groups in ((few, 1), (many, 100)):
        for group in range(groups):
            (folder / f"{group:03d}").mkdir(parents=True)
            for number in range(1000):
                (folder / f"{group:03d}/{number:05d}.png").touch()
    before = cost(LIST, few)
    after = benchmark.pedantic(lambda: cost(LIST, many), rounds=1)
    report(seconds=after.seconds - before.seconds, MiB=after.memory - before.memory)
    assert after.seconds - before.seconds < 2
    assert after.memory - before.memory < 40
