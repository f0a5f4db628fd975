//go:build real

package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	"github.com/aws/aws-sdk-go-v2/service/glue/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/conform/parts"
)

// TestRealRegister loads days into an S3 server that is not ours and moves the partitions
// of a table in its Glue: to what was loaded last, and away where nothing is left.
func TestRealRegister(t *testing.T) {
	url := parts.Up(t)(parts.Moto(t.Context(), os.Getenv("TIDEMILL_CACHE")))
	cfg, err := awsauth.Load(t.Context(), awsauth.Settings{Endpoint: url})
	if err != nil {
		t.Fatal(err)
	}
	catalog := glue.NewFromConfig(cfg)
	if _, err := catalog.CreateDatabase(t.Context(), &glue.CreateDatabaseInput{DatabaseInput: &types.DatabaseInput{Name: aws.String("shop")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("lake")}); err != nil {
		t.Fatal(err)
	}
	for _, layout := range []string{"prefix", "run"} {
		t.Run(layout, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, map[string]string{
				"tidemill.yaml": fmt.Sprintf("project: shop\ntargets: { far: { endpoint: %q, store: s3://lake/store-%s } }\n", url, layout),
				"pipelines/p.yaml": `schedule: { cron: "0 6 * * *", start: 2017-11-01 }
params: { region: West }
steps:
  day:  { sql: "select {{ ds }} as order_date, {{ params.region }} as region, 42 as amount" }
  lake: { load: { from: day, to: s3://lake/` + layout + `, partition_by: [order_date, region], layout: ` + layout + `, register: { glue: shop.` + layout + ` } } }
`})
			want := func(values ...string) {
				t.Helper()
				got, err := catalog.GetPartitions(t.Context(), &glue.GetPartitionsInput{DatabaseName: aws.String("shop"), TableName: aws.String(layout)})
				if err != nil {
					t.Fatal(err)
				}
				var all []string
				for _, p := range got.Partitions {
					v, at := strings.Join(p.Values, "/"), aws.ToString(p.StorageDescriptor.Location)
					all = append(all, v)
					if !strings.HasPrefix(at, "s3://lake/"+layout+"/") || !strings.HasSuffix(at, "order_date="+p.Values[0]+"/region="+p.Values[1]) || strings.Contains(at, "run=") != (layout == "run") {
						t.Errorf("partition %s lies at %s", v, at)
					}
				}
				slices.Sort(all)
				if strings.Join(all, " ") != strings.Join(values, " ") {
					t.Errorf("partitions %v, want %v", all, values)
				}
			}
			mustRun(t, dir, "run", "p", "--target", "far", "--date", "2017-11-06")
			mustRun(t, dir, "run", "p", "--target", "far", "--date", "2017-11-07")
			want("2017-11-06/West", "2017-11-07/West")
			write(t, dir, map[string]string{"pipelines/p.yaml": strings.Replace(readText(t, dir, "pipelines/p.yaml"), "{{ params.region }}", "'East'", 1)})
			mustRun(t, dir, "run", "p", "--target", "far", "--date", "2017-11-06", "--again")
			want("2017-11-06/East", "2017-11-07/West")
		})
	}
}
