package logs

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// newLog returns a log, and what it has written.
func newLog(l *Levels) (*slog.Logger, *bytes.Buffer) {
	var out bytes.Buffer
	return slog.New(l.Handler(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))), &out
}

// from writes a line as if a function of a package did it.
func from(t *testing.T, log *slog.Logger, pc uintptr, level slog.Level) {
	t.Helper()
	r := slog.NewRecord(time.Now(), level, "line", pc)
	if log.Enabled(t.Context(), level) {
		if err := log.Handler().Handle(t.Context(), r); err != nil {
			t.Error(err)
		}
	}
}

// here is a place in this package.
func here() uintptr {
	var pcs [1]uintptr
	runtime.Callers(2, pcs[:])
	return pcs[0]
}

func TestPackageOf(t *testing.T) {
	for function, want := range map[string]string{
		"transponder/internal/rtc/pion.(*Endpoint).Run.func1": "rtc/pion",
		"transponder/internal/rest.New":                       "rest",
		"transponder/cmd/transponder.main":                    "",
		"github.com/a/b.c":                                    "",
		"":                                                    "",
	} {
		if got := packageOf(function); got != want {
			t.Errorf("%s: %q, want %q", function, got, want)
		}
	}
	if got := parent("rtc/pion"); got != "rtc" || parent("rtc") != "" {
		t.Errorf("%q", got)
	}
}

// A level of one package lets in its lines only, and each level goes back.
func TestLevels(t *testing.T) {
	l := New(slog.LevelInfo)
	log, out := newLog(l)
	wrote := func(level slog.Level, pc uintptr) bool {
		out.Reset()
		from(t, log, pc, level)
		return out.Len() > 0
	}
	Packages = append(Packages, "logs")
	defer func() { Packages = Packages[:len(Packages)-1] }()
	elsewhere := uintptr(0)
	if wrote(slog.LevelDebug, here()) || !wrote(slog.LevelInfo, here()) {
		t.Error("the level of the settings does not count")
	}
	if err := l.Set("logs", slog.LevelDebug, 0); err != nil {
		t.Fatal(err)
	}
	if !wrote(slog.LevelDebug, here()) || wrote(slog.LevelDebug, elsewhere) || !wrote(slog.LevelInfo, elsewhere) {
		t.Error("the level of a package does not count for it alone")
	}
	out.Reset()
	_ = log.Handler().Handle(Always(t.Context()), slog.NewRecord(time.Now(), slog.LevelDebug, "line", elsewhere))
	if out.Len() == 0 {
		t.Error("a line that is always written is dropped")
	}
	if err := l.Set("", slog.LevelError, 0); err != nil {
		t.Fatal(err)
	}
	if wrote(slog.LevelInfo, elsewhere) || !wrote(slog.LevelDebug, here()) {
		t.Error("the level of all packages does not count for the others")
	}
	l.Reset("logs")
	l.Reset("")
	l.SetStandard(slog.LevelWarn)
	if wrote(slog.LevelInfo, here()) || !wrote(slog.LevelWarn, here()) {
		t.Error("the new level of the settings does not count")
	}
	if err := l.Set("nothing", slog.LevelDebug, 0); err == nil || !strings.Contains(err.Error(), "rtc") {
		t.Errorf("%v, want the names of packages", err)
	}
}

func TestGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(slog.LevelInfo)
		back := make(chan string, 4)
		l.OnBack(func(pkg string) { back <- pkg })
		for _, after := range []time.Duration{time.Minute, time.Hour} { // the second one counts
			if err := l.Set("rtc", slog.LevelDebug, after); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if all := l.List(); len(all) != 2 || all[1].Package != "rtc" || len(back) != 0 {
			t.Errorf("after two minutes: %+v", all)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if all := l.List(); len(all) != 1 || all[0].Level != slog.LevelInfo || len(back) != 1 || <-back != "rtc" {
			t.Errorf("after an hour: %+v", all)
		}
		_ = l.Set("", slog.LevelDebug, time.Hour)
		l.Close()
	})
}

// The list has all packages that write logs.
func TestPackages(t *testing.T) {
	if !slices.IsSorted(Packages) {
		t.Error("the list is not sorted")
	}
	for _, pkg := range Packages {
		if info, err := os.Stat("../" + pkg); err != nil || !info.IsDir() {
			t.Errorf("there is no package %s", pkg)
		}
	}
	files, err := filepath.Glob("../*/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		pkg := filepath.Base(filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		if pkg == "admin" || pkg == "config" || pkg == "logs" || pkg == "testkit" || strings.HasSuffix(file, "_test.go") { // they are given no log
			continue
		}
		if strings.Contains(string(text), `"log/slog"`) && !slices.Contains(Packages, pkg) {
			t.Errorf("%s logs, and is not in the list", file)
		}
	}
}
