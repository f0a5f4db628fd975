package emr

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tidemill/tidemill/internal/sparkjob"
)

// submitArg makes the program the spark-submit of a step: its further arguments are the file
// of a submitConfig, and what spark-submit was given.
const submitArg = "__awslocal-spark-submit"

// submitConfig is what the spark-submit of a step must know of the cluster and this machine.
type submitConfig struct {
	Program    string            // the real spark-submit
	Defaults   map[string]string // the cluster's spark-defaults
	S3         string            // the folder with a folder for each bucket
	Cores      int
	Slots      string // the folder of the slots of memory, see acquire
	SlotCount  int
	Used       string // a file that is made, so that it is seen that Spark wrote into buckets
	Containers string // where the driver's logs are when it runs on the cluster
	App        string // prefix of the application's id, such as application_1700000000000
	First      int    // its number
}

// slotMB is how much memory a slot stands for.
const slotMB = 256

// slotPause is how long a driver that waits for memory waits before it looks again.
const slotPause = 100 * time.Millisecond

// overheadMB is what a driver needs beside its heap: the rest of Java, and Python.
const overheadMB = 384

// submit is the spark-submit of a step. It returns only if the driver does not run in its
// place.
func submit(args []string) int {
	var c submitConfig
	text, err := os.ReadFile(args[0])
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	code := 1
	if err == nil {
		code, err = c.run(args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "spark-submit:", err) //nolint:errcheck // there is no one else to tell
		return 1
	}
	return code
}

func (c *submitConfig) run(args []string) (int, error) {
	r := c.rewrite(args)
	if f, err := os.Create(c.Used); err != nil {
		return 1, err
	} else if err := f.Close(); err != nil {
		return 1, err
	}
	s3, err := c.s3()
	if err != nil {
		return 1, err
	}
	argv := append([]string{c.Program}, r.argv(c.Cores, s3)...)
	if err := c.acquire(r.memoryMB(c.Defaults)); err != nil {
		return 1, err
	}
	if r.cluster {
		return c.onCluster(argv)
	}
	return 1, syscall.Exec(c.Program, argv, os.Environ()) //nolint:gosec,forbidigo // what the step is given is the driver's
}

// s3 are the settings under which s3:// is the folder of the buckets that there are now.
func (c *submitConfig) s3() (map[string]string, error) {
	list, err := os.ReadDir(c.S3)
	if err != nil {
		return nil, err
	}
	var buckets []string
	for _, d := range list {
		if d.IsDir() && !strings.HasPrefix(d.Name(), ".") {
			buckets = append(buckets, d.Name())
		}
	}
	return sparkjob.LocalS3(c.S3, buckets), nil
}

// submitted is a command line of spark-submit, as far as it matters here.
type submitted struct {
	cluster bool // the driver is to run on the cluster
	conf    map[string]string
	driver  string // --driver-memory
	rest    []string
}

// valued are the options of spark-submit that a value follows; true: it is dropped, for it
// tells where on a cluster the driver and its executors are to run.
var valued = map[string]bool{
	"--master": true, "--deploy-mode": true, "--queue": true, "--num-executors": true, "--principal": true, "--keytab": true, "--proxy-user": true, "--total-executor-cores": true,
	"--executor-cores": true, "--executor-memory": true, "--driver-cores": true, "--class": false, "--conf": false, "-c": false, "--name": false, "--jars": false,
	"--packages": false, "--exclude-packages": false, "--repositories": false, "--py-files": false, "--files": false, "--archives": false, "--properties-file": false,
	"--driver-memory": false, "--driver-java-options": false, "--driver-library-path": false, "--driver-class-path": false, "--kill": false, "--status": false, "--remote": false,
}

// placed are settings that the options of the same meaning are dropped with.
var placed = map[string]bool{"spark.master": true, "spark.submit.deployMode": true}

// rewrite takes out of a command line what is of a cluster.
func (c *submitConfig) rewrite(args []string) *submitted {
	r := &submitted{conf: map[string]string{}, cluster: c.Defaults["spark.submit.deployMode"] == "cluster"}
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		dropped, known := valued[name]
		if !known {
			if !strings.HasPrefix(args[i], "-") {
				r.rest = append(r.rest, args[i:]...) // the program, and what is its own
				return r
			}
			r.rest = append(r.rest, args[i])
			continue
		}
		if !joined {
			if i+1 == len(args) {
				r.rest = append(r.rest, args[i])
				return r
			}
			i++
			value = args[i]
		}
		switch {
		case name == "--deploy-mode":
			r.cluster = value == "cluster"
		case name == "--conf" || name == "-c":
			k, v, _ := strings.Cut(value, "=")
			if k == "spark.submit.deployMode" {
				r.cluster = v == "cluster"
			}
			if !placed[k] {
				r.conf[k] = v
			}
		case dropped:
		default:
			if name == "--driver-memory" {
				r.driver = value
			}
			r.rest = append(r.rest, name, value)
		}
	}
	return r
}

// argv is the command line for this machine. What must be as it is here stands as --conf,
// which comes before every file of settings.
func (r *submitted) argv(cores int, s3 map[string]string) []string {
	conf := maps.Clone(r.conf)
	maps.Copy(conf, s3)
	maps.Copy(conf, map[string]string{"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1", "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"})
	out := []string{"--master", "local[" + strconv.Itoa(cores) + "]", "--deploy-mode", "client"}
	for _, k := range slices.Sorted(maps.Keys(conf)) {
		out = append(out, "--conf", k+"="+conf[k])
	}
	return append(out, r.rest...)
}

var memory = regexp.MustCompile(`^(\d+)([kmgt]?)b?$`)

// memoryMB is what the driver is given, from the first place that says it.
func (r *submitted) memoryMB(defaults map[string]string) int {
	for _, s := range []string{r.driver, r.conf["spark.driver.memory"], defaults["spark.driver.memory"], "1g"} {
		m := memory.FindStringSubmatch(strings.ToLower(strings.TrimSpace(s)))
		if m == nil {
			continue
		}
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			continue
		}
		return int(n*map[string]float64{"": 1, "k": 1.0 / 1024, "m": 1, "g": 1024, "t": 1024 * 1024}[m[2]]) + overheadMB
	}
	return 1024 + overheadMB
}

// acquire waits until there is memory. A slot is a lock on a file, which the driver's process
// inherits and the system lets go of at its end, whatever that is. Who waits holds the gate,
// so that drivers get their memory in turn and two never wait for each other.
func (c *submitConfig) acquire(mb int) error {
	gate, err := os.OpenFile(filepath.Join(c.Slots, "gate"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer gate.Close() //nolint:errcheck // a lock
	want := min((mb+slotMB-1)/slotMB, c.SlotCount)
	told := false
	tell := func() {
		if !told {
			fmt.Fprintf(os.Stderr, "spark-submit: waiting for %d MB of memory that other drivers hold\n", mb) //nolint:errcheck // a log
			told = true
		}
	}
	if !lock(gate) {
		tell()
		for !lock(gate) {
			pause(slotPause)
		}
	}
	held := map[int]bool{}
	for {
		for i := 0; i < c.SlotCount && len(held) < want; i++ {
			if held[i] {
				continue
			}
			f, err := os.OpenFile(filepath.Join(c.Slots, strconv.Itoa(i)), os.O_CREATE|os.O_RDWR, 0o600)
			if err != nil {
				return err
			}
			if !lock(f) {
				_ = f.Close() //nolint:errcheck // a lock
				continue
			}
			if err := inherit(f); err != nil {
				return err
			}
			held[i] = true
		}
		if len(held) == want {
			return nil
		}
		tell()
		pause(slotPause)
	}
}

func lock(f *os.File) bool { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil }

func pause(d time.Duration) { <-time.NewTimer(d).C }

// inherit leaves a copy of a file open in the program that takes our place.
func inherit(f *os.File) error {
	_, err := syscall.Dup(int(f.Fd()))
	return err
}

// onCluster runs the driver as YARN would in cluster mode: what it says goes into the
// container's logs, and of its end only whether it was a good one is told.
func (c *submitConfig) onCluster(argv []string) (int, error) {
	number := c.First
	var dir string
	for ; ; number++ {
		app := filepath.Join(c.Containers, fmt.Sprintf("%s_%04d", c.App, number))
		dir = filepath.Join(app, fmt.Sprintf("%s_%04d_01_000001", strings.Replace(c.App, "application", "container", 1), number))
		if err := os.MkdirAll(c.Containers, 0o700); err != nil {
			return 1, err
		}
		err := os.Mkdir(app, 0o700)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err = errors.Join(err, os.MkdirAll(dir, 0o700)); err != nil {
			return 1, err
		}
		break
	}
	id := fmt.Sprintf("%s_%04d", c.App, number)
	report := func(state, more string) {
		fmt.Fprintf(os.Stderr, "%s INFO Client: Application report for %s (state: %s)%s\n", time.Now().UTC().Format("06/01/02 15:04:05"), id, state, more) //nolint:errcheck // a log
	}
	stdout, err := os.Create(filepath.Join(dir, "stdout"))
	if err != nil {
		return 1, err
	}
	defer stdout.Close() //nolint:errcheck // a log
	stderr, err := os.Create(filepath.Join(dir, "stderr"))
	if err != nil {
		return 1, err
	}
	defer stderr.Close() //nolint:errcheck // a log
	report("ACCEPTED", "")
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:gosec // the driver
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	report("RUNNING", "")
	err = cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		report("FINISHED", "\n\t final status: SUCCEEDED")
		return 0, nil
	case errors.As(err, &exit):
		report("FINISHED", "\n\t final status: FAILED")
		fmt.Fprintf(os.Stderr, "Exception in thread \"main\" org.apache.spark.SparkException: Application %s finished with failed status\n", id) //nolint:errcheck // a log
		return 1, nil
	}
	return 1, err
}

// childSubmit is submit, if args ask for it.
func childSubmit(args []string) (code int, handled bool) {
	if len(args) < 2 || args[0] != submitArg {
		return 0, false
	}
	return submit(args[1:]), true
}
