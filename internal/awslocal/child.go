package awslocal

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"

	"github.com/tidemill/tidemill/internal/awslocal/emr"
)

// childArg is the one argument of the process that serves S3.
const childArg = "__awslocal-s3"

// childConfig is what the S3 process reads, as one line of JSON, from its standard input.
// The input then stays open as long as the parent lives.
type childConfig struct {
	Root, Socket, Access, Secret, Region string
}

// Child is one of the processes that Serve starts, if args (without the program's name) say
// that it is to be one. A main function calls it before anything else, for the S3 server
// changes the working directory and keeps state in its packages.
func Child(args []string, stdin io.Reader) (code int, handled bool) {
	if code, handled := emr.Child(args, stdin); handled {
		return code, true
	}
	if len(args) != 1 || args[0] != childArg {
		return 0, false
	}
	if err := serveChild(stdin); err != nil {
		fmt.Fprintln(os.Stderr, err) //nolint:errcheck // there is no one else to tell
		return 1, true
	}
	return 0, true
}

func serveChild(stdin io.Reader) error {
	in := bufio.NewReader(stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	var c childConfig
	if err := json.Unmarshal(line, &c); err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	// Ctrl-C in a terminal is the parent's to handle.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM) //nolint:forbidigo // the root of a process
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in) //nolint:errcheck // it ends when the parent does
		cancel()
	}()
	be, err := posix.New(c.Root, meta.XattrMeta{}, posix.PosixOpts{CopyObjectThreshold: 5 << 30, Concurrency: 256})
	if err != nil {
		return fmt.Errorf("serve %s: %w", c.Root, err)
	}
	return embedgw.RunVersityGW(ctx, be, &embedgw.Config{
		RootUserAccess: c.Access, RootUserSecret: c.Secret, Region: c.Region,
		Ports: []string{c.Socket}, SocketPerm: "0600", KeepAlive: true, Quiet: true,
		MaxConnections: 4096, MaxRequests: 4096, MultipartMaxParts: 10_000,
	})
}
