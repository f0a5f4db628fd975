"""Tidemill's PySpark runner: does the work of one job in one Spark session.

    runner.py --job URI [--values JSON]

The job is JSON (package sparkjob, type Job) at a URI that Hadoop can read; a place {"$": n}
in it stands for values[n]. Datasets and manifests are those of package dataset. The outputs,
or the fault that ended the work, go into the file that the job names as out. For PySpark 3.5
and 4.0, Python 3.9 and later.
"""

import argparse
import base64
import datetime
import decimal
import hashlib
import json
import math
import re
import sys
import traceback

from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

VERSION = 1
FIELDS_SHOWN = 8
ROWS_SHOWN = 5
PARTITIONS = 10_000


class Fault(Exception):
    """What ends the work: kind and name as package flow has them."""

    def __init__(self, message, kind="invalid", name="", hint="", op=""):
        super().__init__(message)
        self.message, self.kind, self.name, self.hint, self.op = message, kind, name, hint, op

    def json(self):
        return {"message": self.message, "kind": self.kind, "name": self.name, "hint": self.hint, "op": self.op}


class Skip(Exception):
    """on_empty: skip, and there was nothing."""


# ---------------------------------------------------------------- files


class Files:
    """Files by URI, through Hadoop: file:/, s3://, whatever the session knows."""

    def __init__(self, spark):
        self.jvm = spark._jvm
        self.conf = spark._jsc.hadoopConfiguration()
        # Hadoop's own local file system would lay a checksum file beside each file.
        self.jvm.org.apache.hadoop.fs.FileSystem.get(self.jvm.java.net.URI("file:///"), self.conf).setWriteChecksum(False)

    def path(self, uri):
        return self.jvm.org.apache.hadoop.fs.Path(uri)

    def fs(self, uri):
        return self.path(uri).getFileSystem(self.conf)

    def read(self, uri):
        stream = self.fs(uri).open(self.path(uri))
        try:
            return bytes(self.jvm.org.apache.commons.io.IOUtils.toByteArray(stream))
        finally:
            stream.close()

    def read_json(self, uri):
        return json.loads(self.read(uri).decode("utf-8"), parse_float=decimal.Decimal)

    def write(self, uri, data):
        stream = self.fs(uri).create(self.path(uri), True)
        stream.write(bytearray(data))
        stream.close()

    def exists(self, uri):
        return self.fs(uri).exists(self.path(uri))

    def remove(self, uri):
        self.fs(uri).delete(self.path(uri), True)

    def list(self, uri, deep=False):
        """(URI, bytes) of the files in a folder, hidden ones left out; none if it is not there."""
        if not self.exists(uri):
            return []
        out, todo = [], [uri.rstrip("/")]
        while todo:
            at = todo.pop()
            for s in self.fs(at).listStatus(self.path(at)):
                name = s.getPath().getName()
                if name.startswith(("_", ".")):
                    continue
                below = at + "/" + name
                if s.isDirectory():
                    if deep:
                        todo.append(below)
                else:
                    out.append((below, s.getLen()))
        return sorted(out)

    def folders(self, uri):
        if not self.exists(uri):
            return []
        return [s.getPath().getName() for s in self.fs(uri).listStatus(self.path(uri)) if s.isDirectory()]

    def parquet_rows(self, uri):
        """The rows of a Parquet file, by its footer."""
        hadoop = self.jvm.org.apache.parquet.hadoop
        reader = hadoop.ParquetFileReader.open(hadoop.util.HadoopInputFile.fromPath(self.path(uri), self.conf))
        try:
            return reader.getRecordCount()
        finally:
            reader.close()


def plain(uri):
    """A path as Spark's readers take it: they read globs."""
    return re.sub(r"([*?\[\]{}\\])", r"\\\1", uri)


# ---------------------------------------------------------------- types and schemas


def bt(name):
    return "`" + name.replace("`", "``") + "`"


def literal(text):
    """A text as a literal of Spark SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def type_word(t):
    """A type in the words of manifests; None for one that a dataset cannot keep."""
    if isinstance(t, T.ArrayType):
        e = type_word(t.elementType)
        return e and "array<%s>" % e
    if isinstance(t, T.MapType):
        k, v = type_word(t.keyType), type_word(t.valueType)
        return k and v and "map<%s,%s>" % (k, v)
    if isinstance(t, T.StructType):
        parts = []
        for f in t.fields:
            w = type_word(f.dataType)
            if not w:
                return None
            parts.append((f.name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", f.name) else bt(f.name)) + ":" + w)
        return "struct<" + ",".join(parts) + ">"
    word = t.simpleString()
    if word.startswith(("char", "varchar")):
        return "string"
    if word.startswith("interval") or word.split("(")[0] not in KEPT:
        return None
    return word


KEPT = {"boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "decimal", "string", "binary", "date", "timestamp", "timestamp_ntz", "void"}


def parse_type(word):
    return T._parse_datatype_string(word) if word != "void" else T.NullType()


def struct(schema, void):
    """The schema as Spark has it; void is the type that stands for void."""
    return T.StructType([T.StructField(c["name"], parse_type(void if c["type"] == "void" else c["type"]), True) for c in schema])


def schema_of(df):
    out = []
    for f in df.schema.fields:
        word = type_word(f.dataType)
        if word is None:
            raise Fault("column %s is of type %s, which a dataset cannot keep" % (f.name, f.dataType.simpleString()), op="read sql",
                        hint="Cast it to a type that Parquet keeps, a string or a bigint.")
        out.append({"name": f.name, "type": word, "nullable": True})
    return out


def schema_hash(schema):
    h = hashlib.sha256()
    for c in schema:
        h.update((c["name"] + "\0" + c["type"] + "\0").encode())
    return h.hexdigest()[:16]


def index(schema, name):
    for i, c in enumerate(schema):
        if c["name"].lower() == name.lower():
            return i
    return -1


def names(schema):
    return ", ".join(c["name"] for c in schema)


def fitted(df, schema, lacking=False):
    """df with the columns of the schema, in their order and types; NULL for those it lacks, if it may."""
    have = {c.lower(): c for c in df.columns}
    cols = []
    for c in schema:
        mine = have.get(c["name"].lower())
        if c["type"] == "void" or mine is None:
            if mine is None and not lacking:
                raise Fault("it lacks column %s of the table's other parts" % c["name"], op="read a dataset")
            col = F.lit(None)
            cols.append((col if c["type"] == "void" else col.cast(parse_type(c["type"]))).alias(c["name"]))
        else:
            cols.append(F.col(bt(mine)).cast(parse_type(c["type"])).alias(c["name"]))
    return df.select(*cols)


def storable(df):
    """df as Parquet can keep it: a column of type void becomes one of int."""
    return df.select(*[F.col(bt(f.name)).cast("int").alias(f.name) if isinstance(f.dataType, T.NullType) else F.col(bt(f.name)) for f in df.schema.fields])


# ---------------------------------------------------------------- values as texts, as package format writes them


def go_float(f):
    """A double as Go's %g with the fewest digits, and never as an integer."""
    if f is None:
        return None
    if math.isnan(f):
        return "NaN"
    if math.isinf(f):
        return "+Inf" if f > 0 else "-Inf"
    sign, digits, exp = decimal.Decimal(repr(float(f))).normalize().as_tuple()
    ds = "".join(map(str, digits))
    if ds == "0":
        return "-0.0" if sign else "0.0"
    x = len(ds) + exp - 1  # of d.ddde±xx
    if x < -4 or x >= 21:
        out = ds[0] + ("." + ds[1:] if len(ds) > 1 else "") + "e%s%02d" % ("-" if x < 0 else "+", abs(x))
    elif exp >= 0:
        out = ds + "0" * exp
    elif x >= 0:
        out = ds[: x + 1] + "." + ds[x + 1:]
    else:
        out = "0." + "0" * (-x - 1) + ds
    if not re.search(r"[.eNI]", out):
        out += ".0"
    return ("-" if sign else "") + out


def go_string(s):
    return json.dumps(s, ensure_ascii=False).replace("\\b", "\\u0008").replace("\\f", "\\u000c")


def iso(t, zone):
    out = t.strftime("%Y-%m-%dT%H:%M:%S")
    if len(out) < 19:  # years before 1000
        out = out.rjust(19, "0")
    if t.microsecond:
        out += (".%06d" % t.microsecond).rstrip("0")
    return out + zone


def go_text(v, t):
    """A value that is not NULL as a text of csv."""
    if isinstance(t, T.StringType):
        return v
    if isinstance(t, T.BooleanType):
        return "true" if v else "false"
    if isinstance(t, (T.DoubleType, T.FloatType)):
        return go_float(v)
    if isinstance(t, T.DecimalType):
        return format(v, "f")
    if isinstance(t, T.BinaryType):
        return base64.b64encode(bytes(v)).decode()
    if isinstance(t, T.DateType):
        return v.isoformat()
    if isinstance(t, T.TimestampType):
        return iso(v, "Z")
    if isinstance(t, T.TimestampNTZType):
        return iso(v, "")
    if isinstance(t, (T.ArrayType, T.MapType, T.StructType)):
        return go_json(v, t)
    return str(v)


def go_json(v, t):
    if v is None:
        return "null"
    if isinstance(t, T.StructType):
        return "{" + ",".join(go_string(f.name) + ":" + go_json(v[i], f.dataType) for i, f in enumerate(t.fields)) + "}"
    if isinstance(t, T.MapType):
        return "{" + ",".join(go_string(go_text(k, t.keyType)) + ":" + go_json(x, t.valueType) for k, x in v.items()) + "}"
    if isinstance(t, T.ArrayType):
        return "[" + ",".join(go_json(x, t.elementType) for x in v) + "]"
    if isinstance(t, (T.DoubleType, T.FloatType)) and (math.isnan(v) or math.isinf(v)):
        return go_string(go_float(v))
    if isinstance(t, (T.BooleanType, T.NumericType)):
        return go_text(v, t)
    return go_string(go_text(v, t))


def text_columns(fields, lines):
    """Columns of the texts that package format writes; lines: one JSON object a row, value."""
    if lines:
        def line(row):
            return "{" + ",".join(go_string(f.name) + ":" + go_json(row[i], f.dataType) for i, f in enumerate(fields)) + "}"

        return [F.udf(line, "string")(F.struct(*[F.col(bt(f.name)) for f in fields])).alias("value")]
    cols = []
    for f in fields:
        c = F.col(bt(f.name))
        if isinstance(f.dataType, (T.IntegralType, T.BooleanType, T.DateType, T.DecimalType)):
            c = c.cast("string")
        elif not isinstance(f.dataType, T.StringType):
            c = F.udf(lambda v, t=f.dataType: None if v is None else go_text(v, t), "string")(c)
        cols.append(c.alias(f.name))
    return cols


def shorten(s):
    s = " ".join(s.split())
    return s if len(s) <= 40 else s[:39] + "…"


def table(grid):
    wide = [max(len(line[i]) for line in grid) for i in range(len(grid[0]))]
    out = []
    for line in grid:
        out.append("  " + "".join(c + (" " * (wide[i] - len(c) + 2) if i < len(line) - 1 else "") for i, c in enumerate(line)))
    return "\n".join(out).rstrip("\n")


def shown(x, word):
    """An expression of a value's text as DuckDB casts it, so that messages are the same on both engines."""
    text = "CAST(%s AS STRING)" % x
    if word == "timestamp":
        return "%s || '+00'" % text
    m = re.fullmatch(r"decimal\((\d+),(\d+)\)", word)
    if m and m.group(1) == m.group(2):
        return "regexp_replace(%s, '^(-?)0', '$1')" % text
    return text


def count_word(n):
    return "1 row does" if n == 1 else "%d rows do" % n


# ---------------------------------------------------------------- durations and instants


def parse_age(s):
    """Seconds of 2d, 36h, 1d12h, 1h30m."""
    m = re.fullmatch(r"(?:(\d+)d)?((?:\d+(?:\.\d+)?(?:ms|h|m|s))*)", s)
    if not m or not s:
        raise Fault('"%s" is no duration like 2d or 36h' % s)
    total = int(m.group(1) or 0) * 86400.0
    for n, u in re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", m.group(2) or ""):
        total += float(n) * {"h": 3600, "m": 60, "s": 1, "ms": 0.001}[u]
    return total


def parse_instant(s):
    if re.fullmatch(r"\d{8}T\d{6}Z", s):
        return datetime.datetime.strptime(s, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", s):
        return datetime.datetime.strptime(s, "%Y-%m-%d").replace(tzinfo=datetime.timezone.utc)
    m = re.fullmatch(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2})(?:\.(\d+))?(Z|[+-]\d{2}:\d{2})", s)
    if not m:
        raise Fault('"%s" is no instant' % s)
    t = datetime.datetime.strptime(m.group(1) + " " + m.group(2), "%Y-%m-%d %H:%M:%S").replace(tzinfo=datetime.timezone.utc)
    t += datetime.timedelta(microseconds=int(((m.group(3) or "") + "000000")[:6]))
    if m.group(4) != "Z":
        sign = -1 if m.group(4)[0] == "-" else 1
        t -= sign * datetime.timedelta(hours=int(m.group(4)[1:3]), minutes=int(m.group(4)[4:6]))
    return t


def rfc3339(t):
    return t.strftime("%Y-%m-%dT%H:%M:%SZ")


def go_duration(seconds):
    n = int(math.floor(abs(seconds) + 0.5))
    out = "%ds" % (n % 60)
    if n >= 60:
        out = "%dm" % (n // 60 % 60) + out
    if n >= 3600:
        out = "%dh" % (n // 3600) + out
    return ("-" if seconds < 0 and n else "") + out


# ---------------------------------------------------------------- the session and its datasets


class Session:
    """What the works of a job share."""

    def __init__(self, spark, job):
        self.spark, self.job, self.files = spark, job, Files(spark)
        self.store = job["store"].rstrip("/")
        self.made = {}  # work's name → manifest URI
        self.cache = {}

    def text(self, hash):
        if hash not in self.cache:
            self.cache[hash] = self.files.read(self.job["texts"].rstrip("/") + "/" + hash).decode("utf-8")
        return self.cache[hash].strip().rstrip(";")

    def manifest(self, uri):
        if uri.startswith("tidemill-work://"):
            uri = self.made[uri[len("tidemill-work://"):]]
        data = self.files.read(uri)
        m = json.loads(data.decode("utf-8"))
        if m.get("version") != VERSION:
            raise Fault("manifest of version %s, this program reads %d" % (m.get("version"), VERSION), op="read " + uri, hint="Use the release that wrote it, or a newer one.")
        return uri, m, {"manifest": uri, "sha256": hashlib.sha256(data).hexdigest()}

    def rows(self, uri, m, schema=None):
        """The rows of a dataset, by its files."""
        schema = schema or m["schema"]
        base = uri.rsplit("/", 1)[0]
        paths = [f["path"] if "://" in f["path"] else base + "/" + f["path"] for f in m["files"] if f["rows"] > 0]
        if not paths:
            return self.nothing(schema)
        return fitted(self.parquet(paths, m["schema"]), schema)

    def parquet(self, paths, schema):
        """Parquet files of a dataset. Their columns are known: asking the files costs a job."""
        return self.spark.read.schema(struct(schema, "int")).parquet(*[plain(p) for p in paths])

    def nothing(self, schema):
        if not schema:
            raise Fault("a table without columns")
        return self.spark.createDataFrame([], struct(schema, "void"))

    def slot_dir(self, slot, time=None):
        d = "data/%s/%s/%s" % (slot["pipeline"], slot["step"], time or slot["time"])
        return d + ("-" + slot["params"] if slot.get("params") else "")

    def current(self, slot, time=None):
        """The manifest URI of a slot's published dataset, or None."""
        d = self.store + "/" + self.slot_dir(slot, time)
        if not self.files.exists(d + "/_current.json"):
            return None
        return d + "/" + self.files.read_json(d + "/_current.json")["manifest"]

    def latest(self, slot):
        """The published dataset of the latest earlier logical time, with the same params."""
        best = ""
        for name in self.files.folders(self.store + "/data/%s/%s" % (slot["pipeline"], slot["step"])):
            time, _, params = name.partition("-")
            if params == (slot.get("params") or "") and best < time < slot["time"] and self.current(slot, time):
                best = time
        return self.current(slot, best) if best else None

    def sql(self, text, values):
        """A query whose places :p0, :p1, … are bound."""
        if not values:
            return self.spark.sql(text)
        return self.spark.sql(text, args={"p%d" % i: bound(v) for i, v in enumerate(values)})


def bound(v):
    """A value as the literal that it stands for: 7 an int, 1.5 a decimal(2,1)."""
    if isinstance(v, (dict, list)):
        raise Fault("%s is no text, number or truth value" % json.dumps(v, default=str), op="bind a value", hint="A template in SQL stands for one value.")
    if isinstance(v, float):
        v = decimal.Decimal(repr(v))
    if isinstance(v, int) and not isinstance(v, bool) and not -(1 << 63) <= v < 1 << 63:
        v = decimal.Decimal(v)
    if isinstance(v, decimal.Decimal):
        sign, digits, exp = v.as_tuple()
        if exp > 0:
            v = v.quantize(decimal.Decimal(1)) if len(digits) + exp <= 38 else v
        if max(len(digits), -v.as_tuple().exponent) > 38:
            return F.lit(float(v))
    return F.lit(v)


# ---------------------------------------------------------------- one dataset


class Dataset:
    """One attempt at a dataset: extract, sql, checks and keep of one step."""

    def __init__(self, session, work):
        self.s, self.work, self.job = session, work, work["dataset"]
        self.spark, self.files = session.spark, session.files
        self.slot = self.job["slot"]
        self.x = self.job.get("extract")
        rel = work.get("dir") or "%s/%s.%d" % (session.slot_dir(self.slot), session.job["run"], session.job["attempt"])
        self.dir = session.store + "/" + rel
        self.inputs, self.warnings, self.tables = [], [], {}
        self.read = self.rejected = 0
        self.rejects, self.told = [], []  # DataFrames; the first rejects for messages
        self.held = []  # DataFrames that are cached
        self.kept = None

    def fault(self, message, **more):
        return Fault(message, **more)

    def make(self):
        self.files.remove(self.dir)
        try:
            self.bind()
            try:
                df = self.query()
            except Skip:
                return {"manifest": "", "rows": 0, "bytes": 0, "schema_hash": "", "skipped": True, "warnings": self.warnings}
            return self.finish(*self.compute(df))
        finally:
            for df in self.held:
                df.unpersist()
            for name in list(self.tables) + ["source", "previous"]:
                self.spark.catalog.dropTempView(name)

    # --- tables

    def bind(self):
        for name, uri in sorted((self.job.get("inputs") or {}).items()):
            self.table(name, [uri])
        for name, uris in sorted((self.job.get("unions") or {}).items()):
            self.table(name, uris)
        if self.job.get("keep"):
            uri = self.s.latest(self.slot)
            if uri:
                uri, m, mine = self.s.manifest(uri)
                self.inputs.append(mine)
                self.kept = (m["schema"], self.s.rows(uri, m))
        if self.job.get("previous"):
            self.previous()

    def table(self, name, uris):
        if not uris:
            raise Fault("it is the union of nothing", op="read table " + name)
        schema, df = None, None
        for uri in uris:
            uri, m, mine = self.s.manifest(uri)
            self.inputs.append(mine)
            schema = schema or m["schema"]
            rows = self.s.rows(uri, m, schema)
            df = rows if df is None else df.unionAll(rows)
        self.view(name, schema, df)

    def view(self, name, schema, df):
        self.tables[name] = schema
        df.createOrReplaceTempView(bt(name) if not re.fullmatch(r"\w+", name) else name)

    def previous(self):
        uri = self.s.latest(self.slot)
        if uri:
            return self.table("previous", [uri])
        schema = self.work.get("known")
        uri = self.s.current(self.slot)
        if uri:
            schema = self.s.manifest(uri)[1]["schema"]
        if not schema:
            name = "%s.%s" % (self.slot["pipeline"], self.slot["step"])
            raise Fault("%s has no earlier dataset, and its columns are not known" % name, op="read table previous",
                        hint="Write its columns into schemas/%s.yaml (columns: { name: type }), so that the first run sees an empty table." % name.replace(".", "/"))
        self.view("previous", schema, self.s.nothing(schema))

    # --- the source

    def source(self):
        x = self.x
        if x.get("manifest") or x.get("dataset"):
            return self.existing()
        src = self.work["source"]
        self.warnings += src.get("warnings") or []
        schema = src["schema"]
        self.read, self.rejected, self.told = src.get("read", 0), src.get("rejected", 0), list(src.get("told") or [])
        if src.get("rejects"):
            self.rejects.append(self.spark.read.parquet(plain(src["rejects"])))
        df = None
        for g in src.get("groups") or []:
            mine = self.read_parquet(src, g)
            df = mine if df is None else df.unionAll(mine)
        if df is None:
            if not schema and x.get("on_empty") not in ("ok", "skip"):
                raise self.empty()
            if not schema:
                raise Fault("it is empty and its columns are not known", op="read " + x["from"], hint="Declare its columns.")
            df = self.s.nothing(schema)
        elif src["kind"] == "parquet":
            self.read = sum(self.files.parquet_rows(f) for g in src["groups"] for f in g["files"])
        self.view("source", [{"name": f.name, "type": type_word(f.dataType), "nullable": True} for f in df.schema.fields], df)
        if self.read == 0:
            if x.get("on_empty") == "skip":
                raise Skip()
            if x.get("on_empty") != "ok":
                raise self.empty()
        self.bear(x.get("rejects") or {}, self.read)
        return df

    def read_parquet(self, src, g):
        df = self.spark.read.parquet(*[plain(f) for f in g["files"]])
        cols = []
        for i, c in enumerate(src["schema"]):
            p = g["places"][i]
            if src["kind"] == "landed" and p < 0 and c["name"] not in df.columns:
                continue  # a column that nobody reads
            col = F.lit(None) if p < 0 else F.col(bt(g["header"][p]))
            cols.append(col.cast(parse_type(c["type"])).alias(c["name"]))
        return df.select(*cols)

    def existing(self):
        """The source is a dataset: what a fetch read, or another pipeline's."""
        uri = self.x.get("manifest")
        if not uri:
            of = self.x["dataset"]
            slot = {"pipeline": of["pipeline"], "step": of["step"], "time": self.slot["time"], "params": of.get("params", "")}
            if of.get("at"):
                slot["time"] = parse_instant(of["at"]).strftime("%Y%m%dT%H%M%SZ")
            uri = self.s.current(slot) or (None if of.get("at") else self.s.latest(slot))
            if not uri:
                raise Fault("none was published", kind="not found", op="find a dataset of %s.%s before %s" % (slot["pipeline"], slot["step"], slot["time"]),
                            hint="The first run of a step has no previous one.")
        uri, m, mine = self.s.manifest(uri)
        self.inputs.append(mine)
        self.read = m["rows"] if self.x.get("manifest") else 0
        df = self.s.rows(uri, m)
        self.view("source", m["schema"], df)
        return df

    def empty(self):
        return Fault("it has no records", op="read " + self.x["from"], hint="If that may be, set on_empty: ok or skip.")

    def query(self):
        src = self.source() if self.x else None
        q = self.job.get("sql")
        if not q:
            if src is None:
                raise Fault("the job has neither an extract nor SQL")
            return src
        return self.s.sql(self.s.text(q["hash"]), q.get("values"))

    # --- the result

    def compute(self, df):
        seen = set()
        for i, c in enumerate(df.columns):
            if not c:
                raise Fault("column %d has no name" % (i + 1), op="read sql", hint="Give it one: … as name.")
            if c.lower() in seen:
                raise Fault("two columns are named %s" % c, op="read sql", hint="Give one of them another name: … as name.")
            seen.add(c.lower())
        schema = schema_of(df)
        checks = self.job.get("checks") or []
        if self.job.get("keep") or any(c.get("severity") == "reject" for c in checks):
            df = self.hold(df)
            df = self.reject_rows(df, schema, [c for c in checks if c.get("severity") == "reject"])
            if self.job.get("keep"):
                df, schema = self.keep(df, schema)
        files, rows = self.write(df)
        self.check([c for c in checks if c.get("severity") != "reject"], schema, files, rows)
        return schema, files, rows

    def hold(self, df):
        """df computed once, with __id in the order of its rows."""
        df = df.withColumn("__id", F.monotonically_increasing_id()).persist()
        self.held.append(df)
        return df

    def write(self, df):
        """The rows as Parquet files of the attempt's folder."""
        storable(df).write.mode("append").parquet(self.dir)
        files, total = [], 0
        for uri, size in self.files.list(self.dir):
            n = self.files.parquet_rows(uri)
            if n == 0:
                self.files.remove(uri)
                continue
            files.append({"path": uri[len(self.dir) + 1:], "rows": n, "bytes": size})
            total += n
        return files, total

    # --- rejects

    def reject(self, df):
        """Adds rows of reason and text."""
        df = df.select(F.col("reason"), F.lit(self.x["from"] if self.x else None).cast("string").alias("file"), F.lit(None).cast("bigint").alias("line"),
                       F.lit(None).cast("string").alias("column"), F.col("text"))
        n = df.count()
        if n == 0:
            return
        for r in df.limit(max(0, 5 - len(self.told))).collect():
            self.told.append("%s: %s" % (r["file"] or "", r["reason"]))
        self.rejected += n
        self.rejects.append(df)

    def some(self):
        out = "".join("\n  " + t for t in self.told)
        if self.rejected > len(self.told):
            out += "\n  and %d more" % (self.rejected - len(self.told))
        return out

    def bear(self, limit, read):
        n, mode = self.rejected, limit.get("mode")
        over = n > 0
        if mode == "keep":
            over = False
        elif mode == "max":
            most, percent = limit.get("max") or 0, float(limit.get("percent") or 0)
            over = over and (most > 0 and n > most or percent > 0 and n * 100 > percent * read or most == 0 and percent == 0)
        if over:
            raise Fault("%d of %d records do not fit%s" % (n, read, self.some()), kind="rejected", op="read " + self.x["from"] if self.x else "read",
                        hint="Correct the data, declare another type in columns, or set rejects: keep or { max: … }.")

    def row_json(self, schema):
        fields = []
        for c in schema:
            x = bt(c["name"])
            if c["type"].startswith("decimal"):
                x = "CAST(%s AS DOUBLE)" % x
            elif c["type"] in ("timestamp", "timestamp_ntz"):
                x = shown(x, c["type"])
            fields.append("%s AS %s" % (x, bt(c["name"])))
        return "to_json(struct(%s), map('ignoreNullFields', 'false'))" % ", ".join(fields)

    def reject_rows(self, df, schema, checks):
        """Moves the rows that checks find bad to the rejects, each once, with the first reason."""
        if not checks:
            return df
        planned = self.plan(schema, checks)
        for c in planned:
            if c["bad"] is None:
                raise Fault("%s looks at the whole table, no row can be rejected for it" % c["kind"], op="check " + c["text"], hint="Use severity: fail or warn.")
        flagged = self.flags(df, planned).persist()
        self.held.append(flagged)
        reason = F.lit(None).cast("string")
        for i in reversed(range(len(planned))):
            reason = F.when(F.col("__b%d" % i), F.lit("check " + planned[i]["text"])).otherwise(reason)
        bad = F.coalesce(F.greatest(*[F.coalesce(F.col("__b%d" % i), F.lit(False)) for i in range(len(planned))] + [F.lit(False)]), F.lit(False))
        self.reject(flagged.where(bad).select(reason.alias("reason"), F.expr(self.row_json(schema)).alias("text")))
        return flagged.where(~bad).select("__id", *[bt(c["name"]) for c in schema])

    # --- keep

    def keep(self, df, schema):
        k = self.job["keep"]
        cols = [bt(c["name"]) for c in schema]
        gone = F.lit(False)
        if k.get("delete_when"):
            df = self.predicate(df, k["delete_when"], "__gone")
            gone = F.coalesce(F.col("__gone"), F.lit(False))
        df = df.select("__id", *cols, gone.alias("__gone"))
        if k["mode"] == "merge":
            df = self.one_of_each_key(df, schema, k)
        if self.kept is None:
            return df.where("not __gone").select(*cols), schema
        old_schema, old = self.kept
        whole = schema + [c for c in old_schema if index(schema, c["name"]) < 0]
        new = fitted(df, whole + [{"name": "__gone", "type": "boolean"}], lacking=True).withColumn("__new", F.lit(1))
        old = fitted(old, whole, lacking=True).withColumn("__gone", F.lit(False)).withColumn("__new", F.lit(0))
        both = new.unionByName(old)
        out = [bt(c["name"]) for c in whole]
        if k["mode"] != "merge":
            return both.where("not __gone").select(*out), whole
        order = "__new DESC"
        if k.get("order_by"):
            order = bt(k["order_by"]) + " DESC NULLS LAST, " + order
        both = both.withColumn("__nth", F.expr("row_number() OVER (PARTITION BY %s ORDER BY %s)" % (", ".join(map(bt, k["key"])), order)))
        return both.where("__nth = 1 AND NOT __gone").select(*out), whole

    def one_of_each_key(self, df, schema, k):
        if not k.get("key"):
            raise Fault("merge needs a key", op="keep")
        for n in k["key"] + ([k["order_by"]] if k.get("order_by") else []):
            if index(schema, n) < 0:
                raise Fault("the step's table has no column %s, but %s" % (n, names(schema)), op="keep")
        last = bool(self.x) and self.x.get("on_duplicate") == "last"
        order = "__id DESC" if last else "__id"
        if k.get("order_by"):
            order = bt(k["order_by"]) + " DESC NULLS LAST, " + order
        keys = ", ".join(map(bt, k["key"]))
        ranked = df.withColumn("__nokey", F.expr(" OR ".join(bt(n) + " IS NULL" for n in k["key"]))).withColumn(
            "__nth", F.expr("row_number() OVER (PARTITION BY %s ORDER BY %s)" % (keys, order))).persist()
        self.held.append(ranked)
        shown = ", ".join(k["key"])
        reason = F.when(F.col("__nokey"), F.lit("the key (%s) is NULL" % shown)).otherwise(F.lit("a second row of the key (%s)" % shown))
        self.reject(ranked.where("__nokey" if last else "__nokey OR __nth > 1").select(reason.alias("reason"), F.expr(self.row_json(schema)).alias("text")))
        self.bear((self.x or {}).get("rejects") or {}, max(self.read, self.rejected))
        return ranked.where("NOT __nokey AND __nth = 1").drop("__nokey", "__nth")

    # --- checks

    def predicate(self, df, q, name):
        """df with the truth of a predicate beside its columns."""
        df.createOrReplaceTempView("__rows")
        return self.s.sql("SELECT *, (%s) AS %s FROM __rows" % (self.s.text(q["hash"]), name), q.get("values"))

    def plan(self, schema, checks):
        out = []
        for c in checks:
            c = dict(c)
            c["text"] = c.get("text") or "%s %s" % (c["kind"], ", ".join(c.get("columns") or []))
            cols = []
            for n in c.get("columns") or []:
                i = index(schema, n)
                if i < 0:
                    raise Fault("the table has no column %s, but %s" % (n, names(schema)), op="check " + c["text"])
                cols.append(schema[i])
            c["cols"] = cols
            try:
                c["bad"] = self.bad(c, cols)
            except Fault as f:
                f.op = "check " + c["text"]
                raise
            out.append(c)
        return out

    def bad(self, c, cols):
        """An SQL expression that is true for a bad row; None for checks of the whole table; a list for joins."""
        kind = c["kind"]
        if kind == "rows":
            return None
        if kind == "sql":
            if not c.get("sql"):
                raise Fault("it has no text")
            return "sql"
        if not cols or len(cols) > 1 and kind not in ("unique", "not_null"):
            raise Fault("it names %d columns" % len(cols))
        col, typ = bt(cols[0]["name"]), cols[0]["type"]
        if kind == "freshness":
            return None
        if kind == "not_null":
            return " OR ".join(bt(x["name"]) + " IS NULL" for x in cols)
        if kind == "accepted_values":
            lits = [check_literal(v, typ) for v in c["values"] if v is not None]
            return "%s NOT IN (%s)" % (col, ", ".join(lits)) if lits else col + " IS NOT NULL"
        if kind == "range":
            parts = []
            if c.get("min") is not None:
                parts.append("%s < %s" % (col, check_literal(c["min"], typ)))
            if c.get("max") is not None:
                parts.append("%s > %s" % (col, check_literal(c["max"], typ)))
            if not parts:
                raise Fault("it has neither min nor max")
            return " OR ".join(parts)
        if kind == "matches":
            return "NOT (CAST(%s AS STRING) RLIKE %s)" % (col, literal(c["regex"]))
        if kind == "unique":
            keys = [bt(x["name"]) for x in cols]
            return "(%s) AND row_number() OVER (PARTITION BY %s ORDER BY __id) > 1" % (" AND ".join(k + " IS NOT NULL" for k in keys), ", ".join(keys))
        if kind == "relationship":
            step, _, key = c["to"].partition(".")
            if step not in self.tables or index(self.tables[step], key) < 0:
                raise Fault('"%s" is no column of a step that this one reads' % c["to"])
            return "relationship"
        raise Fault('there is no check "%s"' % kind)

    def flags(self, df, planned):
        """df with __b0, __b1, …: whether a row fails the check."""
        for i, c in enumerate(planned):
            name = "__b%d" % i
            if c["bad"] is None:
                df = df.withColumn(name, F.lit(False))
            elif c["bad"] == "sql":
                df = self.predicate(df, c["sql"], "__p").withColumn(name, ~F.col("__p")).drop("__p")
            elif c["bad"] == "relationship":
                step, _, key = c["to"].partition(".")
                there = self.spark.table(bt(step)).select(F.col(bt(key)).alias("__k")).where("__k IS NOT NULL").distinct().withColumn("__m", F.lit(True))
                col = F.col(bt(c["cols"][0]["name"]))
                df = df.join(there, col == F.col("__k"), "left").withColumn(name, col.isNotNull() & F.col("__m").isNull()).drop("__k", "__m")
            else:
                df = df.withColumn(name, F.expr(c["bad"]))
        return df

    def check(self, checks, schema, files, rows):
        if not checks:
            return
        df = self.nothing_or(files, schema).withColumn("__id", F.monotonically_increasing_id())
        planned = self.plan(schema, checks)
        flagged = self.flags(df, planned)
        counts = [0] * len(planned)
        by_row = [i for i, c in enumerate(planned) if c["bad"] is not None]
        if by_row and rows:
            got = flagged.agg(*[F.sum(F.when(F.col("__b%d" % i), 1).otherwise(0)).alias("n%d" % i) for i in by_row]).collect()[0]
            for i in by_row:
                counts[i] = got["n%d" % i] or 0
        faults = []
        for i, c in enumerate(planned):
            said = ""
            if c["kind"] == "rows":
                said = self.check_rows(c, rows)
            elif c["kind"] == "freshness":
                said = self.check_fresh(c, df)
            elif counts[i]:
                said = self.describe(flagged, "__b%d" % i, c, schema, counts[i])
            if not said:
                continue
            if c.get("severity") == "warn":
                self.warnings.append("check %s: %s" % (c["text"], said))
            else:
                faults.append("check %s: %s" % (c["text"], said))
        if faults:
            raise Fault("\n".join(faults), kind="rejected", name="Tidemill.CheckFailed",
                        hint="Look at the rows above; severity: warn lets the step pass, severity: reject moves such rows aside.")

    def nothing_or(self, files, schema):
        if not files:
            return self.s.nothing(schema)
        return fitted(self.s.parquet([self.dir + "/" + f["path"] for f in files], schema), schema)

    def check_rows(self, c, rows):
        for key, word in (("min", "least"), ("max", "most")):
            v = c.get(key)
            if v is not None and (rows < float(v) if key == "min" else rows > float(v)):
                return "the table has %d rows, at %s %s are wanted" % (rows, word, v)
        ratio = c.get("vs_previous") or []
        if len(ratio) != 2:
            return ""
        uri = self.s.latest(self.slot)
        if not uri:
            return ""  # the first one has nothing to be compared with
        m = self.s.manifest(uri)[1]
        if not float(ratio[0]) * m["rows"] <= rows <= float(ratio[1]) * m["rows"]:
            return "the table has %d rows, the previous one (%s) %d; between %s and %s times as many are wanted" % (rows, m["time"], m["rows"], short_number(ratio[0]), short_number(ratio[1]))
        return ""

    def check_fresh(self, c, df):
        within = parse_age(c["within"])
        at = parse_instant(c["at"]) if c.get("at") else datetime.datetime.now(datetime.timezone.utc)
        micros = df.agg(F.expr("unix_micros(max(CAST(%s AS TIMESTAMP)))" % bt(c["cols"][0]["name"])).alias("m")).collect()[0]["m"]
        if micros is None:
            return "there is no value"
        got = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(microseconds=micros)
        age = (at - got).total_seconds()
        if age > within:
            return "the newest is of %s, %s before %s" % (rfc3339(got), go_duration(age), rfc3339(at))
        return ""

    def describe(self, flagged, flag, c, schema, n):
        show = [x["name"] for x in c["cols"]]
        for x in schema:
            if len(show) < FIELDS_SHOWN and x["name"] not in show:
                show.append(x["name"])
        grid = [show]
        for row in flagged.where(F.col(flag)).select(*[F.expr(shown(bt(x), schema[index(schema, x)]["type"])).alias("c%d" % i) for i, x in enumerate(show)]).limit(ROWS_SHOWN).collect():
            grid.append(["NULL" if v is None else shorten(v) for v in row])
        return "%s not meet it\n%s" % (count_word(n), table(grid))

    # --- the end

    def cursor(self):
        name = (self.x or {}).get("cursor")
        if not name:
            return ""
        schema = self.tables["source"]
        i = index(schema, name)
        if i < 0:
            raise Fault("the extract has no column %s" % name, op="read the cursor")
        expr = "max(%s)" % bt(schema[i]["name"])
        if schema[i]["type"] == "timestamp":
            expr = "date_format(%s, \"yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'\")" % expr
        v = self.spark.table("source").agg(F.expr("CAST(%s AS STRING)" % expr).alias("v")).collect()[0]["v"]
        return v or ""

    def finish(self, schema, files, rows):
        """Writes rejects, output.json and, last, the manifest: then the dataset exists."""
        m = {"version": VERSION, "run": self.s.job["run"], "step": self.slot["step"], "attempt": self.s.job["attempt"],
             "time": rfc3339(parse_instant(self.slot["time"])), "created": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
             "files": files, "rows": rows, "rejected": self.rejected}
        if self.read:
            m["read"] = self.read
        if self.rejected:
            m["rejects"] = self.write_rejects()
            self.warnings.append("%d rejected and kept with their reasons in table %s_rejects%s" % (self.rejected, self.slot["step"], self.some()))
        m["schema"] = schema
        if self.inputs:
            m["inputs"] = self.inputs
        uri = self.dir + "/manifest.json"
        out = {"manifest": uri, "rows": rows, "bytes": sum(f["bytes"] for f in files), "schema_hash": schema_hash(schema)}
        for key, v in (("read", self.read), ("rejected", self.rejected), ("cursor", self.cursor()), ("warnings", self.warnings)):
            if v:
                out[key] = v
        self.files.write(self.dir + "/output.json", encode(out))
        self.files.write(uri, encode(m))
        return out

    def write_rejects(self):
        all = self.rejects[0]
        for df in self.rejects[1:]:
            all = all.unionByName(df)
        dir = self.dir + "/rejects"
        all.select("reason", "file", "line", "column", "text").coalesce(1).write.mode("overwrite").parquet(dir)
        out = []
        for uri, size in self.files.list(dir):
            n = self.files.parquet_rows(uri)
            if n:
                out.append({"path": "rejects/" + uri[len(dir) + 1:], "rows": n, "bytes": size})
        if sum(f["rows"] for f in out) != self.rejected:
            raise Fault("kept %d rejects of %d" % (sum(f["rows"] for f in out), self.rejected), kind="unknown", op="write the rejects")
        return out


def short_number(v):
    f = float(v)
    return str(int(f)) if f == int(f) else repr(f)


def check_literal(v, typ):
    """A value of a check as a constant of the column's type; a number stays one."""
    if isinstance(v, bool):
        return "CAST('%s' AS %s)" % (str(v).lower(), typ)
    if isinstance(v, (int, float, decimal.Decimal)):
        return str(v) if isinstance(v, int) else format(decimal.Decimal(str(v)), "f")
    if isinstance(v, str):
        return "CAST(%s AS %s)" % (literal(v), typ)
    raise Fault("%s is no text, number or truth value" % json.dumps(v, default=str))


def encode(v):
    return (json.dumps(v, ensure_ascii=False, indent=2, default=number) + "\n").encode("utf-8")


def number(v):
    if isinstance(v, decimal.Decimal):
        return float(v)
    raise TypeError(repr(v))


# ---------------------------------------------------------------- loads


class Load:
    """Writes a dataset's rows aside below the target's _tidemill/; who has the lease flips them."""

    def __init__(self, session, work):
        self.s, self.job = session, work["load"]

    def make(self):
        j, s = self.job, self.s
        uri, m, _ = s.manifest(j["from"])
        name = "%(pipeline)s.%(step)s.%(time)s" % j["load"] + ("-" + j["load"]["params"] if j["load"].get("params") else "")
        stage = "_tidemill/staging/%s/%s.%d" % (name, s.job["run"], s.job["attempt"])
        dir = j["to"].rstrip("/") + "/" + stage
        s.files.remove(dir)
        files = self.write(s.rows(uri, m), m, dir) if m["rows"] else []
        if sum(f["rows"] for f in files) != m["rows"]:
            raise Fault("wrote %d of %d rows" % (sum(f["rows"] for f in files), m["rows"]), kind="unknown", op="load into " + j["to"])
        s.files.write(dir + "/stage.json", encode({"version": VERSION, "load": j["load"], "run": s.job["run"], "attempt": s.job["attempt"], "rows": m["rows"], "files": files}))
        return {"to": j["to"], "rows": m["rows"], "files": len(files), "bytes": sum(f["bytes"] for f in files), "staged": stage}

    def write(self, df, m, dir):
        j, s = self.job, self.s
        parts = j.get("partition_by") or []
        for n in parts:
            if index(m["schema"], n) < 0:
                raise Fault("partition_by: the table has no column %s, but %s" % (n, names(m["schema"])), op="load into " + j["to"])
        rest = [c["name"] for c in m["schema"] if c["name"].lower() not in {p.lower() for p in parts}]
        if not rest:
            raise Fault("partition_by names every column, nothing is left for the files", op="load into " + j["to"])
        keys = [F.col(bt(p)).alias(p) for p in parts]
        if parts and df.select(*keys).distinct().limit(PARTITIONS + 1).count() > PARTITIONS:
            raise Fault("the rows have more than %d partitions" % PARTITIONS, op="load into " + j["to"], hint="Partition by something coarser, a day rather than an instant.")
        below = "/run=%s.%d" % (s.job["run"], s.job["attempt"]) if j.get("layout") == "run" else ""
        kind = j.get("format") or "parquet"
        if kind == "parquet":
            rows = storable(df.select(*[F.col(bt(c)) for c in rest], *keys))
        else:
            rows = df.select(*text_columns([f for f in df.schema.fields if f.name in rest], kind == "ndjson"), *keys)
        if parts:
            rows = rows.repartition(*[F.col(bt(p)) for p in parts])
        w = rows.write.mode("append")
        if parts:
            w = w.partitionBy(*parts)
        if kind == "parquet":
            w.parquet(dir + below)
        elif kind == "csv":
            w.options(header="true", quote='"', escape='"', nullValue="", emptyValue='""', ignoreLeadingWhiteSpace="false", ignoreTrailingWhiteSpace="false").csv(dir + below)
        else:
            w.text(dir + below)
        return self.described(dir, kind)

    def described(self, dir, kind):
        s, out = self.s, []
        for uri, size in s.files.list(dir, deep=True):
            if kind == "parquet":
                n = s.files.parquet_rows(uri)
            elif kind == "csv":
                n = s.spark.read.options(header="true", quote='"', escape='"', multiLine="true").csv(plain(uri)).count()
            else:
                n = s.spark.read.text(plain(uri)).count()
            if n == 0:
                s.files.remove(uri)
                continue
            out.append({"name": uri[len(dir) + 1:], "rows": n, "bytes": size})
        return out


# ---------------------------------------------------------------- the job


def fill(v, values):
    """The job with its places filled."""
    if isinstance(v, dict):
        if set(v) == {"$"}:
            return values[int(v["$"])]
        return {k: fill(x, values) for k, x in v.items()}
    if isinstance(v, list):
        return [fill(x, values) for x in v]
    return v


def explain(e):
    """An exception as a fault: ours as it is, Spark's in its own words."""
    if isinstance(e, Fault):
        return e.json()
    text = str(e)
    kind = type(e).__name__
    if kind in ("AnalysisException", "ParseException"):
        text = re.sub(r";?\s*\n'?(Project|Aggregate|Filter|Sort|GlobalLimit|Join|Union|SubqueryAlias)\b.*", "", text, flags=re.S)
        return Fault(text.strip(), op="read sql").json()
    java = getattr(e, "java_exception", None)
    lines = [x for x in text.splitlines() if x.strip()]
    if java is not None or kind in ("Py4JJavaError", "SparkException", "ArithmeticException", "NumberFormatException", "DateTimeException"):
        causes = [x for x in lines if x.startswith("Caused by: ") or re.match(r"^\[[A-Z_.]+\]", x) or "Exception: [" in x]
        text = re.sub(r"^(Caused by: )?[\w.$]+(Exception|Error): ", "", causes[-1] if causes else lines[0] if lines else kind)
    hint = ""
    if "OutOfMemoryError" in str(e):
        hint = "Give the driver more memory: conf: { spark.driver.memory: 4g }."
    known = re.search(r"\[([A-Z_]+)[A-Z_.]*\]", text)
    invalid = known and known.group(1) in ("DIVIDE_BY_ZERO", "CAST_INVALID_INPUT", "CAST_OVERFLOW", "ARITHMETIC_OVERFLOW", "INVALID_ARRAY_INDEX", "NUMERIC_VALUE_OUT_OF_RANGE", "CANNOT_PARSE_TIMESTAMP", "BINARY_ARITHMETIC_OVERFLOW", "INTERVAL_ARITHMETIC_OVERFLOW")
    return Fault(text, kind="invalid" if invalid else "unknown", hint=hint).json()


def name_attempt(job, step):
    """Makes a job that is prepared for any attempt that of a cluster's step, RUN/STATE[ITEM]/ATTEMPT."""
    attempt = step.rsplit("/", 1)[1]
    job["run"], job["attempt"] = step.split("/", 1)[0], int(attempt)
    job["out"] = "%s/runs/%s/output.json" % (job["store"].rstrip("/"), step)
    for work in job["work"]:
        if work.get("dir"):
            work["dir"] = work["dir"].replace("{attempt}", attempt)


def done_before(session, work):
    """What an earlier attempt of the run left whose dataset stands: its cluster was lost after it. Else None."""
    job = session.job
    if not work.get("dataset") or not work.get("dir"):
        return None
    folder, name = work["dir"].rsplit("/", 1)
    rest = name[len("%s.%d" % (job["run"], job["attempt"])):]
    for n in range(job["attempt"] - 1, 0, -1):
        dir = "%s/%s/%s.%d%s" % (session.store, folder, job["run"], n, rest)
        if session.files.exists(dir + "/manifest.json"):
            return session.files.read_json(dir + "/output.json")
    return None


def main(argv):
    p = argparse.ArgumentParser()
    p.add_argument("--job", required=True)
    p.add_argument("--values", default="[]")
    p.add_argument("--step", default="")
    args = p.parse_args(argv)
    spark = SparkSession.builder.appName("tidemill").getOrCreate()
    files = Files(spark)
    job = fill(files.read_json(args.job), json.loads(args.values, parse_float=decimal.Decimal))
    if job.get("version") != VERSION:
        sys.exit("a job of version %s, this runner does %d" % (job.get("version"), VERSION))
    if args.step:
        name_attempt(job, args.step)
    session = Session(spark, job)
    files.conf.set("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
    outputs, status = {}, 0
    try:
        for work in job["work"]:
            print("tidemill: %s" % work["name"], file=sys.stderr, flush=True)
            out = args.step and done_before(session, work) or (Dataset if work.get("dataset") else Load)(session, work).make()
            outputs[work["name"]] = out
            if out.get("manifest"):
                session.made[work["name"]] = out["manifest"]
        files.write(job["out"], encode({"outputs": outputs}))
    except Exception as e:
        traceback.print_exc()
        files.write(job["out"], encode({"outputs": outputs, "fault": dict(explain(e), work=work["name"])}))
        status = 1
    spark.stop()
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
