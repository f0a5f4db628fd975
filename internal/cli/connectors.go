package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tidemill/tidemill/internal/awsauth"
	duckfile "github.com/tidemill/tidemill/internal/connect/duckdb"
	"github.com/tidemill/tidemill/internal/connect/opensearch"
	"github.com/tidemill/tidemill/internal/connect/postgres"
	"github.com/tidemill/tidemill/internal/connect/rest"
	"github.com/tidemill/tidemill/internal/connect/s3"
	"github.com/tidemill/tidemill/internal/connect/search"
	"github.com/tidemill/tidemill/internal/connect/snowflake"
	"github.com/tidemill/tidemill/internal/flow"
)

// aboard is a type of connection, and how one is opened for reading: a flow.Source or flow.Pages.
type aboard struct {
	flow.Connector
	source func(ctx context.Context, l *lookup, name string, s flow.Settings) (any, error)
}

// built is the list of what is aboard.
func built() []aboard {
	return []aboard{
		{Connector: awsauth.Connector},
		{Connector: s3.Connector},
		{Connector: rest.Connector, source: openREST},
		{Connector: snowflake.Connector, source: openSnowflake},
		{Connector: postgres.Connector, source: openPostgres},
		{Connector: duckfile.Connector, source: openDuckDB},
		{Connector: opensearch.Connector},
		{Connector: opensearch.Elasticsearch},
		{Connector: search.Connector},
	}
}

// connectors are all types of connection. One that is known and not built yet is among them,
// so that its keys are checked and it is refused by name.
func connectors() []flow.Connector {
	var list []flow.Connector
	for _, b := range built() {
		list = append(list, b.Connector)
	}
	return append(list, planned()...)
}

// source opens a connection for reading.
func (l *lookup) source(ctx context.Context, name string) (any, error) {
	c, ok := l.connection(name)
	if !ok {
		return nil, usage("unknown connection %q", name)
	}
	for _, b := range built() {
		if b.Name != c.Type || b.source == nil {
			continue
		}
		s, err := l.settings(ctx, name, c)
		if err != nil {
			return nil, err
		}
		src, err := b.source(ctx, l, name, s)
		if err != nil {
			return nil, fmt.Errorf("connection %s: %w", name, err)
		}
		return src, nil
	}
	return nil, usage("connection %s is of type %s, which is not read", name, c.Type)
}

// openREST opens a web API, one for all steps of this process: they share its rate.
func openREST(_ context.Context, l *lookup, name string, s flow.Settings) (any, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if api, ok := l.apis[name]; ok {
		return api, nil
	}
	var settings rest.Settings
	if err := s.Into(&settings); err != nil {
		return nil, err
	}
	api, err := rest.New(settings, rest.Options{Now: l.a.now, AWS: func(ctx context.Context, name string) (awsauth.Config, error) {
		return l.aws(ctx, orElse(name, l.t.AWS.Value))
	}})
	if err != nil {
		return nil, err
	}
	l.apis[name] = api
	return api, nil
}

func openSnowflake(_ context.Context, l *lookup, _ string, s flow.Settings) (any, error) {
	var settings snowflake.Settings
	if err := s.Into(&settings); err != nil {
		return nil, err
	}
	dir, err := l.a.stateDir()
	if err != nil {
		return nil, err
	}
	temp := filepath.Join(dir, "tmp", l.a.owner())
	if err := os.MkdirAll(temp, 0o700); err != nil {
		return nil, err
	}
	return snowflake.New(settings, snowflake.Options{Temp: temp})
}

func openPostgres(_ context.Context, _ *lookup, _ string, s flow.Settings) (any, error) {
	var settings postgres.Settings
	if err := s.Into(&settings); err != nil {
		return nil, err
	}
	return postgres.New(settings)
}

func openDuckDB(_ context.Context, l *lookup, _ string, s flow.Settings) (any, error) {
	var settings duckfile.Settings
	if err := s.Into(&settings); err != nil {
		return nil, err
	}
	if !filepath.IsAbs(settings.Path) {
		settings.Path = filepath.Join(l.a.project.Dir, settings.Path)
	}
	return duckfile.New(settings.Path), nil
}

// planned are the types of connection that the file format knows and this program does
// not do yet.
func planned() []flow.Connector {
	list := []flow.Connector{
		flow.Define[smtpKeys]("smtp", "Mail.", flow.UseNotify),
		flow.Define[webhookKeys]("webhook", "A URL that is posted to.", flow.UseNotify),
		flow.Define[snsKeys]("sns", "An SNS topic.", flow.UseNotify),
	}
	for i := range list {
		list[i].Built = false
	}
	return list
}

type smtpKeys struct {
	Host     string      `key:"host" req:"1" doc:"The mail server."`
	Port     int         `key:"port" def:"587" doc:"Its port."`
	User     string      `key:"user" doc:"The user."`
	Password flow.Secret `key:"password" doc:"The password."`
	From     string      `key:"from" req:"1" doc:"The sender."`
	To       any         `key:"to" req:"1" doc:"The receivers."`
}

type webhookKeys struct {
	URL flow.Secret `key:"url" req:"1" doc:"The URL."`
}

type snsKeys struct {
	Topic string `key:"topic" req:"1" doc:"The topic's ARN."`
	AWS   string `key:"aws" doc:"The aws connection."`
}
