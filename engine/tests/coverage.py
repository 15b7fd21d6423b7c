"""The table of `coverage`: what LLVM has counted, by the modules of the engine.

Lines and functions are those of the lcov report; a function that was compiled for several types counts once, and is reached when one of them is.
Regions are those of the JSON report: pieces of code without a branch in them, such as each operand of `&&` and the way out of each `?`.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

# They exist to test the others: their own coverage says nothing.
TOOLS = {"checkers", "crash", "sim"}


def tests_begin(path):
    """The line at which the tests of a file begin: they stand last."""
    lines = path.read_text().splitlines()
    for number, (line, following) in enumerate(zip(lines, lines[1:]), 1):
        if line == "#[cfg(test)]" and following.startswith("mod tests {"):
            return number
    return len(lines) + 1


def read_lcov(path):
    """For each file: the counts of lines, and of functions by the line that they begin at."""
    lines, functions, begins = defaultdict(dict), defaultdict(dict), {}
    file = None
    for row in Path(path).read_text().splitlines():
        kind, _, rest = row.partition(":")
        if kind == "SF":
            file, begins = rest, {}
        elif kind == "DA":
            line, count = rest.split(",")[:2]
            lines[file][int(line)] = int(count)
        elif kind == "FN":
            line, name = rest.split(",", 1)
            begins[name] = int(line)
        elif kind == "FNDA":
            count, name = rest.split(",", 1)
            line = begins[name]
            functions[file][line] = functions[file].get(line, 0) + int(count)
    return lines, functions


def read_regions(path):
    """For each file: the counts of regions by their place, over all the types that they were compiled for."""
    regions = defaultdict(lambda: defaultdict(int))
    for function in json.loads(Path(path).read_text())["data"][0]["functions"]:
        for line, column, line_end, column_end, count, file, _, kind in function["regions"]:
            if kind == 0:
                regions[function["filenames"][file]][(line, column, line_end, column_end)] += count
    return regions


def share(counts):
    reached = sum(count > 0 for count in counts)
    return f"{reached} of {len(counts)}, {100 * reached / len(counts):.1f} %" if counts else ""


def print_table(files):
    modules = defaultdict(lambda: ([], [], []))
    for name, counts in files.items():
        parts = Path(name).parts
        module = parts[0].removesuffix(".rs")
        if module in TOOLS:
            continue
        for row in (modules[module], modules["all of them"]):
            for all_counts, of_file in zip(row, counts):
                all_counts.extend(of_file.values())
    print("| module | lines | functions | regions |")
    print("|---|---|---|---|")
    for module in sorted(modules, key=lambda module: (module == "all of them", module)):
        print(f"| {module} |", " | ".join(map(share, modules[module])), "|")


def print_missed(files, source, prefixes):
    """Lines with something in them that was not reached: the whole line, or from which column on."""
    for name in sorted(files):
        if not name.startswith(tuple(prefixes)):
            continue
        lines, _, regions = files[name]
        text = (source / name).read_text().splitlines()
        partly = defaultdict(list)
        for (line, column, _, _), count in sorted(regions.items()):
            if not count:
                partly[line].append(str(column))
        missed = {line: "-" for line, count in lines.items() if not count}
        missed |= {line: ",".join(columns) for line, columns in partly.items() if lines.get(line)}
        for line in sorted(missed):
            print(f"{name}:{line}: {missed[line]:>7}  {text[line - 1].strip()}")


def main():
    source = Path(sys.argv[1])
    lines, functions = read_lcov(sys.argv[2])
    regions = read_regions(sys.argv[3])
    files = {}
    for file in lines:
        if not file.startswith(f"{source}/") or Path(file).name == "tests.rs":
            continue
        end = tests_begin(Path(file))
        files[file.removeprefix(f"{source}/")] = (
            {line: count for line, count in lines[file].items() if line < end},
            {line: count for line, count in functions[file].items() if line < end},
            {place: count for place, count in regions[file].items() if place[0] < end},
        )
    if sys.argv[4:5] == ["--missed"]:
        print_missed(files, source, sys.argv[5:] or [""])
    else:
        print_table(files)


main()
