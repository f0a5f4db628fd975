"""The products that were changed since an instant, from the catalog's API, a row a variant.

    CATALOG_TOKEN=… spark-submit extract_products.py --url https://api.example.com/v2/products --since 2017-11-06T13:00:00Z --to s3://BUCKET/…/
"""

import argparse
import json
import os
import time
from decimal import Decimal
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

SCHEMA = "id string, name string, category string, updated_at string, variants array<struct<sku:string,title:string,price:decimal(12,2)>>"
TRIES = 5


def get(url):
    """A page of the API. What is worth another try gets one, as late as the server says."""
    request = Request(url, headers={"Authorization": "Bearer " + os.environ["CATALOG_TOKEN"]})
    for n in range(TRIES):
        try:
            with urlopen(request, timeout=30) as response:
                return json.load(response, parse_float=Decimal)
        except HTTPError as e:
            if e.code not in (429, 500, 502, 503, 504) or n == TRIES - 1:
                raise
            after = e.headers.get("Retry-After", "")
            time.sleep(int(after) if after.isdigit() else 2**n)


def products(url, since):
    url += "?" + urlencode({"updated_since": since})
    while url:
        page = get(url)
        for p in page["items"]:
            for v in p["variants"]:
                v["price"] = Decimal(v["price"]).quantize(Decimal("0.01"))
            yield p
        url = page["links"].get("next")


def main():
    args = argparse.ArgumentParser()
    for name in ("url", "since", "to"):
        args.add_argument("--" + name, required=True)
    args = args.parse_args()

    spark = SparkSession.builder.appName("extract products").getOrCreate()
    variants = spark.createDataFrame(list(products(args.url, args.since)), SCHEMA).select(
        "id", "name", "category", F.explode("variants").alias("v"), F.to_timestamp("updated_at").alias("updated_at")
    )
    variants.select("id", "name", "category", "v.sku", "v.title", "v.price", "updated_at").write.mode("overwrite").parquet(args.to)
    spark.stop()


if __name__ == "__main__":
    main()
