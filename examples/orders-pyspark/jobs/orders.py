"""Orders of one day: the raw CSV becomes Parquet by category and a summary in JSON.

    spark-submit orders.py --date 20171106 --bucket shop-orders

reads   s3://BUCKET/raw/orders_DATE.csv
writes  s3://BUCKET/orders/order_date=YYYY-MM-DD/category=…/   the cleaned lines
        s3://BUCKET/summary/order_date=YYYY-MM-DD/             what each category, region and segment sold
"""

import argparse
import datetime

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

SCHEMA = """
    row_id bigint, order_id string, order_date date, ship_date date, ship_mode string, customer_id string, customer_name string,
    segment string, country string, city string, state string, postal_code string, region string, product_id string, category string,
    sub_category string, product_name string, sales decimal(12,4), quantity int, discount decimal(4,2), profit decimal(12,4)
"""


def read(spark, bucket, date):
    return spark.read.csv(f"s3://{bucket}/raw/orders_{date}.csv", schema=SCHEMA, header=True, quote='"', escape='"', mode="DROPMALFORMED")


def clean(raw):
    lines = raw.select(
        "row_id", "order_id", "order_date", "ship_date",
        F.datediff("ship_date", "order_date").alias("days_to_ship"),
        "ship_mode", "customer_id", F.trim("customer_name").alias("customer"),
        "segment", "city", "state", "region", "product_id", "category", "sub_category", "product_name",
        "quantity", "discount", F.col("sales").alias("revenue"), "profit",
        F.when(F.col("sales") > 0, F.round(F.col("profit") / F.col("sales"), 4)).alias("margin"),
    )
    return lines.dropDuplicates(["row_id"]).where(
        "order_id IS NOT NULL AND customer_id IS NOT NULL AND revenue >= 0 AND profit IS NOT NULL AND quantity >= 1"
    )


def summarise(lines):
    return lines.groupBy("category", "region", "segment").agg(
        F.count("*").alias("lines"),
        F.countDistinct("order_id").alias("orders"),
        F.countDistinct("customer_id").alias("customers"),
        F.sum("revenue").alias("revenue"),
        F.sum("profit").alias("profit"),
    )


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--date", required=True, help="the day, as 20171106")
    args.add_argument("--bucket", required=True)
    args = args.parse_args()
    day = datetime.datetime.strptime(args.date, "%Y%m%d").date()

    spark = SparkSession.builder.appName(f"orders {day}").getOrCreate()
    lines = clean(read(spark, args.bucket, args.date)).cache()
    wrong = lines.where(F.col("order_date") != F.lit(day)).count()
    if wrong:
        raise ValueError(f"{wrong} lines are of another day than {day}")

    target = f"s3://{args.bucket}/orders/order_date={day}"
    lines.drop("order_date").repartition("category").write.mode("overwrite").partitionBy("category").parquet(target)
    summarise(lines).coalesce(1).write.mode("overwrite").json(f"s3://{args.bucket}/summary/order_date={day}")
    print(f"{lines.count()} lines of {day}")
    spark.stop()


if __name__ == "__main__":
    main()
