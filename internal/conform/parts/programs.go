package parts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Up gives a test the URL of a server that one of this package's functions started, and ends
// the server with the test:
//
//	url := parts.Up(t)(parts.Moto(t.Context(), cache))
func Up(t testing.TB) func(url string, stop func(), err error) string {
	return func(url string, stop func(), err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
		return url
	}
}

// Program starts a server that speaks HTTP on a free port, which stands as PORT in its
// arguments, with dir as its working folder.
func Program(ctx context.Context, dir string, argv ...string) (url string, stop func(), err error) {
	port, err := freePort()
	if err != nil {
		return "", nil, err
	}
	at := make([]string, len(argv))
	for i, a := range argv {
		at[i] = strings.ReplaceAll(a, "PORT", strconv.Itoa(port))
	}
	cmd := exec.CommandContext(ctx, at[0], at[1:]...) //nolint:gosec // a test's own server
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return Serve(ctx, fmt.Sprintf("http://127.0.0.1:%d", port), cmd)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// Moto starts moto's server of AWS's APIs.
func Moto(ctx context.Context, cache string) (url string, stop func(), err error) {
	return installed(ctx, cache, "moto-5.2.5", "", "bin/moto_server", "-H", "127.0.0.1", "-p", "PORT")
}

// Fakesnow starts Snowflake's protocol over DuckDB, with its data in dir. Any user, password
// and key is let in.
func Fakesnow(ctx context.Context, cache, dir string) (url string, stop func(), err error) {
	return installed(ctx, cache, "fakesnow-0.12.1", dir, "bin/fakesnow", "-s", "-p", "PORT")
}

// Datasette starts a web API of a SQLite file.
func Datasette(ctx context.Context, cache, file string, args ...string) (url string, stop func(), err error) {
	return installed(ctx, cache, "datasette-0.65.5", filepath.Dir(file), "bin/datasette", append([]string{"serve", file, "-p", "PORT"}, args...)...)
}

// JSONServer starts a web API of a JSON file: an object whose lists are collections.
func JSONServer(ctx context.Context, cache, file string) (url string, stop func(), err error) {
	return installed(ctx, cache, "json-server-0.17.4", filepath.Dir(file), "node_modules/.bin/json-server", "--port", "PORT", "--host", "127.0.0.1", "--quiet", file)
}

// WireMock starts a server that answers as the stubs below dir/mappings say, and those that
// its API is given.
func WireMock(ctx context.Context, cache, dir string) (url string, stop func(), err error) {
	jar, err := Dir(cache, "wiremock-standalone-3.13.1")
	if err != nil {
		return "", nil, err
	}
	return Program(ctx, dir, "java", "-jar", filepath.Join(jar, "wiremock-standalone.jar"), "--port", "PORT", "--bind-address", "127.0.0.1", "--root-dir", dir, "--disable-banner")
}

// installed starts a program of an installed part.
func installed(ctx context.Context, cache, part, dir, bin string, args ...string) (url string, stop func(), err error) {
	home, err := Dir(cache, part)
	if err != nil {
		return "", nil, err
	}
	return Program(ctx, dir, append([]string{filepath.Join(home, bin)}, args...)...)
}

// Postgres starts a PostgreSQL of this machine's packages with its data below dir and returns
// the URL of its database, with the user etl and the password "pg secret".
func Postgres(ctx context.Context, dir string) (url string, stop func(), err error) {
	bin, err := postgresBin()
	if err != nil {
		return "", nil, err
	}
	who, err := postgresUser(dir)
	if err != nil {
		return "", nil, err
	}
	command := func(ctx context.Context, name string, args ...string) *exec.Cmd {
		c := exec.CommandContext(ctx, filepath.Join(bin, name), args...) //nolint:gosec // a test's own server
		c.Dir, c.SysProcAttr = dir, &syscall.SysProcAttr{Credential: who}
		c.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + dir, "LC_ALL=C.UTF-8"}
		return c
	}
	password, data := filepath.Join(dir, "password"), filepath.Join(dir, "data")
	if err := os.WriteFile(password, []byte("pg secret\n"), 0o644); err != nil { //nolint:gosec // the server's user reads it
		return "", nil, err
	}
	if out, err := command(ctx, "initdb", "-D", data, "-U", "etl", "--auth=scram-sha-256", "--pwfile="+password, "-E", "UTF8", "--no-sync").CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	port, err := freePort()
	if err != nil {
		return "", nil, err
	}
	args := []string{"-D", data, "-l", filepath.Join(dir, "log"), "-o", fmt.Sprintf("-k %s -p %d -c listen_addresses=127.0.0.1 -c fsync=off", dir, port)}
	if out, err := command(ctx, "pg_ctl", append([]string{"start", "-w"}, args...)...).CombinedOutput(); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log")) //nolint:errcheck // what there is
		return "", nil, fmt.Errorf("start postgres: %w\n%s%s", err, out, log)
	}
	stop = func() {
		_ = command(context.WithoutCancel(ctx), "pg_ctl", "stop", "-D", data, "-m", "immediate").Run() //nolint:errcheck // it may have ended
	}
	return fmt.Sprintf("postgres://etl:pg%%20secret@127.0.0.1:%d/postgres?sslmode=disable", port), stop, nil
}

func postgresBin() (string, error) {
	if name, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(name), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(found) == 0 {
		return "", errors.New("there is no PostgreSQL: apt-get install postgresql")
	}
	return found[len(found)-1], nil
}

// postgresUser is whom the server works as, and the owner of its folder: it refuses root.
func postgresUser(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // ourselves
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, int(uid), int(gid))
}
