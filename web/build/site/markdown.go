package site

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// converter reads Markdown in the form of GitHub, and writes HTML. Markup in a document is an error (markdown says so), and is not written.
var converter = goldmark.New(
	goldmark.WithExtensions(extension.Table, extension.Strikethrough),
	goldmark.WithParserOptions(parser.WithAutoHeadingID(), parser.WithHeadingAttribute()),
	goldmark.WithRendererOptions(renderer.WithNodeRenderers(util.Prioritized(ownNodes{}, 1))),
)

// markdown makes the body of a page from Markdown.
func (s *site) markdown(p *page, source []byte) error {
	ctx := parser.NewContext(parser.WithIDs(&anchors{taken: map[string]int{}}))
	doc := converter.Parser().Parse(text.NewReader(source), parser.WithContext(ctx))
	p.sections = []section{{}}
	var top ast.Node // the title, which page.html has
	err := ast.Walk(doc, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		part := &p.sections[len(p.sections)-1]
		switch n := node.(type) {
		case *ast.Heading:
			id, _ := n.AttributeString("id")
			title := plain(n, source)
			switch {
			case n.Level == 1 && p.title == "":
				p.title, top = title, n
			case n.Level == 1:
				return ast.WalkStop, fmt.Errorf("two titles: %q and %q", p.title, title)
			default:
				if n.Level == 2 {
					p.toc = append(p.toc, heading{ID: string(id.([]byte)), Text: title})
				}
				p.sections = append(p.sections, section{id: string(id.([]byte)), title: title})
			}
			// The links in it are still to be changed, so its children are walked; its text is not in the text of the section.
		case *ast.Link:
			address, err := s.address(p, string(n.Destination))
			if err != nil {
				return ast.WalkStop, err
			}
			n.Destination = []byte(address)
		case *ast.Image:
			return ast.WalkStop, fmt.Errorf("an image: %s; pages have none yet", n.Destination)
		case *ast.RawHTML:
			return ast.WalkStop, fmt.Errorf("markup: %s", n.Segments.Value(source))
		case *ast.HTMLBlock:
			if n.HTMLBlockType != ast.HTMLBlockType2 { // a comment
				return ast.WalkStop, fmt.Errorf("markup: %s", n.Lines().Value(source))
			}
		case *ast.Paragraph, *ast.TextBlock, *east.TableCell:
			part.text.WriteString(plain(n, source) + " ")
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return err
	}
	if p.title == "" {
		return errors.New("no title")
	}
	doc.RemoveChild(doc, top)
	var out bytes.Buffer
	if err := converter.Renderer().Render(&out, source, doc); err != nil {
		return err
	}
	p.body = template.HTML(out.String())
	return nil
}

// plain returns the text of a node without any markup.
func plain(node ast.Node, source []byte) string {
	var b strings.Builder
	_ = ast.Walk(node, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // the function returns no error
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Text:
			value := n.Value(source)
			if _, code := n.Parent().(*ast.CodeSpan); !code {
				value = util.ResolveEntityNames(util.ResolveNumericReferences(util.UnescapePunctuations(value)))
			}
			b.Write(value)
			if n.SoftLineBreak() || n.HardLineBreak() {
				b.WriteByte(' ')
			}
		case *ast.String:
			b.Write(n.Value)
		case *ast.AutoLink:
			b.Write(n.Label(source))
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

// address returns where a link of a document leads in the site. A link to a file that has no page leads nowhere: it is "".
func (s *site) address(from *page, target string) (string, error) {
	if strings.Contains(target, "://") || strings.HasPrefix(target, "#") {
		return target, nil
	}
	file, anchor, _ := strings.Cut(target, "#")
	file = path.Join(path.Dir(from.file), file)
	if from.file == api || from.file == properties { // made here, with links from the top of the tree
		file, _, _ = strings.Cut(target, "#")
	}
	to, ok := s.pages[file]
	if !ok {
		if _, err := os.Stat(filepath.Join(s.root, file)); err != nil {
			return "", fmt.Errorf("a link to %s, which does not exist", target)
		}
		return "", nil
	}
	address, err := filepath.Rel(path.Dir(from.name), to.name)
	if err != nil {
		return "", err
	}
	if anchor != "" {
		address += "#" + anchor
	}
	return filepath.ToSlash(address), nil
}

// anchors makes the names by which links lead to headings, as GitHub does: test/docs checks the links of the documents by the same rule.
type anchors struct {
	taken map[string]int
}

var notInAnchor = regexp.MustCompile(`[^\w-]`)

func (a *anchors) Generate(title []byte, _ ast.NodeKind) []byte {
	id := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(string(title))), " ", "-")
	id = notInAnchor.ReplaceAllString(id, "")
	n := a.taken[id]
	a.taken[id]++
	if n > 0 {
		id = fmt.Sprintf("%s-%d", id, n)
	}
	return []byte(id)
}

func (a *anchors) Put(value []byte) { a.taken[string(value)]++ }

// ownNodes writes the nodes that need more than the converter writes.
type ownNodes struct{}

func (o ownNodes) RegisterFuncs(r renderer.NodeRendererFuncRegisterer) {
	r.Register(ast.KindHeading, o.heading)
	r.Register(ast.KindLink, o.link)
	r.Register(ast.KindHTMLBlock, skip)
	r.Register(ast.KindFencedCodeBlock, o.code)
	r.Register(east.KindTable, o.table)
}

func skip(util.BufWriter, []byte, ast.Node, bool) (ast.WalkStatus, error) {
	return ast.WalkSkipChildren, nil
}

// heading adds a link to the heading itself, for people who want to hand it on. It is not in the order of the Tab key.
func (ownNodes) heading(w util.BufWriter, _ []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	n := node.(*ast.Heading)
	id, _ := n.AttributeString("id")
	if entering {
		fmt.Fprintf(w, "<h%d id=\"%s\">", n.Level, id)
		return ast.WalkContinue, nil
	}
	fmt.Fprintf(w, " <a class=\"anchor\" href=\"#%s\" tabindex=\"-1\" aria-hidden=\"true\">#</a></h%d>\n", id, n.Level)
	return ast.WalkContinue, nil
}

// link writes only the text of a link that leads nowhere.
func (ownNodes) link(w util.BufWriter, _ []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	n := node.(*ast.Link)
	switch {
	case len(n.Destination) == 0:
	case entering:
		fmt.Fprintf(w, "<a href=\"%s\">", util.EscapeHTML(util.URLEscape(n.Destination, false)))
	default:
		_, _ = w.WriteString("</a>")
	}
	return ast.WalkContinue, nil
}

// code writes a block of code in a box, in which web/docs/docs.ts puts a button that copies it.
func (ownNodes) code(w util.BufWriter, source []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	n := node.(*ast.FencedCodeBlock)
	if entering {
		fmt.Fprintf(w, "<div class=\"code\"><pre><code>%s</code></pre></div>\n", util.EscapeHTML(n.Lines().Value(source)))
	}
	return ast.WalkSkipChildren, nil
}

// table puts a table into a box that scrolls, for narrow windows.
func (ownNodes) table(w util.BufWriter, _ []byte, _ ast.Node, entering bool) (ast.WalkStatus, error) {
	if entering {
		_, _ = w.WriteString("<div class=\"table\"><table>\n")
	} else {
		_, _ = w.WriteString("</table></div>\n")
	}
	return ast.WalkContinue, nil
}
