package emr

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/emr/types"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/sparkjob"
)

// Spark is the Spark that steps run on.
type Spark struct {
	Submit  string   // path of its spark-submit
	Env     []string // what it needs in its environment
	Version string   // empty if not known
}

// defaultMemoryMB is the memory for drivers where the machine's is not known.
const defaultMemoryMB = 4096

// provide makes the programs that a cluster has and this machine does not, in a folder that
// comes first in a step's PATH, and returns what they need in the environment.
func (w *worker) provide(ctx context.Context, l *logs, dir string, st *Step) (bin string, env []string, err error) {
	bin = filepath.Join(dir, ".bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		return "", nil, err
	}
	// Who runs tidemill local lends it no more than his own rights.
	if err := script(filepath.Join(bin, "sudo"), "while [ \"${1#-}\" != \"$1\" ]; do shift; done\nexec \"$@\"\n"); err != nil {
		return "", nil, err
	}
	spark, err := w.findSpark(ctx)
	if err != nil {
		return bin, nil, script(filepath.Join(bin, "spark-submit"), "cat >&2 <<'END'\nspark-submit: "+because(err)+"\nEND\nexit 127\n")
	}
	if v := w.sparkVersion(); v != "" && spark.Version != "" && v != spark.Version {
		l.say("WARN spark-submit is Spark %s, %s has %s", spark.Version, val(w.c.Request.ReleaseLabel), v)
	}
	program, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	defaults, env := settings(w.c.Request.Configurations)
	conf := filepath.Join(w.dir, "conf")
	soft := map[string]string{"spark.sql.shuffle.partitions": fmt.Sprint(2 * w.Service.c.Cores)}
	maps.Copy(soft, defaults)
	for k := range placed {
		delete(soft, k)
	}
	c := submitConfig{
		Program: spark.Submit, Defaults: defaults, S3: w.Service.c.Files.Root(), Cores: w.Service.c.Cores, Slots: filepath.Join(w.Service.c.Dir, "slots"),
		SlotCount: max(w.Service.c.MemoryMB/slotMB, 1), Used: filepath.Join(dir, ".spark"), Containers: filepath.Join(dir, "containers"),
		App: fmt.Sprintf("application_%d", w.c.Created.UnixMilli()), First: w.number(st),
	}
	text, err := json.Marshal(c)
	if err != nil {
		return "", nil, err
	}
	file := filepath.Join(dir, ".spark.json")
	for _, f := range []func() error{
		func() error { return os.MkdirAll(conf, 0o700) },
		func() error { return os.MkdirAll(c.Slots, 0o700) },
		func() error {
			return os.WriteFile(filepath.Join(conf, "spark-defaults.conf"), []byte(sparkjob.Submit{Conf: soft}.Properties()), 0o600)
		},
		func() error { return os.WriteFile(file, text, 0o600) },
		func() error {
			return script(filepath.Join(bin, "spark-submit"), "exec "+quote(program)+" "+submitArg+" "+quote(file)+" \"$@\"\n")
		},
	} {
		if err := f(); err != nil {
			return "", nil, err
		}
	}
	own := append([]string{"SPARK_CONF_DIR=" + conf, "SPARK_LOCAL_IP=127.0.0.1", "SPARK_LOCAL_DIRS=" + filepath.Join(w.dir, "tmp")}, spark.Env...)
	return bin, append(own, exported(env, w.env(bin, own...))...), nil
}

func (w *worker) findSpark(ctx context.Context) (*Spark, error) {
	if w.Service.c.Spark == nil {
		return nil, fmt.Errorf("no Spark is on this machine")
	}
	return w.Service.c.Spark(ctx, w.sparkVersion())
}

// because is an error with what to do about it, in a line.
func because(err error) string {
	if h := flow.HintOf(err); h != "" {
		return err.Error() + ". " + h
	}
	return err.Error()
}

func (w *worker) sparkVersion() string { return version(val(w.c.Request.ReleaseLabel), "Spark") }

// number is a number of the step's own, of which ids are made.
func (w *worker) number(st *Step) int { return slices.Index(w.steps, st) + 1 }

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func script(file, text string) error {
	return executable(file, strings.NewReader("#!/bin/sh\n"+text))
}

// exported are the variables that a cluster's configurations export, as the shell that reads
// them on a node makes them: $NAME in a value is a variable of known, or one exported before.
func exported(list, known []string) []string {
	now := map[string]string{}
	for _, kv := range known {
		k, v, _ := strings.Cut(kv, "=")
		now[k] = v
	}
	out := make([]string, len(list))
	for i, kv := range list {
		k, v, _ := strings.Cut(kv, "=")
		now[k] = os.Expand(v, func(name string) string { return now[name] })
		out[i] = k + "=" + now[k]
	}
	return out
}

// settings are what a cluster's configurations say to Spark: settings of its sessions, and
// variables of its environment. Hadoop's files become settings of Spark's of the same effect.
func settings(list []types.Configuration) (conf map[string]string, env []string) {
	conf = map[string]string{}
	for _, c := range list {
		switch val(c.Classification) {
		case "spark-defaults":
			maps.Copy(conf, c.Properties)
		case "core-site", "hdfs-site", "yarn-site", "mapred-site", "spark-hive-site", "hive-site":
			for k, v := range c.Properties {
				// The Glue catalog's class is on EMR's machines only.
				if k != "hive.metastore.client.factory.class" && !strings.HasPrefix(k, "fs.s3") {
					conf["spark.hadoop."+k] = v
				}
			}
		case "spark-env", "hadoop-env", "yarn-env":
			for _, e := range c.Configurations {
				if val(e.Classification) == "export" {
					for _, k := range slices.Sorted(maps.Keys(e.Properties)) {
						env = append(env, k+"="+e.Properties[k])
					}
				}
			}
		}
	}
	return conf, env
}
