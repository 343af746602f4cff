"""The report: a study's results as one page to read and hear, and as files for other programs."""

from musiclab.analysis.results import Results
from musiclab.report.exports import results_csv, results_json, search_csv, table_tex
from musiclab.report.html.page import page


def write_report(results: Results) -> str:
    """Write `report.html`, `results.csv`, `results.json` and `table.tex` into the study's folder; path of the page.

    Of a search there is `search.csv` too. The page is written last: if it exists, the others do too.
    """
    text_by_name = {
        "results.csv": results_csv(results),
        "results.json": results_json(results),
        "table.tex": table_tex(results),
        **({"search.csv": search_csv(results.search)} if results.search else {}),
        "report.html": page(results),
    }
    for name, text in text_by_name.items():
        # A name of another encoding may hold what UTF-8 has no letter for.
        results.storage.write(f"{results.folder}/{name}", text.encode(errors="replace"))
    return results.storage.path(f"{results.folder}/report.html")
