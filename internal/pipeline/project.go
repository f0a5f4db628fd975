package pipeline

// Project is a folder with tidemill.yaml.
type Project struct {
	Pos         Pos                `yaml:"-"`
	Dir         string             `yaml:"-"` // absolute
	Name        Str                `yaml:"project" def:"the folder's name" doc:"The project's name."`
	Vars        Map[Any]           `yaml:"vars" doc:"Named values; {{ var.NAME }} in templates. Also --var NAME=VALUE and TIDEMILL_VAR_NAME."`
	Connections Map[Connection]    `yaml:"connections" doc:"Named systems with their credentials. Also TIDEMILL_CONN_NAME and AIRFLOW_CONN_NAME."`
	Targets     Map[*Target]       `yaml:"targets" doc:"Where runs happen. The target local (DuckDB, in this process) is built in."`
	Pools       Map[int]           `yaml:"pools" doc:"Names with the number of steps that may work at once."`
	Retention   *Retention         `yaml:"retention" doc:"How long the datasets of old runs are kept."`
	Notify      *Notify            `yaml:"notify" doc:"Who hears of what, for every pipeline."`
	Pipelines   []*Pipeline        `yaml:"-"`
	Texts       map[string]*source `yaml:"-"`
}

// Connection is a named system. Its keys are the connector's.
type Connection struct {
	Pos  Pos
	Type string
	Keys Map[Any]
}

// Target is where a run happens.
type Target struct {
	Pos          Pos             `yaml:"-"`
	Engine       string          `yaml:"engine" enum:"duckdb|spark|emr" def:"duckdb" doc:"What does the data work."`
	Orchestrator string          `yaml:"orchestrator" enum:"here|aws" def:"here" doc:"Who runs the machine: this program, or Step Functions."`
	Like         Str             `yaml:"like" doc:"A target whose keys these add to."`
	AWS          Str             `yaml:"aws" doc:"The aws connection for s3:// URIs and clusters."`
	Region       string          `yaml:"region" doc:"The AWS region."`
	Endpoint     string          `yaml:"endpoint" doc:"Where AWS is; a loopback address gets dummy keys."`
	Store        *Store          `yaml:"store" def:".tidemill" doc:"Where datasets lie: a folder or an s3:// prefix, or {url, kms_key}."`
	Limits       string          `yaml:"limits" enum:"aws|none" def:"none" doc:"Whether the quotas of AWS hold."`
	Vars         Map[Any]        `yaml:"vars" doc:"Variables that differ here."`
	Connections  Map[Connection] `yaml:"connections" doc:"Connections that differ here."`
	Memory       *Size           `yaml:"memory" def:"80% of the machine" doc:"DuckDB: the most memory."`
	Threads      int             `yaml:"threads" def:"all" doc:"DuckDB: the most threads."`
	Spark        *SparkTarget    `yaml:"spark" doc:"Which Spark, and its settings."`
	Cluster      *Cluster        `yaml:"cluster" doc:"The EMR cluster."`
}

// Store is where datasets lie.
type Store struct {
	Pos    Pos
	URL    string
	KMSKey string
}

// SparkTarget is a Spark of this machine.
type SparkTarget struct {
	Version string   `yaml:"version" doc:"The version."`
	Home    string   `yaml:"home" doc:"Its folder."`
	Conf    Map[Str] `yaml:"conf" doc:"Its settings."`
}

// Cluster is an EMR cluster that lives as long as the work.
type Cluster struct {
	Pos                   Pos        `yaml:"-"`
	Release               string     `yaml:"release" req:"1" doc:"EMR's release label, as in emr-7.13.0."`
	Primary               *Instances `yaml:"primary" doc:"The primary node."`
	Core                  *Instances `yaml:"core" doc:"The core nodes."`
	Task                  *Instances `yaml:"task" doc:"The task nodes."`
	Fleets                *Any       `yaml:"fleets" doc:"Instance fleets, in RunJobFlow's own words, instead of primary, core and task."`
	Roles                 *Roles     `yaml:"roles" doc:"IAM roles."`
	Subnets               Strs       `yaml:"subnets" doc:"Subnets."`
	SecurityConfiguration string     `yaml:"security_configuration" doc:"The name of a security configuration."`
	SecurityGroups        *Any       `yaml:"security_groups" doc:"Security groups, in RunJobFlow's own words."`
	Key                   string     `yaml:"key" doc:"The EC2 key pair's name."`
	Bootstrap             []Any      `yaml:"bootstrap" doc:"Bootstrap actions: a script's URI, or {path, args, name}."`
	Applications          Strs       `yaml:"applications" def:"Spark" doc:"Applications."`
	Configurations        *Any       `yaml:"configurations" doc:"Configurations, in EMR's own words."`
	ManagedScaling        *Any       `yaml:"managed_scaling" doc:"The managed scaling policy: {min, max}, or EMR's own words."`
	Steps                 *Parallel  `yaml:"steps" doc:"How many cluster steps work at once."`
	IdleTimeout           Duration   `yaml:"idle_timeout" def:"10m" doc:"After how long without work the cluster ends itself."`
	LogURI                string     `yaml:"log_uri" doc:"Where EMR writes its logs."`
	Tags                  Map[Str]   `yaml:"tags" doc:"Further tags."`
	Protected             bool       `yaml:"protected" def:"false" doc:"Termination protection."`
	Scope                 string     `yaml:"scope" enum:"run|backfill|named" def:"run" doc:"Who shares it: one run, the runs of a back-fill, or all that give its name."`
	Name                  string     `yaml:"name" doc:"scope named: the cluster's name."`
	MaxAge                Duration   `yaml:"max_age" doc:"scope named: how old it may grow."`
	Retry                 *int       `yaml:"retry" def:"1" doc:"How often a lost cluster is made again."`
}

// Parallel is a number under a name of its own.
type Parallel struct {
	Concurrency int `yaml:"concurrency" def:"the graph's width" doc:"The number."`
}

// Roles are IAM roles.
type Roles struct {
	Service  string `yaml:"service" def:"EMR_DefaultRole" doc:"EMR's own role."`
	Instance string `yaml:"instance" def:"EMR_EC2_DefaultRole" doc:"The nodes' instance profile."`
	Step     string `yaml:"step" doc:"The steps' runtime role."`
}

// Instances is a type, or {type, count, market, fallback}.
type Instances struct {
	Pos      Pos
	Type     string `yaml:"type" req:"1" doc:"The instance type."`
	Count    int    `yaml:"count" def:"1" doc:"How many."`
	Market   string `yaml:"market" enum:"spot|on_demand" def:"on_demand" doc:"How they are bought."`
	Fallback string `yaml:"fallback" enum:"on_demand" doc:"spot: what to buy when there is none."`
}
