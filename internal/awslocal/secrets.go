package awslocal

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/awslocal/awsjson"
	"github.com/tidemill/tidemill/internal/flow"
)

// secrets is the little of Secrets Manager and of Systems Manager's parameters that programs
// on a cluster need. What is kept lies in one file that only its owner reads.
type secrets struct {
	file string
	now  func() time.Time
	mu   sync.Mutex
	kept map[string]*secret // by service, region and name
}

// secret is one secret or parameter.
type secret struct {
	Name, ARN, Kind string
	Text            *string
	Binary          *string // in base64
	VersionID       string
	Version         int64
	Created         time.Time
	Changed         time.Time
}

func openSecrets(dir string, now func() time.Time) (*secrets, error) {
	s := &secrets{file: filepath.Join(dir, "secrets.json"), now: now, kept: map[string]*secret{}}
	fault := func(err error) error { return &flow.Error{Op: "read the secrets in " + s.file, Err: err} }
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault(err)
	}
	text, err := os.ReadFile(s.file)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = awsjson.Unmarshal(text, &s.kept)
	}
	if err != nil {
		return nil, fault(err)
	}
	return s, nil
}

func (s *secrets) save() error {
	text, err := awsjson.Marshal(s.kept)
	if err == nil {
		err = os.WriteFile(s.file+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(s.file+".new", s.file)
	}
	if err != nil {
		return &flow.Error{Op: "write the secrets", Err: err}
	}
	return nil
}

const secretGone = "Secrets Manager can't find the specified secret."

var secretName = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]{1,512}$`)

type secretIn struct {
	Name, SecretId, SecretString, SecretBinary, VersionId, VersionStage *string //nolint:revive // the names of the wire
}

type secretOut struct {
	ARN, Name, VersionId       string //nolint:revive // the names of the wire
	SecretString, SecretBinary *string
	VersionStages              []string
	CreatedDate                time.Time
	DeletionDate               time.Time
}

// manager is Secrets Manager.
func (s *secrets) manager(_ context.Context, c awsjson.Call) (any, error) {
	var in secretIn
	if err := awsjson.Read(c, &in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Operation == "CreateSecret" {
		return s.create(c.Region, in)
	}
	id := ""
	if in.SecretId != nil {
		id = *in.SecretId
	}
	found := s.find("secretsmanager", c.Region, id)
	switch c.Operation {
	case "GetSecretValue", "PutSecretValue", "DeleteSecret", "DescribeSecret":
		if found == nil {
			return nil, awsjson.Errorf("ResourceNotFoundException", "%s", secretGone)
		}
	default:
		return nil, awsjson.Errorf("UnknownOperationException", "%s is not built into tidemill local", c.Operation)
	}
	out := secretOut{ARN: found.ARN, Name: found.Name, VersionId: found.VersionID, VersionStages: []string{"AWSCURRENT"}}
	switch c.Operation {
	case "GetSecretValue":
		if v := in.VersionStage; v != nil && *v != "AWSCURRENT" || in.VersionId != nil && *in.VersionId != found.VersionID {
			return nil, awsjson.Errorf("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for the version: tidemill local keeps the current one.")
		}
		out.SecretString, out.SecretBinary, out.CreatedDate = found.Text, found.Binary, found.Changed
		return out, nil
	case "DescribeSecret":
		return map[string]any{"ARN": found.ARN, "Name": found.Name, "CreatedDate": found.Created, "LastChangedDate": found.Changed, "VersionIdsToStages": map[string][]string{found.VersionID: {"AWSCURRENT"}}}, nil
	case "DeleteSecret":
		out.VersionId, out.VersionStages, out.DeletionDate = "", nil, s.now()
		delete(s.kept, "secretsmanager/"+c.Region+"/"+found.Name)
		return out, s.save()
	}
	if err := found.set(in); err != nil {
		return nil, err
	}
	found.VersionID, found.Changed, found.Version = requestID(), s.now(), found.Version+1
	out.VersionId = found.VersionID
	return out, s.save()
}

// find finds by name or by ARN.
func (s *secrets) find(service, region, id string) *secret {
	if k := s.kept[service+"/"+region+"/"+id]; k != nil {
		return k
	}
	for _, k := range s.kept {
		if id != "" && (k.ARN == id || strings.HasPrefix(k.ARN, id+"-")) {
			return k
		}
	}
	return nil
}

func (k *secret) set(in secretIn) error {
	if (in.SecretString == nil) == (in.SecretBinary == nil) {
		return awsjson.Errorf("InvalidRequestException", "You must provide either SecretString or SecretBinary.")
	}
	if in.SecretBinary != nil {
		if _, err := base64.StdEncoding.DecodeString(*in.SecretBinary); err != nil {
			return awsjson.Errorf("SerializationException", "SecretBinary is not base64")
		}
	}
	k.Text, k.Binary = in.SecretString, in.SecretBinary
	return nil
}

func (s *secrets) create(region string, in secretIn) (any, error) {
	if in.Name == nil || !secretName.MatchString(*in.Name) {
		return nil, awsjson.Errorf("ValidationException", "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	key := "secretsmanager/" + region + "/" + *in.Name
	if s.kept[key] != nil {
		return nil, awsjson.Errorf("ResourceExistsException", "The operation failed because the secret %s already exists.", *in.Name)
	}
	k := &secret{
		Name: *in.Name, ARN: "arn:aws:secretsmanager:" + region + ":" + account + ":secret:" + *in.Name + "-" + rand.Text()[:6], VersionID: requestID(), Version: 1, Created: s.now(), Changed: s.now(),
	}
	if in.SecretString != nil || in.SecretBinary != nil {
		if err := k.set(in); err != nil {
			return nil, err
		}
	}
	s.kept[key] = k
	return secretOut{ARN: k.ARN, Name: k.Name, VersionId: k.VersionID}, s.save()
}

type parameterIn struct {
	Name, Value, Type         string
	Names                     []string
	Overwrite, WithDecryption bool
}

type parameter struct {
	Name, Type, Value, ARN, DataType string
	Version                          int64
	LastModifiedDate                 time.Time
}

// parameters is Systems Manager's parameter store.
func (s *secrets) parameters(_ context.Context, c awsjson.Call) (any, error) {
	var in parameterIn
	if err := awsjson.Read(c, &in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := "ssm/" + c.Region + "/" + in.Name
	found := s.kept[key]
	switch c.Operation {
	case "PutParameter":
		return s.putParameter(c.Region, key, in)
	case "GetParameters":
		out := []parameter{}
		wrong := []string{}
		for _, n := range in.Names {
			if k := s.kept["ssm/"+c.Region+"/"+n]; k != nil {
				out = append(out, k.parameter(in.WithDecryption))
			} else {
				wrong = append(wrong, n)
			}
		}
		return map[string]any{"Parameters": out, "InvalidParameters": wrong}, nil
	case "GetParameter", "DeleteParameter":
		if found == nil {
			return nil, awsjson.Errorf("ParameterNotFound", "Parameter %s not found.", in.Name)
		}
		if c.Operation == "GetParameter" {
			return map[string]any{"Parameter": found.parameter(in.WithDecryption)}, nil
		}
		delete(s.kept, key)
		return map[string]any{}, s.save()
	}
	return nil, awsjson.Errorf("UnknownOperationException", "%s is not built into tidemill local", c.Operation)
}

// parameter is the answer's form; a SecureString that is not asked for in the clear stays
// unreadable, as it would be.
func (k *secret) parameter(clear bool) parameter {
	p := parameter{Name: k.Name, Type: k.Kind, Value: *k.Text, ARN: k.ARN, DataType: "text", Version: k.Version, LastModifiedDate: k.Changed}
	if k.Kind == "SecureString" && !clear {
		p.Value = "kms:alias/aws/ssm:" + base64.StdEncoding.EncodeToString([]byte(k.ARN))
	}
	return p
}

func (s *secrets) putParameter(region, key string, in parameterIn) (any, error) {
	k := s.kept[key]
	switch {
	case in.Name == "" || in.Value == "":
		return nil, awsjson.Errorf("ValidationException", "A parameter needs a name and a value.")
	case k != nil && !in.Overwrite:
		return nil, awsjson.Errorf("ParameterAlreadyExists", "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
	case k == nil:
		if in.Type == "" {
			in.Type = "String"
		}
		k = &secret{Name: in.Name, Kind: in.Type, ARN: "arn:aws:ssm:" + region + ":" + account + ":parameter/" + strings.TrimPrefix(in.Name, "/"), Created: s.now()}
		s.kept[key] = k
	}
	k.Text, k.Changed, k.Version = &in.Value, s.now(), k.Version+1
	return map[string]any{"Version": k.Version, "Tier": "Standard"}, s.save()
}
