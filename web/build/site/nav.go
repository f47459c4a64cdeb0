package site

import (
	"bytes"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// navigation is the file that says which pages there are, and in which order. It is also the first page.
const navigation = "docs/README.md"

// chapter is a part of the navigation.
type chapter struct {
	title string
	pages []entry
}

// entry is a line of the navigation.
type entry struct {
	title string
	file  string // from the top of the tree
}

var (
	chapterLine = regexp.MustCompile(`^## (.+)$`)
	entryLine   = regexp.MustCompile(`^- \[(.+)\]\((\S+)\): \S`)
)

// readNavigation reads the chapters and their pages.
func readNavigation(text []byte) ([]chapter, error) {
	var all []chapter
	for line := range bytes.Lines(text) {
		line := strings.TrimRight(string(line), "\n")
		if m := chapterLine.FindStringSubmatch(line); m != nil {
			all = append(all, chapter{title: m[1]})
			continue
		}
		m := entryLine.FindStringSubmatch(line)
		switch {
		case m != nil && len(all) > 0:
			last := &all[len(all)-1]
			last.pages = append(last.pages, entry{title: m[1], file: path.Join(path.Dir(navigation), m[2])})
		case m != nil || strings.HasPrefix(line, "- "):
			return nil, fmt.Errorf("%s: %q is no line of a chapter; write \"- [title](page.md): what is in it\"", navigation, line)
		}
	}
	return all, nil
}

// checkNavigation compares the navigation with the pages that there are: each stands in it once.
func checkNavigation(root string, chapters []chapter) error {
	listed := map[string]bool{}
	for _, c := range chapters {
		for _, e := range c.pages {
			if listed[e.file] {
				return fmt.Errorf("%s lists %s twice", navigation, e.file)
			}
			listed[e.file] = true
		}
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		return err
	}
	pages = append(pages, filepath.Join(root, decisions, "README.md"))
	slices.Sort(pages)
	for _, page := range pages {
		file, err := filepath.Rel(root, page)
		if err != nil {
			return err
		}
		if file = filepath.ToSlash(file); file != navigation && !listed[file] {
			return fmt.Errorf("%s does not list %s; add it to the chapter where people look for it", navigation, file)
		}
	}
	return nil
}
