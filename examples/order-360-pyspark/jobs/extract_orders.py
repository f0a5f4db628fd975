"""The order lines of a day that were not cancelled: CSV to Parquet.

    spark-submit extract_orders.py --from s3://BUCKET/orders/orders_20171106.csv --to s3://BUCKET/…/
"""

import argparse

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

SCHEMA = """
    order_line_id bigint, order_id string, order_date date, customer_id string, sku string,
    quantity int, amount decimal(12,2), status string
"""


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--from", dest="source", required=True)
    args.add_argument("--to", required=True)
    args = args.parse_args()

    spark = SparkSession.builder.appName("extract orders").getOrCreate()
    lines = spark.read.csv(args.source, schema=SCHEMA, header=True, mode="FAILFAST")
    lines.where(F.col("status") != "cancelled").write.mode("overwrite").parquet(args.to)
    spark.stop()


if __name__ == "__main__":
    main()
