// Package awsauth makes the configuration that AWS clients are built from: region,
// credentials, endpoint, how requests are repeated; and it says in our words what AWS
// answered when a call fails.
package awsauth

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/tidemill/tidemill/internal/flow"
)

// Config is what clients of AWS services are built from.
type Config = aws.Config

// Settings are the keys of a connection of type aws. All are optional: nothing is the
// SDK's own chain (environment, shared files, container, instance).
type Settings struct {
	Region       string      `key:"region" doc:"AWS region, such as us-east-1; default: the SDK's chain"`
	Profile      string      `key:"profile" doc:"profile of the shared configuration files"`
	AccessKey    string      `key:"access_key" doc:"access key id; with secret_key, instead of profile"`
	SecretKey    flow.Secret `key:"secret_key" doc:"secret access key"`
	SessionToken flow.Secret `key:"session_token" doc:"session token of temporary keys"`
	RoleARN      string      `key:"role_arn" doc:"role to assume with these credentials"`
	ExternalID   string      `key:"external_id" doc:"external id that the role's trust policy asks for"`
	Endpoint     string      `key:"endpoint" doc:"URL that stands for all of AWS, such as that of tidemill local"`
}

// Connector describes connections of type aws.
var Connector = flow.Define[Settings]("aws", "An AWS account: region, credentials, a role to assume.", flow.UseAWS)

// The keys and the region that a loopback endpoint gets where none are given.
const (
	LocalKey    = "test"
	LocalRegion = "us-east-1"
)

// sessionName is what AWS's logs show for a role that was assumed here.
const sessionName = "tidemill"

// Load makes a configuration. It calls nobody: credentials are fetched, and fetched again
// before they end, when a request is signed. With a loopback endpoint neither the
// environment nor files of the user's are read.
func Load(ctx context.Context, s Settings) (Config, error) {
	if err := s.check(); err != nil {
		return Config{}, err
	}
	cfg, err := s.base(ctx)
	if err != nil {
		return Config{}, err
	}
	local := Loopback(s.Endpoint)
	cfg.Retryer = func() aws.Retryer { return newRetryer(local) }
	if s.RoleARN != "" {
		role := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), s.RoleARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = sessionName
			if s.ExternalID != "" {
				o.ExternalID = aws.String(s.ExternalID)
			}
		})
		cfg.Credentials = aws.NewCredentialsCache(role)
	}
	return cfg, nil
}

// check finds keys that do not go together.
func (s Settings) check() error {
	fault := func(text, hint string) error {
		return &flow.Error{Op: "configure aws", Kind: flow.Invalid, Err: errors.New(text), Hint: hint}
	}
	switch {
	case (s.AccessKey == "") != s.SecretKey.IsZero():
		return fault("access_key and secret_key go together", "give both, or neither and let a profile or the SDK's chain decide")
	case s.AccessKey == "" && !s.SessionToken.IsZero():
		return fault("session_token needs access_key and secret_key", "give all three")
	case s.AccessKey != "" && s.Profile != "":
		return fault("both profile and access_key are given", "remove one of them")
	case s.ExternalID != "" && s.RoleARN == "":
		return fault("external_id needs role_arn", "add role_arn, or remove external_id")
	case s.RoleARN != "" && !strings.HasPrefix(s.RoleARN, "arn:"):
		return fault("role_arn "+s.RoleARN+" is no ARN", "write it like arn:aws:iam::123456789012:role/etl")
	}
	if s.Endpoint != "" {
		u, err := url.Parse(s.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fault("endpoint "+s.Endpoint+" is no URL", "write it like http://127.0.0.1:4566")
		}
	}
	return nil
}

// base is the configuration before a role is assumed.
func (s Settings) base(ctx context.Context) (Config, error) {
	var static aws.CredentialsProvider
	if s.AccessKey != "" {
		static = credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey.Reveal(), s.SessionToken.Reveal())
	}
	if Loopback(s.Endpoint) {
		cfg := *aws.NewConfig()
		cfg.Region, cfg.BaseEndpoint, cfg.Credentials = s.Region, aws.String(s.Endpoint), static
		if cfg.Region == "" {
			cfg.Region = LocalRegion
		}
		if static == nil {
			cfg.Credentials = credentials.NewStaticCredentialsProvider(LocalKey, LocalKey, "")
		}
		return cfg, nil
	}
	var opts []func(*config.LoadOptions) error
	if s.Region != "" {
		opts = append(opts, config.WithRegion(s.Region))
	}
	if s.Profile != "" {
		opts = append(opts, config.WithSharedConfigProfile(s.Profile))
	}
	if static != nil {
		opts = append(opts, config.WithCredentialsProvider(static))
	}
	if s.Endpoint != "" {
		opts = append(opts, config.WithBaseEndpoint(s.Endpoint))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		e := &flow.Error{Op: "configure aws", Kind: flow.Invalid, Err: err, Hint: "look at ~/.aws/config and ~/.aws/credentials"}
		var missing config.SharedConfigProfileNotExistError
		if errors.As(err, &missing) {
			e.Kind, e.Err, e.Hint = flow.NotFound, errors.New("no profile "+s.Profile), "run `aws configure list-profiles` for those there are"
		}
		if k := flow.KindOf(err); k == flow.Canceled || k == flow.Timeout {
			e.Kind, e.Hint = k, ""
		}
		return Config{}, e
	}
	if cfg.Region == "" {
		return Config{}, &flow.Error{Op: "configure aws", Kind: flow.Invalid, Err: errors.New("no region"), Hint: "set region in the target or its aws connection, or export AWS_REGION"}
	}
	return cfg, nil
}

// Loopback tells whether an endpoint is on this machine.
func Loopback(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || strings.HasSuffix(u.Hostname(), ".localhost") || ip != nil && ip.IsLoopback()
}

// Test asks AWS who we are.
func Test(ctx context.Context, cfg Config) (arn string, err error) {
	out, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", Fault("ask AWS who we are", "Sts", err)
	}
	return aws.ToString(out.Arn), nil
}
