// Package glue keeps tables of the AWS Glue Data Catalog, which Athena, EMR and Redshift
// read. A partition's location moves in one call: its readers see all of a load or none.
package glue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	"github.com/aws/aws-sdk-go-v2/service/glue/types"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/flow"
)

// Catalog is the catalog of one account and region. It is safe for concurrent use.
type Catalog struct{ c *glue.Client }

// New makes a catalog; it calls nobody.
func New(cfg awsauth.Config) *Catalog { return &Catalog{glue.NewFromConfig(cfg)} }

var _ flow.Catalog = (*Catalog)(nil)

// reader is how Hive's descendants read a format.
type reader struct {
	input, output, serde string
	parameters           map[string]string // of the serde
	table                map[string]string // of the table
	texts                bool              // every column is a string
}

var readers = map[string]reader{
	"parquet": {"org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat", "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
		"org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe", map[string]string{"serialization.format": "1"}, map[string]string{"classification": "parquet"}, false},
	"csv": {"org.apache.hadoop.mapred.TextInputFormat", "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
		"org.apache.hadoop.hive.serde2.OpenCSVSerde", map[string]string{"separatorChar": ",", "quoteChar": `"`}, map[string]string{"classification": "csv", "skip.header.line.count": "1"}, true},
	"ndjson": {"org.apache.hadoop.mapred.TextInputFormat", "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
		"org.openx.data.jsonserde.JsonSerDe", nil, map[string]string{"classification": "json"}, false},
}

// Place is flow.Catalog's.
func (c *Catalog) Place(ctx context.Context, t flow.CatalogTable) error {
	database, name, ok := strings.Cut(t.Name, ".")
	if !ok || database == "" || name == "" || strings.Contains(name, ".") {
		return &flow.Error{Op: "register " + t.Name, Kind: flow.Invalid, Err: errors.New("that is no table of Glue's"), Hint: "Write DATABASE.TABLE."}
	}
	x := &placing{Catalog: c, t: t, database: database, name: name}
	if err := x.table(ctx); err != nil {
		return err
	}
	for _, p := range t.Partitions {
		if err := x.partition(ctx, p); err != nil {
			return err
		}
	}
	for _, values := range t.Gone {
		if err := x.drop(ctx, values); err != nil {
			return err
		}
	}
	return nil
}

type placing struct {
	*Catalog
	t              flow.CatalogTable
	database, name string
	found          types.StorageDescriptor // the table's
}

func (x *placing) fault(err error) error {
	var missing *types.EntityNotFoundException
	if errors.As(err, &missing) {
		return &flow.Error{Op: "register " + x.t.Name, Kind: flow.NotFound, Err: errors.New(missing.ErrorMessage()), Hint: "Create the database " + x.database + " in Glue, or correct register."}
	}
	return awsauth.Fault("register "+x.t.Name, "Glue", err)
}

// hive is a column in Hive's words, which are Spark's but for one.
func (x *placing) hive(s flow.Schema) []types.Column {
	out := make([]types.Column, len(s))
	for i, c := range s {
		word := strings.ReplaceAll(c.Type, "timestamp_ntz", "timestamp")
		if readers[x.t.Format].texts {
			word = "string"
		}
		out[i] = types.Column{Name: aws.String(strings.ToLower(c.Name)), Type: aws.String(word)}
	}
	return out
}

func (x *placing) storage(location string, columns []types.Column) *types.StorageDescriptor {
	r := readers[x.t.Format]
	return &types.StorageDescriptor{Columns: columns, Location: aws.String(location), InputFormat: aws.String(r.input), OutputFormat: aws.String(r.output),
		SerdeInfo: &types.SerDeInfo{SerializationLibrary: aws.String(r.serde), Parameters: r.parameters}}
}

// table makes the table, or adds columns it lacks and, where it has no partitions, moves it.
func (x *placing) table(ctx context.Context) error {
	if _, ok := readers[x.t.Format]; !ok {
		return &flow.Error{Op: "register " + x.t.Name, Kind: flow.Invalid, Err: fmt.Errorf("files of format %q cannot be registered", x.t.Format)}
	}
	columns, keys := x.hive(x.t.Schema), x.hive(x.t.PartitionBy)
	got, err := x.c.GetTable(ctx, &glue.GetTableInput{DatabaseName: &x.database, Name: &x.name})
	var missing *types.EntityNotFoundException
	if errors.As(err, &missing) {
		return x.create(ctx, columns, keys)
	}
	if err != nil {
		return x.fault(err)
	}
	t := got.Table
	if err := x.sameKeys(t.PartitionKeys, keys); err != nil {
		return err
	}
	x.found = *t.StorageDescriptor
	have := x.found.Columns
	for _, c := range columns {
		if !slices.ContainsFunc(have, func(h types.Column) bool { return aws.ToString(h.Name) == aws.ToString(c.Name) }) {
			have = append(have, c)
		}
	}
	moved := len(keys) == 0 && aws.ToString(x.found.Location) != x.t.Location
	if len(have) == len(x.found.Columns) && !moved {
		return nil
	}
	x.found.Columns = have
	if moved {
		x.found.Location = aws.String(x.t.Location)
	}
	_, err = x.c.UpdateTable(ctx, &glue.UpdateTableInput{DatabaseName: &x.database, TableInput: &types.TableInput{Name: &x.name, Description: t.Description, Owner: t.Owner,
		Parameters: t.Parameters, PartitionKeys: t.PartitionKeys, Retention: t.Retention, StorageDescriptor: &x.found, TableType: t.TableType}})
	return x.fault(err)
}

func (x *placing) sameKeys(have, want []types.Column) error {
	names := func(c []types.Column) string {
		var out []string
		for _, k := range c {
			out = append(out, aws.ToString(k.Name))
		}
		return strings.Join(out, ", ")
	}
	if names(have) == names(want) {
		return nil
	}
	return &flow.Error{Op: "register " + x.t.Name, Kind: flow.Invalid, Err: fmt.Errorf("the table is partitioned by (%s), the load by (%s)", names(have), names(want)), Hint: "Change partition_by, or register another table."}
}

func (x *placing) create(ctx context.Context, columns, keys []types.Column) error {
	x.found = *x.storage(x.t.Location, columns)
	parameters := map[string]string{"EXTERNAL": "TRUE"}
	for k, v := range readers[x.t.Format].table {
		parameters[k] = v
	}
	_, err := x.c.CreateTable(ctx, &glue.CreateTableInput{DatabaseName: &x.database, TableInput: &types.TableInput{Name: &x.name, TableType: aws.String("EXTERNAL_TABLE"),
		Parameters: parameters, PartitionKeys: keys, StorageDescriptor: &x.found}})
	var raced *types.AlreadyExistsException
	if errors.As(err, &raced) {
		return x.table(ctx)
	}
	return x.fault(err)
}

// partition moves a partition, or makes it.
func (x *placing) partition(ctx context.Context, p flow.CatalogPartition) error {
	if len(p.Values) != len(x.t.PartitionBy) {
		return &flow.Error{Op: "register " + x.t.Name, Kind: flow.Invalid, Err: fmt.Errorf("a partition of %d values in a table of %d keys", len(p.Values), len(x.t.PartitionBy))}
	}
	input := &types.PartitionInput{Values: p.Values, StorageDescriptor: x.storage(p.Location, x.hive(x.t.Schema))}
	got, err := x.c.GetPartition(ctx, &glue.GetPartitionInput{DatabaseName: &x.database, TableName: &x.name, PartitionValues: p.Values})
	var missing *types.EntityNotFoundException
	if errors.As(err, &missing) {
		_, err = x.c.CreatePartition(ctx, &glue.CreatePartitionInput{DatabaseName: &x.database, TableName: &x.name, PartitionInput: input})
		var raced *types.AlreadyExistsException
		if !errors.As(err, &raced) {
			return x.fault(err)
		}
	} else if err != nil {
		return x.fault(err)
	} else if d := got.Partition.StorageDescriptor; d != nil && aws.ToString(d.Location) == p.Location && len(d.Columns) == len(x.t.Schema) {
		return nil
	}
	_, err = x.c.UpdatePartition(ctx, &glue.UpdatePartitionInput{DatabaseName: &x.database, TableName: &x.name, PartitionValueList: p.Values, PartitionInput: input})
	return x.fault(err)
}

func (x *placing) drop(ctx context.Context, values []string) error {
	_, err := x.c.DeletePartition(ctx, &glue.DeletePartitionInput{DatabaseName: &x.database, TableName: &x.name, PartitionValues: values})
	var missing *types.EntityNotFoundException
	if errors.As(err, &missing) {
		return nil
	}
	return x.fault(err)
}
