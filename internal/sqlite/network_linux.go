package sqlite

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// refuseNetwork refuses file systems whose locks do not hold between hosts.
func refuseNetwork(dir string) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	switch uint32(s.Type) {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, 0xff534d42 /* CIFS */, 0xfe534d42 /* SMB2 */, 0x65735546 /* FUSE, as of sshfs and s3fs */, 0x00c36400 /* Ceph */, 0x47504653 /* GPFS */ :
		return fmt.Errorf("open journal in %s: it is on a network file system, where locks do not hold: give a local folder with --state", dir)
	}
	return nil
}
