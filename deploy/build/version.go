package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// version is the version of what is made.
type version struct {
	upstream string // "1.2.3", or "0.0.0+git20261201120000.abcdef123456" between versions
	debian   string // the same as Debian sorts it
}

// released is a version that a tag or the caller may name.
var released = regexp.MustCompile(`^v?([0-9]+\.[0-9]+\.[0-9]+)(?:-([0-9A-Za-z.]+))?$`)

// versionOf returns the version and the time of the commit, or those that the caller has named. Without a tag the version has the time of the
// commit in it, so that a later one is greater.
func versionOf(ctx context.Context, name, epoch string) (version, time.Time, error) {
	if epoch == "" {
		var err error
		if epoch, err = output(ctx, "", "git", "log", "-1", "--format=%ct"); err != nil {
			return version{}, time.Time{}, fmt.Errorf("the time of the commit (without git, set SOURCE_DATE_EPOCH and VERSION): %w", err)
		}
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return version{}, time.Time{}, fmt.Errorf("the time %q is no number of seconds", epoch)
	}
	when := time.Unix(seconds, 0).UTC()
	if name == "" {
		if name, err = output(ctx, "", "git", "describe", "--tags", "--exact-match"); err != nil {
			commit, err := output(ctx, "", "git", "rev-parse", "--short=12", "HEAD")
			if err != nil {
				return version{}, time.Time{}, err
			}
			v := "0.0.0+git" + when.Format("20060102150405") + "." + commit
			return version{v, v + "-1"}, when, nil
		}
	}
	v, err := parseVersion(name)
	return v, when, err
}

// parseVersion reads a version in the form of SemVer. Debian sorts "1.2.3~rc.1" before "1.2.3".
func parseVersion(name string) (version, error) {
	m := released.FindStringSubmatch(name)
	if m == nil {
		return version{}, fmt.Errorf("version %q does not look like 1.2.3 or 1.2.3-rc.1", name)
	}
	v := version{strings.TrimPrefix(name, "v"), m[1] + "-1"}
	if m[2] != "" {
		v.debian = m[1] + "~" + m[2] + "-1"
	}
	return v, nil
}
