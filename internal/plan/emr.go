package plan

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/pipeline"
	"github.com/tidemill/tidemill/internal/sparkjob"
)

// What the machine says for the engine spark becomes what EMR is told. A task spark is
//
//	STEP.prepare   work of our own: the job is decided here and laid into the store
//	STEP           addStep.sync: timeout T spark-submit …
//	STEP.result    what the step left
//
// and a script without outputs is the step alone. The name of the EMR step is the attempt's,
// RUN/STATE[ITEM]/ATTEMPT, and stands in the step's arguments too.

// onCluster rewrites the states of a level, which begin with start, and those below.
func (c *compiler) onCluster(states object, start string) (object, string) {
	entry := map[string]string{}
	var out object
	for _, m := range states {
		o, _ := m.value.(object)
		c.below(&o)
		switch o.get("Resource") {
		case resource("spark"):
			made := c.sparkStep(m.key, o)
			entry[m.key] = made[0].key
			out = append(out, made...)
		case resource("run"):
			out = append(out, c.runStep(m.key, o)...)
		case resource("exists"):
			out = append(out, member{m.key, c.headObject(o)})
		case resource("fetch"), resource("index"):
			if job, _ := o.get("Arguments").(object); !job.has("on") {
				out = append(out, member{m.key, o})
				continue
			}
			made := c.nodeStep(m.key, o)
			entry[m.key] = made[0].key
			out = append(out, made...)
		default:
			out = append(out, member{m.key, o})
		}
	}
	to := func(name any) any {
		if first, ok := entry[fmt.Sprint(name)]; ok {
			return first
		}
		return name
	}
	for _, m := range out {
		o := m.value.(object)
		if !isEntry(m.key, entry) {
			relink(o, to)
		}
	}
	return out, fmt.Sprint(to(start))
}

// isEntry tells whether a state was made to lead to the one that it came from.
func isEntry(name string, entry map[string]string) bool {
	for was, first := range entry {
		if first == name && was != name {
			return true
		}
	}
	return false
}

// relink changes where a state leads.
func relink(o object, to func(any) any) {
	for i := range o {
		switch o[i].key {
		case "Next", "Default":
			o[i].value = to(o[i].value)
		case "Choices", "Catch":
			list, _ := o[i].value.([]any)
			for _, x := range list {
				if x, ok := x.(object); ok {
					relink(x, to)
				}
			}
		}
	}
}

// below rewrites the states within a Parallel or Map.
func (c *compiler) below(o *object) {
	level := func(l object) object {
		states, _ := l.get("States").(object)
		states, start := c.onCluster(states, fmt.Sprint(l.get("StartAt")))
		l = slices.Clone(l)
		l.set("States", states)
		l.set("StartAt", start)
		return l
	}
	if branches, ok := o.get("Branches").([]any); ok {
		made := make([]any, len(branches))
		for i, b := range branches {
			made[i] = level(b.(object))
		}
		o.set("Branches", made)
	}
	if p, ok := o.get("ItemProcessor").(object); ok {
		was := c.mapped
		c.mapped = true
		o.set("ItemProcessor", level(p))
		c.mapped = was
	}
}

// stepName is the name of a state's step on the cluster, as JSONata.
func (c *compiler) stepName(state string) string {
	item := ""
	if c.mapped {
		item = "[' & $string($states.context.Map.Item.Index) & ']"
	}
	return "$run.run_id & " + "'/" + state + item + "/' & $string($states.context.State.RetryCount + 1)"
}

// attemptName is RUN.ATTEMPT, as it stands in paths; see dataset.AttemptDir.
func (c *compiler) attemptName() string {
	name := "$run.run_id & '.' & $string($states.context.State.RetryCount + 1)"
	if c.mapped {
		name += " & ($i:=$string($states.context.Map.Item.Index);'.' & $i & '-' & $substring($hash($i,'SHA-256'),0,8))"
	}
	return name
}

// sparkStep is a task spark on a cluster.
func (c *compiler) sparkStep(name string, o object) object {
	job, _ := o.get("Arguments").(object)
	var states object
	var argv []any
	outputs, _ := job.get("outputs").(object)
	if job.has("script") {
		argv = c.submit(job, outputs)
	} else {
		prepare := object{{"Type", "Task"}, {"Resource", resource("prepare")}, {"Arguments", append(slices.Clone(job), member{"state", name})}}
		if r, ok := o.get("Retry").([]any); ok {
			prepare.put("Retry", r)
		}
		copyCatch(&prepare, o)
		prepare.put("Output", keep(name, "prepare"))
		prepare.put("Next", name)
		states = append(states, member{name + ".prepare", prepare})
		argv = []any{"spark-submit", "--deploy-mode", "client"}
		for _, m := range c.sessionConf(job) {
			argv = append(argv, "--conf", prefixed(m.key+"=", m.value))
		}
		argv = append(argv, wrap("$states.input."+left(name, "prepare")+".runner"),
			"--job", wrap("$states.input."+left(name, "prepare")+".job"), "--step", wrap(c.stepName(name)))
	}
	step := c.addStep(name, o, argv)
	if job.has("script") && len(outputs) == 0 {
		step.put("Output", replaceResult(o, "{'exit':0}"))
		return append(states, member{name, leadsOn(step, o)})
	}
	step.put("Output", keep(name, "step"))
	step.put("Next", name+".result")
	read := object{{"Type", "Task"}, {"Resource", sdkAPI + "s3:getObject"}, {"Arguments", c.object("'runs/' & $states.input." + left(name, "step") + ".Step.Name & '/output.json'")}}
	parsed := "$parse($states.result.Body).outputs"
	if len(outputs) > 0 {
		read = object{{"Type", "Task"}, {"Resource", resource("written")}, {"Arguments", object{{"step", wrap("$states.input." + left(name, "step") + ".Step.Name")}, {"outputs", outputs}}}}
		parsed = result
	}
	read.put("Retry", []any{object{{"ErrorEquals", []any{"States.TaskFailed"}}, {"IntervalSeconds", 2}, {"MaxAttempts", 3}, {"BackoffRate", 2}}})
	copyCatch(&read, o)
	read.put("Output", replaceResult(o, parsed))
	return append(states, member{name, step}, member{name + ".result", leadsOn(read, o)})
}

// sessionConf are the settings of the runner's session: ours, then the target's.
func (c *compiler) sessionConf(job object) object {
	conf := object{}
	defaults := sparkjob.Defaults()
	for _, k := range sortedNames(defaults) {
		conf.set(k, defaults[k])
	}
	settings, _ := job.get("target_conf").(object)
	for _, m := range settings {
		conf.set(m.key, m.value)
	}
	return conf
}

// left is where a state beside a step left something in the input of the next.
func left(name, what string) string { return "`" + name + "." + what + "`" }

func keep(name, what string) string {
	v := "$states.result"
	if what == "step" {
		v = "{'Step':{'Name':$states.result.Step.Name}}"
	}
	return wrap("$merge([$states.input,{" + quote(name+"."+what) + ":" + v + "}])")
}

// replaceResult is a state's Output with another expression for what the task left.
func replaceResult(o object, value string) string {
	out, ok := o.get("Output").(string)
	if !ok {
		return wrap(value)
	}
	return strings.ReplaceAll(out, result, value)
}

// leadsOn leads on as the state did that this one stands for.
func leadsOn(o, was object) object {
	if was.has("Next") {
		o.put("Next", was.get("Next"))
	} else {
		o.put("End", true)
	}
	return o
}

func copyCatch(o *object, was object) {
	if list, ok := was.get("Catch").([]any); ok {
		o.put("Catch", list)
	}
}

// waits are a state's retriers for an input that may be late.
func waits(o object) []any { return retriersOf(o, true) }

// retriersOf sorts a state's retriers into those of waiting and the others, which on a
// cluster repeat whatever failed: from outside nobody can tell a lost machine from a fault.
func retriersOf(o object, waiting bool) []any {
	var out []any
	list, _ := o.get("Retry").([]any)
	for _, x := range list {
		r, _ := x.(object)
		names := fmt.Sprint(r.get("ErrorEquals"))
		if names == "[Tidemill.NotFound]" != waiting {
			continue
		}
		if !waiting && names == fmt.Sprint(flow.Retriable()) {
			r = slices.Clone(r)
			r.set("ErrorEquals", []any{"States.TaskFailed"})
		}
		out = append(out, r)
	}
	return out
}

// addStep is a program as a step of the cluster, bounded there.
func (c *compiler) addStep(name string, was object, argv []any) object {
	limit := seconds(defaultTimeout)
	if t, ok := was.get("TimeoutSeconds").(int); ok {
		limit = t
	}
	args := append([]any{"timeout", "-k", "60", fmt.Sprint(limit)}, argv...)
	a := object{{"ClusterId", wrap("$cluster")}}
	if r := c.t.Cluster.Roles; r != nil {
		a.putSome("ExecutionRoleArn", r.Step)
	}
	a.put("Step", object{{"Name", wrap(c.stepName(name))}, {"ActionOnFailure", "CONTINUE"}, {"HadoopJarStep", object{{"Jar", "command-runner.jar"}, {"Args", args}}}})
	o := object{{"Type", "Task"}, {"Resource", emrAPI + "addStep.sync"}, {"Arguments", a}}
	if t := was.get("TimeoutSeconds"); t != nil {
		o.put("TimeoutSeconds", t)
	}
	o.putSome("Retry", retriersOf(was, false))
	copyCatch(&o, was)
	return o
}

// submit is the command line of a script.
func (c *compiler) submit(job, outputs object) []any {
	argv := []any{"spark-submit", "--deploy-mode", "client"}
	conf := object{}
	for _, key := range []string{"target_conf", "conf"} {
		settings, _ := job.get(key).(object)
		for _, m := range settings {
			conf.set(m.key, m.value)
		}
	}
	for _, m := range conf {
		argv = append(argv, "--conf", prefixed(m.key+"=", m.value))
	}
	for _, x := range []struct{ flag, key string }{{"--py-files", "py_files"}, {"--jars", "jars"}, {"--packages", "packages"}} {
		list, _ := job.get(x.key).([]any)
		if len(list) > 0 {
			if x.key != "packages" {
				list = c.onStore(list)
			}
			argv = append(argv, x.flag, joined(list))
		}
	}
	if secrets, _ := job.get("secrets").(object); len(secrets) > 0 {
		argv = append(c.withSecrets(secrets), argv...)
	}
	argv = append(argv, c.onStore([]any{job.get("script")})[0])
	args, _ := job.get("args").([]any)
	for _, a := range args {
		argv = append(argv, c.outputURIs(a, outputs))
	}
	return argv
}

// nodeCommand begins the command line of tidemill-node, which lies in the home of a step's user.
var nodeCommand = []any{"bash", "-c", `exec "$HOME/tidemill-node" "$@"`, "tidemill-node"}

// withSecrets starts a program by tidemill-node, which reads secrets with the role of the
// node and hands them on in the environment.
func (c *compiler) withSecrets(secrets object) []any {
	argv := append(slices.Clone(nodeCommand), "exec")
	for _, m := range secrets {
		if r, ok := c.secretRef(fmt.Sprint(m.value)); ok {
			argv = append(argv, "--secret", m.key+"="+r.Store+":"+r.Name)
		}
	}
	return append(argv, "--")
}

// secretRef is what the field CONNECTION.FIELD refers to, if that is one secret that a node
// can read.
func (c *compiler) secretRef(name string) (flow.SecretRef, bool) {
	connection, field, _ := strings.Cut(name, ".")
	conn, ok := c.t.Connections.Get(connection)
	if !ok {
		conn, _ = c.project.Connections.Get(connection)
	}
	var v pipeline.Any
	keys := conn.Keys
	for part := range strings.SplitSeq(field, ".") {
		v, _ = keys.Get(part)
		keys, _ = v.Value.(pipeline.Map[pipeline.Any])
	}
	text, _ := v.Constant()
	refs, whole := flow.SecretRefs(fmt.Sprint(text))
	if !whole || !refs[0].OnCluster() {
		return flow.SecretRef{}, false
	}
	return refs[0], true
}

// needsNode tells whether the cluster is to have the program tidemill-node.
func (c *compiler) needsNode() bool {
	for _, e := range c.pl.Steps {
		s := e.Value
		if c.includes(s.Key) && (s.Spark != nil && len(s.Spark.Secrets) > 0 || c.fetchesThere(s) || c.indexesThere(s)) {
			return true
		}
	}
	return false
}

// arm tells whether instances of a type have AWS's own processors, as in m6g.
var arm = regexp.MustCompile(`^[a-z]+\d+g`)

// nodeProgram stages tidemill-node and returns where it lies.
func (c *compiler) nodeProgram() string {
	name := "tidemill-node-linux-amd64"
	if p := c.t.Cluster.Primary; p != nil && arm.MatchString(p.Type) {
		name = "tidemill-node-linux-arm64"
	}
	hash := "none"
	if c.options.Node != nil {
		var err error
		if hash, err = c.options.Node(name); err != nil {
			c.fault(c.t.Cluster.Pos, "make node builds it", "target %q: a step of %s needs the program %s on the cluster: %s", c.target, c.pl.Name.Value, name, err)
		}
	}
	c.files[name] = hash
	return c.storeURI() + "/files/" + hash + "/" + name
}

// prefixed puts a text before a value that may be an expression.
func prefixed(prefix string, v any) string {
	text := fmt.Sprint(v)
	if e, ok := expression(text); ok {
		return wrap(quote(prefix) + " & (" + e + ")")
	}
	return prefix + text
}

func expression(text string) (string, bool) {
	e, ok := strings.CutPrefix(text, "{% ")
	return strings.TrimSuffix(e, " %}"), ok
}

func joined(list []any) string {
	if !slices.ContainsFunc(list, func(v any) bool { _, is := expression(fmt.Sprint(v)); return is }) {
		texts := make([]string, len(list))
		for i, v := range list {
			texts[i] = fmt.Sprint(v)
		}
		return strings.Join(texts, ",")
	}
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i] = quote(fmt.Sprint(v))
		if e, ok := expression(fmt.Sprint(v)); ok {
			parts[i] = "(" + e + ")"
		}
	}
	return wrap("$join([" + strings.Join(parts, ",") + "],',')")
}

// outputURIs puts the folders of a script's outputs into an argument.
func (c *compiler) outputURIs(arg any, outputs object) any {
	text := fmt.Sprint(arg)
	for _, m := range outputs {
		mark := flow.OutputURI(m.key)
		if !strings.Contains(text, mark) {
			continue
		}
		slot, _ := m.value.(object).get("slot").(object)
		uri := quote(c.storeURI()+"/data/") + " & " + slotDir(slot) + " & '/' & " + c.attemptName() + " & '/'"
		if e, ok := expression(text); ok {
			text = wrap("$replace(" + e + "," + quote(mark) + "," + uri + ")")
		} else {
			text = wrap("$replace(" + quote(text) + "," + quote(mark) + "," + uri + ")")
		}
	}
	return text
}

// slotDir is a slot's folder as JSONata; see flow.Slot.
func slotDir(slot object) string {
	part := func(key string) string {
		if e, ok := expression(fmt.Sprint(slot.get(key))); ok {
			return "(" + e + ")"
		}
		return quote(fmt.Sprint(slot.get(key)))
	}
	return part("pipeline") + " & '/' & " + part("step") + " & '/' & " + part("time") + " & ($p:=" + part("params") + ";$p and $p!=''?'-' & $p:'')"
}

// object names an object of the store as S3's calls do; key is JSONata.
func (c *compiler) object(key string) object {
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(c.storeURI(), "s3://"), "/")
	if prefix != "" {
		key = quote(prefix+"/") + " & " + key
	}
	return object{{"Bucket", bucket}, {"Key", wrap(key)}}
}

// onStore are files as the cluster finds them: those of the project are staged.
func (c *compiler) onStore(files []any) []any {
	out := make([]any, len(files))
	for i, f := range files {
		text := fmt.Sprint(f)
		if e, ok := expression(text); ok {
			if !strings.HasPrefix(e, "'s3://") && !strings.HasPrefix(e, `"s3://`) && !strings.Contains(e, "'s3://'") {
				c.fault(c.pl.Pos, "begin it with s3://, or name a file of the project without {{ … }}", "%s: on a cluster it has to be known where %s lies", c.pl.Name.Value, e)
			}
			out[i] = f
			continue
		}
		out[i] = c.stagedFile(text, c.placeOf(text))
	}
	return out
}

// placeOf is where the pipeline names a file of a script.
func (c *compiler) placeOf(name string) pipeline.Pos {
	for _, e := range c.pl.Steps {
		k := e.Value.Spark
		if k == nil {
			continue
		}
		for _, t := range slices.Concat([]pipeline.Template{k.Script}, k.PyFiles, k.Jars) {
			if text, ok := c.constant(&t); ok && text == name {
				return t.Pos
			}
		}
	}
	return c.pl.Pos
}

// fileURI is a file of the target as the cluster finds it.
func (c *compiler) fileURI(t *pipeline.Template, pos pipeline.Pos) any {
	text, ok := c.constant(t)
	if !ok {
		c.fault(pos, "", "target %q: {{ … }} cannot stand in the path of a bootstrap action", c.target)
		return nil
	}
	return c.stagedFile(text, pos)
}

// stagedFile is where a file lies: a URI, or a file of the project under its content's hash.
func (c *compiler) stagedFile(name string, pos pipeline.Pos) string {
	if strings.Contains(name, "://") {
		return name
	}
	if c.options.File == nil {
		return c.storeURI() + "/files/" + path.Base(name)
	}
	hash, err := c.options.File(name)
	if err != nil {
		c.fault(pos, "it is staged for the cluster when the run begins", "%s: %s: %s", c.pl.Name.Value, name, err)
	}
	c.files[name] = hash
	return c.storeURI() + "/files/" + hash + "/" + path.Base(name)
}

// stage is the state that lays the files of the project into the store.
func (c *compiler) stage(to string) object {
	var files []any
	for _, name := range sortedNames(c.files) {
		files = append(files, object{{"file", name}, {"hash", c.files[name]}, {"to", c.storeURI() + "/files/" + c.files[name] + "/" + path.Base(name)}})
	}
	return object{{"Type", "Task"}, {"Resource", resource("stage")}, {"Arguments", object{{"files", files}}},
		{"Retry", []any{object{{"ErrorEquals", flow.Retriable()}, {"IntervalSeconds", 2}, {"MaxAttempts", 5}, {"BackoffRate", 2}}}},
		{"Output", wrap("$states.input")}, {"Next", to}}
}

func sortedNames(m map[string]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// runStep is a program on the cluster.
func (c *compiler) runStep(name string, o object) object {
	job, _ := o.get("Arguments").(object)
	argv, _ := job.get("argv").([]any)
	if cwd := job.get("cwd"); cwd != nil {
		argv = append([]any{"env", "-C", cwd}, argv...)
	}
	if env, _ := job.get("env").(object); len(env) > 0 {
		pairs := []any{"env"}
		for _, m := range env {
			pairs = append(pairs, prefixed(m.key+"=", m.value))
		}
		argv = append(pairs, argv...)
	}
	step := c.addStep(name, o, argv)
	step.put("Output", replaceResult(o, "{'exit':0}"))
	return object{{name, leadsOn(step, o)}}
}

// headObject is exists for one object of S3; anything else is looked for here.
func (c *compiler) headObject(o object) object {
	job, _ := o.get("Arguments").(object)
	uri := fmt.Sprint(job.get("uri"))
	var bucket, key any
	e, is := expression(uri)
	plain := !strings.ContainsAny(uri, "*?") && !strings.HasSuffix(uri, "/")
	switch {
	case is && plain && (strings.HasPrefix(e, "'s3://") || strings.HasPrefix(e, `"s3://`)):
		bucket, key = wrap("$substringBefore($substringAfter("+e+",'s3://'),'/')"), wrap("$substringAfter($substringAfter("+e+",'s3://'),'/')")
	case !is && plain && strings.HasPrefix(uri, "s3://"):
		b, k, _ := strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
		bucket, key, e = b, k, quote(uri)
	default:
		return o
	}
	out := slices.Clone(o)
	out.set("Resource", sdkAPI+"s3:headObject")
	out.set("Arguments", object{{"Bucket", bucket}, {"Key", key}})
	out.set("Output", replaceResult(o, "{'uri':"+e+",'bytes':$states.result.ContentLength,'etag':$states.result.ETag}"))
	if w := waits(o); len(w) > 0 {
		late := slices.Clone(w[0].(object))
		late.set("ErrorEquals", []any{"S3.NoSuchKeyException"})
		out.set("Retry", append([]any{late}, retriersOf(o, false)...))
	}
	return out
}

// refuseOnCluster names what a target on EMR cannot have.
func (c *compiler) refuseOnCluster() {
	c.storeURI()
	for _, e := range c.pl.Steps {
		s := e.Value
		if s.Spark != nil {
			for _, k := range s.Spark.Conf {
				if v, ok := c.constant(&k.Value); k.Key == "spark.submit.deployMode" && (!ok || v != "client") {
					c.fault(k.Pos, "leave it out", "step %q: the driver has to be the step's own process, which is bounded on the cluster: deploy mode cluster is refused", s.Key)
				}
			}
			for _, x := range s.Spark.Secrets {
				c.refuseSecret(s.Key, x.Value)
			}
		}
		if x := s.Extract; x != nil && !pipeline.IsConnection(x.From.Raw) && x.Dataset.Value == "" {
			c.refusePath(s.Key, "reads", &x.From)
		}
		c.refuseThere(s)
		if l := s.Load; l != nil && !pipeline.IsConnection(l.To.Raw) {
			c.refusePath(s.Key, "writes", &l.To)
		}
		c.refuseRaw(s)
	}
}

// refusePath refuses a path that a cluster cannot reach.
func (c *compiler) refusePath(step, does string, t *pipeline.Template) {
	parts := c.fold(t)
	if len(parts) > 0 && parts[0].Expr == nil && !strings.HasPrefix(parts[0].Text, "s3://") {
		c.fault(t.Pos, "a step copy brings files of this machine into S3", "step %q %s %s, which a cluster does not reach", step, does, t.Raw)
	}
}

// refuseRaw refuses a raw state that makes a cluster which does not end by itself.
func (c *compiler) refuseRaw(s *pipeline.Step) {
	if s.State == nil {
		return
	}
	m, _ := s.State.Value.(pipeline.Map[pipeline.Any])
	r, _ := m.Get("Resource")
	t, _ := r.Value.(*pipeline.Template)
	if t == nil || !strings.HasPrefix(t.Raw, emrAPI+"createCluster") {
		return
	}
	a, _ := m.Get("Arguments")
	args, isMap := a.Value.(pipeline.Map[pipeline.Any])
	if _, ok := args.Get("AutoTerminationPolicy"); isMap && !ok {
		c.fault(s.State.Pos, "as in AutoTerminationPolicy: { IdleTimeout: 600 }", "step %q: a cluster without AutoTerminationPolicy does not end by itself", s.Key)
	}
}

// refuseSecret wants a secret that can be read on the cluster with the instance's role.
func (c *compiler) refuseSecret(step string, name pipeline.Str) {
	connection, _, _ := strings.Cut(name.Value, ".")
	_, ok := c.t.Connections.Get(connection)
	if !ok {
		_, ok = c.project.Connections.Get(connection)
	}
	if !ok {
		c.fault(name.Pos, pipeline.Nearest(connection, c.project.Connections.Keys()), "step %q: unknown connection %q", step, connection)
		return
	}
	if _, ok := c.secretRef(name.Value); !ok {
		c.fault(name.Pos, "put it into Secrets Manager and write ${secretsmanager:NAME}",
			"step %q: %s is not to be had on a cluster: only ${secretsmanager:…} and ${ssm:…} are", step, name.Value)
	}
}
