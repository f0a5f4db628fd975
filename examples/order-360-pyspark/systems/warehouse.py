#!/usr/bin/env python3
"""Makes the tables that extract_customers.py reads, in a Snowflake or in what stands for one:

    pip install 'fakesnow[server]==0.12.1' 'snowflake-connector-python<5'
    fakesnow -s -p 8361 &
    systems/warehouse.py http://127.0.0.1:8361
"""

import csv
import pathlib
import sys
from urllib.parse import urlsplit

import snowflake.connector

data = pathlib.Path(__file__).parents[2] / "order-360/data"
TABLES = {
    "customers": "customer_id varchar, name varchar, segment varchar, region varchar",
    "customer_orders": "customer_id varchar, order_id varchar, ordered_on date, amount number(12,2)",
}

url = urlsplit(sys.argv[1])
db = snowflake.connector.connect(protocol=url.scheme, host=url.hostname, port=url.port or 443, account="acme", user="etl", password="any").cursor()
db.execute("create database if not exists shop")
db.execute("create schema if not exists shop.public")
for table, columns in TABLES.items():
    db.execute(f"create or replace table shop.public.{table} ({columns})")
    with open(data / f"{table}.csv", encoding="utf-8", newline="") as f:
        rows = list(csv.reader(f))[1:]
    db.executemany(f"insert into shop.public.{table} values ({', '.join(['%s'] * len(rows[0]))})", rows)
    print(len(rows), "rows in", table)
