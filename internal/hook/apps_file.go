package hook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"transponder/internal/access"
)

// maxFile is far more than a thousand apps need.
const maxFile = 4 << 20

// appsFile is the content of apps_file.
type appsFile struct {
	Apps []fileApp `json:"apps"`
}

// fileApp is an app in apps_file. It has the same members as in the REST API.
type fileApp struct {
	Name     string         `json:"name"`
	Key      string         `json:"key"` // absent: the name
	URL      string         `json:"url"`
	Methods  []Method       `json:"methods"` // absent: DefaultMethods
	Username string         `json:"username"`
	Password string         `json:"password"`
	Auth     Policy         `json:"auth"`
	OnError  OnError        `json:"onError"`
	Grants   []access.Grant `json:"grants"`
	Limits   access.Limits  `json:"limits"`
	Owner    string         `json:"owner"`
}

// readFile reads the apps of a file, by name.
func readFile(path string) (map[string]*App, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, maxFile)
	}
	apps, passwords, err := parseFile(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if passwords && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s holds passwords, and others may read or write it (mode %o): chmod 600 it", path, info.Mode().Perm())
	}
	return apps, nil
}

// parseFile reads the apps in the text of a file, and says whether an app has a password.
func parseFile(text []byte) (apps map[string]*App, passwords bool, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var content appsFile
	if err := d.Decode(&content); err != nil {
		return nil, false, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, false, errors.New("there is text after the object")
	}
	if len(content.Apps) > maxApps {
		return nil, false, fmt.Errorf("more than %d apps", maxApps)
	}
	apps = map[string]*App{}
	keys := map[string]bool{}
	for _, f := range content.Apps {
		app := &App{
			Name: f.Name, Key: f.Key, URL: f.URL, Methods: f.Methods, Username: f.Username, Password: access.Secret(f.Password), Auth: f.Auth,
			OnError: f.OnError, Grants: f.Grants, Limits: f.Limits, Owner: f.Owner, Source: FromFile,
		}
		if app.Key == "" {
			app.Key = app.Name
		}
		if app.Methods == nil {
			app.Methods = DefaultMethods()
		}
		if err := app.Validate(); err != nil {
			return nil, false, fmt.Errorf("app %q: %w", short(app.Name), err)
		}
		if apps[app.Name] != nil || keys[app.Key] {
			return nil, false, fmt.Errorf("app %q: its name or its key occurs twice", short(app.Name))
		}
		apps[app.Name], keys[app.Key] = app, true
		passwords = passwords || app.Password != ""
	}
	return apps, passwords, nil
}
