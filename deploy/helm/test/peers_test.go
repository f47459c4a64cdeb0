package helmtest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestCompose: Compose reads the Compose file, and finds in it what the file means.
func TestCompose(t *testing.T) {
	file := filepath.Join(top, "deploy", "compose.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	load := func(text string) (*types.Project, error) {
		return loader.LoadWithContext(t.Context(), types.ConfigDetails{
			WorkingDir: filepath.Dir(file), ConfigFiles: []types.ConfigFile{{Filename: file, Content: []byte(text)}}, Environment: types.Mapping{},
		}, func(o *loader.Options) { o.SetProjectName("transponder", true) })
	}
	p, err := load(string(text))
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.GetService("transponder")
	if err != nil {
		t.Fatal(err)
	}
	if s.NetworkMode != "host" || !s.ReadOnly || len(s.CapDrop) != 1 || s.Ulimits["nofile"].Single != 65536 || s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) != 20*time.Second ||
		len(s.Volumes) != 1 || s.Volumes[0].Target != "/var/lib/transponder" || *s.Environment["TRANSPONDER_HTTP_PORT"] != "8081" {
		t.Errorf("Compose reads %+v", s)
	}
	for bad, want := range map[string]string{"read_only: true": "read_only: often", "restart: ": "restarts: "} {
		if _, err := load(strings.Replace(string(text), bad, want, 1)); err == nil {
			t.Errorf("Compose takes %q", want)
		}
	}
}

// TestBill: the lists of what is in the program, one for each architecture, have the form of CycloneDX, by the schema that CycloneDX has published.
func TestBill(t *testing.T) {
	out := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join("scripts", "go"), "run", "./deploy/build", "-out", out, "-binary", filepath.Join("bin", "transponder"), "-version", "1.2.3", "sbom")
	cmd.Dir = top
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	module, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for name, file := range map[string]string{
		"bom-1.5.schema.json": "bom-1.5.schema.json", "spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json",
	} {
		schema, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(module)), "schema", file))
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource("http://cyclonedx.org/schema/"+name, v); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := c.Compile("http://cyclonedx.org/schema/bom-1.5.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	validate := func(t *testing.T, text []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(out, "transponder_1.2.3_"+arch+".cdx.json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := validate(t, text); err != nil {
				t.Error(err)
			}
			for _, bad := range [][2]string{{`"specVersion": "1.5"`, `"specVersion": 1.5`}, {`"type": "library"`, `"type": "module"`}, {`"timestamp": "2`, `"timestamp": "x2`}} {
				if err := validate(t, bytes.Replace(text, []byte(bad[0]), []byte(bad[1]), 1)); err == nil {
					t.Errorf("the schema takes %s", bad[1])
				}
			}
			var bom cyclonedx.BOM
			if err := cyclonedx.NewBOMDecoder(bytes.NewReader(text), cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
				t.Fatal(err)
			}
			if bom.Metadata.Component.Name != "transponder" || bom.Metadata.Component.Version != "1.2.3" || bom.Components == nil || len(*bom.Components) < 50 {
				t.Errorf("CycloneDX reads %+v", bom.Metadata.Component)
			}
			refs := map[string]bool{}
			for _, c := range *bom.Components {
				if refs[c.BOMRef] || c.Version == "" {
					t.Errorf("%s is listed twice, or has no version", c.BOMRef)
				}
				refs[c.BOMRef] = true
			}
			for ref := range refs {
				if of := strings.Contains(ref, "?arch="); of && !strings.Contains(ref, "?arch="+arch+"&") {
					t.Errorf("%s is of another architecture", ref)
				}
			}
			if !bytes.Contains(text, []byte("pkg:deb/debian/libavcodec59@")) {
				t.Error("it lacks a library")
			}
		})
	}
}
