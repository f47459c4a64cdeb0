// Package site makes the documentation as HTML: the documents of docs/, and the reference of REST and of the settings, which it makes from
// api/openapi.yaml and flashphoner.properties.
//
// docs/README.md says which pages there are, and in which order. Documents link to each other as files of the repository do; here the
// links lead to the pages that are made of them. All links are relative, so the pages work in a folder of any web server, and as files.
// The result depends on nothing but the documents: the same documents give the same bytes.
package site

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"os"
	"path"
	"path/filepath"
	"strings"
)

const (
	decisions  = "docs/adr"
	api        = "api/openapi.yaml"
	properties = "flashphoner.properties"
)

// IndexScript is the name of the script with the index of the search. It is a script and no JSON, because pages that are opened as files
// can load only scripts.
const IndexScript = "search-index.js"

// page is one page that is made.
type page struct {
	file  string // from the top of the tree
	name  string // of the page, from the top of the site
	title string
	body  template.HTML
	toc   []heading

	sections []section // for the search
}

// heading is a line of the contents of a page.
type heading struct {
	ID, Text string
}

// section is the text under one heading.
type section struct {
	id, title string
	text      strings.Builder
}

// site is all pages while they are made.
type site struct {
	root     string
	chapters []chapter
	order    []string // files, in the order of the navigation
	pages    map[string]*page
	titles   map[string]string // by file, as the navigation has them
}

// Build returns the files of the site by their names. With served, the pages have links to the pages of the server.
func Build(root string, served bool) (map[string][]byte, error) {
	s := &site{root: root, pages: map[string]*page{}, titles: map[string]string{navigation: "Documentation"}}
	text, err := os.ReadFile(filepath.Join(root, navigation))
	if err != nil {
		return nil, err
	}
	if s.chapters, err = readNavigation(text); err != nil {
		return nil, err
	}
	if err := checkNavigation(root, s.chapters); err != nil {
		return nil, err
	}
	s.order = []string{navigation}
	for _, c := range s.chapters {
		for _, e := range c.pages {
			s.order = append(s.order, e.file)
			s.titles[e.file] = e.title
		}
	}
	all := s.order
	records, err := filepath.Glob(filepath.Join(root, decisions, "[0-9]*.md"))
	if err != nil {
		return nil, err
	}
	for _, record := range records {
		all = append(all, path.Join(decisions, filepath.Base(record)))
	}
	for _, file := range all { // before any is read: they link to each other
		s.pages[file] = &page{file: file, name: name(file)}
	}
	for _, file := range all {
		if err := s.read(s.pages[file]); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	files := map[string][]byte{}
	for _, file := range all {
		if files[s.pages[file].name], err = s.render(s.pages[file], served); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	files[IndexScript], err = s.index(all)
	return files, err
}

// name returns the name of the page that is made from a file.
func name(file string) string {
	switch file {
	case api:
		return "api.html"
	case properties:
		return "every-setting.html"
	case "bench/README.md":
		return "bench.html"
	}
	name := strings.TrimPrefix(strings.TrimSuffix(file, ".md"), "docs/")
	name = strings.ToLower(name)
	if path.Base(name) == "readme" {
		name = path.Join(path.Dir(name), "index")
	}
	return name + ".html"
}

// read makes the body of a page.
func (s *site) read(p *page) error {
	text, err := os.ReadFile(filepath.Join(s.root, p.file))
	if err != nil {
		return err
	}
	switch p.file {
	case api:
		if text, err = apiDocument(text); err != nil {
			return err
		}
	case properties:
		if text, err = settingsDocument(text); err != nil {
			return err
		}
	}
	return s.markdown(p, text)
}

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// link leads from one page to another.
type link struct {
	Title, Address string
	Current        bool
}

// render puts the body of a page between header and navigation.
func (s *site) render(p *page, served bool) ([]byte, error) {
	type group struct {
		Title string
		Links []link
	}
	data := struct {
		Title, Up      string
		Served         bool
		Home           link
		Groups         []group
		Contents       []heading
		Body           template.HTML
		Previous, Next *link
	}{Title: p.title, Served: served, Body: p.body, Up: strings.Repeat("../", strings.Count(p.name, "/"))}
	if p.file != navigation && len(p.toc) > 2 { // the navigation is a list of contents itself
		data.Contents = p.toc
	}
	to := func(file string) link {
		return link{Title: s.titles[file], Address: data.Up + s.pages[file].name, Current: file == p.file}
	}
	data.Home = to(navigation)
	for _, c := range s.chapters {
		g := group{Title: c.title}
		for _, e := range c.pages {
			g.Links = append(g.Links, to(e.file))
		}
		data.Groups = append(data.Groups, g)
	}
	for i, file := range s.order {
		if file != p.file {
			continue
		}
		if i > 0 {
			l := to(s.order[i-1])
			data.Previous = &l
		}
		if i+1 < len(s.order) {
			l := to(s.order[i+1])
			data.Next = &l
		}
	}
	var out bytes.Buffer
	err := pageTemplate.Execute(&out, data)
	return out.Bytes(), err
}

// index returns a script that holds the text of all pages, section by section, for the search in web/docs/docs.ts.
func (s *site) index(files []string) ([]byte, error) {
	type one struct {
		Page    string `json:"p"`           // title of the page
		Name    string `json:"n"`           // name of the page, with the heading
		Heading string `json:"h,omitempty"` // "": the beginning of the page
		Text    string `json:"t"`
	}
	var all []one
	for _, file := range files {
		p := s.pages[file]
		for i := range p.sections {
			part := &p.sections[i]
			entry := one{Page: p.title, Name: p.name, Heading: part.title, Text: strings.Join(strings.Fields(part.text.String()), " ")}
			if path.Dir(file) == decisions {
				entry.Text = "" // its headings must do: these are a third of all text, and the fewest look for it
			}
			if part.id != "" {
				entry.Name += "#" + part.id
			}
			if entry.Text != "" || entry.Heading != "" || i == 0 {
				all = append(all, entry)
			}
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	return append(append([]byte("globalThis.searchIndex="), text...), ";\n"...), nil
}
