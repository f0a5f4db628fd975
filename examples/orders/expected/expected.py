#!/usr/bin/env python3
"""Computes what the example's days must give, without Tidemill: exact decimals, plain Python.

Usage: expected.py   (it reads ../data/orders_*.csv and writes by_segment.csv and by_day.csv)
"""
import csv, glob, pathlib
from decimal import Decimal

here = pathlib.Path(__file__).parent
segments, days = {}, {}
for name in sorted(glob.glob(str(here / "../data/orders_*.csv"))):
    with open(name, encoding="utf-8", newline="") as f:
        for r in csv.DictReader(f):
            for table, key in ((segments, (r["order_date"], r["category"], r["region"], r["segment"])), (days, (r["order_date"],))):
                t = table.setdefault(key, [0, set(), set(), Decimal(0), Decimal(0)])
                t[0] += 1
                t[1].add(r["order_id"])
                t[2].add(r["customer_id"])
                t[3] += Decimal(r["sales"])
                t[4] += Decimal(r["profit"])
for name, table, head in (("by_segment", segments, ["order_date", "category", "region", "segment"]), ("by_day", days, ["order_date"])):
    with open(here / f"{name}.csv", "w", encoding="utf-8", newline="") as f:
        w = csv.writer(f, lineterminator="\n")
        w.writerow(head + ["lines", "orders", "customers", "revenue", "profit"])
        for key, (lines, orders, customers, revenue, profit) in sorted(table.items()):
            w.writerow(list(key) + [lines, len(orders), len(customers), f"{revenue:.4f}", f"{profit:.4f}"])
