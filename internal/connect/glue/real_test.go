//go:build real

package glue

import (
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	"github.com/aws/aws-sdk-go-v2/service/glue/types"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/conform/parts"
	"github.com/tidemill/tidemill/internal/flow"
)

// TestRealGlue holds the catalog against moto's Glue.
func TestRealGlue(t *testing.T) {
	url := parts.Up(t)(parts.Moto(t.Context(), os.Getenv("TIDEMILL_CACHE")))
	cfg, err := awsauth.Load(t.Context(), awsauth.Settings{Endpoint: url})
	if err != nil {
		t.Fatal(err)
	}
	c := New(cfg)
	table := flow.CatalogTable{Name: "shop.orders", Format: "parquet", Location: "s3://lake/orders",
		Schema:      flow.Schema{{Name: "id", Type: "bigint"}, {Name: "at", Type: "timestamp_ntz"}},
		PartitionBy: flow.Schema{{Name: "order_date", Type: "date"}},
		Partitions:  []flow.CatalogPartition{{Values: []string{"2017-11-06"}, Location: "s3://lake/orders/run=r1/order_date=2017-11-06"}}}
	if err := c.Place(t.Context(), table); flow.KindOf(err) != flow.NotFound || !strings.Contains(flow.HintOf(err), "Create the database shop") {
		t.Errorf("no database: %v (%s)", err, flow.HintOf(err))
	}
	if _, err := c.c.CreateDatabase(t.Context(), &glue.CreateDatabaseInput{DatabaseInput: &types.DatabaseInput{Name: aws.String("shop")}}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // to repeat it is harmless
		if err := c.Place(t.Context(), table); err != nil {
			t.Fatal(err)
		}
	}
	want := func(locations ...string) {
		t.Helper()
		got, err := c.c.GetPartitions(t.Context(), &glue.GetPartitionsInput{DatabaseName: aws.String("shop"), TableName: aws.String("orders")})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, p := range got.Partitions {
			all = append(all, p.Values[0]+" "+aws.ToString(p.StorageDescriptor.Location))
		}
		if strings.Join(all, "\n") != strings.Join(locations, "\n") {
			t.Errorf("partitions %v, want %v", all, locations)
		}
	}
	want("2017-11-06 s3://lake/orders/run=r1/order_date=2017-11-06")
	// A day is loaded again elsewhere, with a column more; another day is new.
	table.Schema = append(table.Schema, flow.Column{Name: "Amount", Type: "decimal(12,2)"})
	table.Partitions = []flow.CatalogPartition{{Values: []string{"2017-11-06"}, Location: "s3://lake/orders/run=r2/order_date=2017-11-06"}, {Values: []string{"2017-11-07"}, Location: "s3://lake/orders/run=r2/order_date=2017-11-07"}}
	if err := c.Place(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	want("2017-11-06 s3://lake/orders/run=r2/order_date=2017-11-06", "2017-11-07 s3://lake/orders/run=r2/order_date=2017-11-07")
	got, err := c.c.GetTable(t.Context(), &glue.GetTableInput{DatabaseName: aws.String("shop"), Name: aws.String("orders")})
	if err != nil {
		t.Fatal(err)
	}
	columns := ""
	for _, c := range got.Table.StorageDescriptor.Columns {
		columns += aws.ToString(c.Name) + " " + aws.ToString(c.Type) + ";"
	}
	if columns != "id bigint;at timestamp;amount decimal(12,2);" || aws.ToString(got.Table.PartitionKeys[0].Name) != "order_date" {
		t.Errorf("columns %s, keys %v", columns, got.Table.PartitionKeys)
	}
	table.Partitions, table.Gone = nil, [][]string{{"2017-11-06"}, {"2017-01-01"}}
	if err := c.Place(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	want("2017-11-07 s3://lake/orders/run=r2/order_date=2017-11-07")
	table.PartitionBy = nil
	if err := c.Place(t.Context(), table); flow.KindOf(err) != flow.Invalid || !strings.Contains(err.Error(), "partitioned by (order_date)") {
		t.Errorf("other keys: %v", err)
	}
	// A table without partitions moves itself.
	whole := flow.CatalogTable{Name: "shop.whole", Format: "csv", Schema: flow.Schema{{Name: "id", Type: "bigint"}}}
	for _, at := range []string{"s3://lake/whole/run=r1", "s3://lake/whole/run=r2"} {
		whole.Location = at
		if err := c.Place(t.Context(), whole); err != nil {
			t.Fatal(err)
		}
		got, err := c.c.GetTable(t.Context(), &glue.GetTableInput{DatabaseName: aws.String("shop"), Name: aws.String("whole")})
		if err != nil || aws.ToString(got.Table.StorageDescriptor.Location) != at {
			t.Errorf("the table lies at %s, %v", aws.ToString(got.Table.StorageDescriptor.Location), err)
		}
	}
}
